"""Spectral codec with noise substitution, 44.1 kHz stereo.

    python -m train --model spectral_stereo --data.root DIR

Frames are as long as those of `spectral`; matrices over the 1,764 coefficients of a frame would be most of the model,
and are left out. Softer bands are told apart than in mono: here there are bytes for them, and at 6 kbps they would be
missed elsewhere.
"""

from __future__ import annotations

import dataclasses

from configs.spectral import CONFIG as MONO
from configs.spectral import Spectral

CONFIG = dataclasses.replace(
    MONO,
    model=Spectral(
        sample_rate=44_100,
        channels=2,
        hop_length=882,
        linear=False,
        # five more levels than in mono, at the same ratio, for those who have more than 30 kbps
        n_levels=25,
        finest=0.02325,
        codebook_size=8191,
        default_level=11,
        band_symbols=9,
    ),
    batch_size=4,
    # the plain mel distance knows how soft the highest octave is, which `audible_mel` leaves out
    loss=dataclasses.replace(MONO.loss, mel=10.0),
)
