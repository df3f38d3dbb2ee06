"""Editing, of waveforms and of a codec's latents: mixing, morphing, splicing, gain, equalising, time and pitch.

    shorter = zoo.editing.stretch(audio, 44100, 0.8)                     # a waveform, its pitch kept
    higher = zoo.editing.pitch(audio, 44100, 3)                          # … or its length, three semitones up
    a, b = (codec.encode_latents(clip) for clip in clips)
    between = codec.decode_latents(zoo.editing.morph(a, b, 0.5))         # half-way in latents

`mix`, `morph`, `splice` and `gain` take either: time is the last axis but one. `stretch`, `pitch` and `equalise` are
for audio (T,), (T, C) or (B, T, C), `stretch_latents` and `fit_equaliser` for latents (N, F, D); the pitch of latents
is that of stretched ones whose audio is played faster. All give float32, leave their arguments alone, and raise
ZooError for what they cannot use.
"""

from zoo.editing.blending import crossfade, gain, mix, morph, splice
from zoo.editing.equalising import equalise, fit_equaliser
from zoo.editing.frames import frame_offset, stretch_latents
from zoo.editing.latent_filter import LatentFilter, fit_filter
from zoo.editing.stretching import PitchShifter, Stretcher, pitch, stretch

__all__ = [
    "LatentFilter",
    "PitchShifter",
    "Stretcher",
    "crossfade",
    "equalise",
    "fit_equaliser",
    "fit_filter",
    "frame_offset",
    "gain",
    "mix",
    "morph",
    "pitch",
    "splice",
    "stretch",
    "stretch_latents",
]
