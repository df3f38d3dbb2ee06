"""How well sounds are edited: mixed, joined, stretched and shifted in pitch, as waveforms and as latents of codecs."""
