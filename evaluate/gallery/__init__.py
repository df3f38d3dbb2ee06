"""The gallery: a page on which runs denoise, generate, continue, fill gaps, mix, morph, stretch and shift sounds."""
