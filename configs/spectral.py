"""Spectral codec with noise substitution, 24 kHz mono.

python -m train --model spectral
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.base import Config, Data, LossWeights, ModelConfig, Optim


@dataclass(frozen=True)
class Spectral(ModelConfig):
    """Hyper-parameters of the family `spectral` (zoo/families/spectral.py)."""

    family: ClassVar[str] = "spectral"
    sample_rate: int = 24_000
    channels: int = 1
    hop_length: int = 480
    width: int = 256
    n_blocks: int = 4
    coarsest: float = 2.2
    """quantisation step of the lowest level, in tenths of an orthonormal transform's coefficients at 1 kHz"""
    finest: float = 0.06
    """that of the highest level"""
    n_levels: int = 20
    default_level: int = 11
    tilt: float = 0.75
    """power of frequency by which steps grow"""
    shaping: float = 0.5
    """power of the spectrum's envelope by which they grow"""
    band_symbols: int = 7
    """how many levels of a band are told apart, 6 dB each; the last is no sound"""
    codebook_size: int = 1023
    """values that a coefficient may have; steps are larger where that is too few"""
    linear: bool = True
    """a learnt matrix over all coefficients of a frame, in encoder and decoder"""


CONFIG = Config(
    model=Spectral(),
    steps=600,
    batch_size=8,
    loss=LossWeights(snr=0.1, audible_mel=20.0, complex_stft=20.0, log_rate=2.0),
    data=Data(segment_s=1.0),
    optim=Optim(learning_rate=1e-3),
)
