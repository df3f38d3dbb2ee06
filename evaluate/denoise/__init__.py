"""How much a denoiser gains, by input SNR: clean clips, noise at known levels, codecs and their rivals."""
