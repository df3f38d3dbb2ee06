"""MDCT autoencoder with finite scalar quantisation, 24 kHz mono.

    python -m train --model autoencoder

As it stands it takes less than five minutes on two CPU cores with the embedded generator. Recorded run
(recorded/autoencoder.png: its curves), two cores of a shared x86-64 virtual machine, ten and a half minutes:

    python -m train --model autoencoder --data.root DIR --steps 1600

on four hours of music, speech and sounds gave 20.7 dB SNR at 13.9 kbps and a mel distance of 0.350 on 31 clips of other
recordings. MDCT + PCA under the same quantiser and entropy coder at the same bytes gave 17.5 dB and 0.510.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.base import Config, Data, LossWeights, ModelConfig, Optim, Schedule


@dataclass(frozen=True)
class Autoencoder(ModelConfig):
    """Hyper-parameters of the family `autoencoder` (zoo/families/autoencoder.py)."""

    family: ClassVar[str] = "autoencoder"
    sample_rate: int = 24_000
    channels: int = 1
    hop_length: int = 320
    latent_dim: int = 320
    levels: tuple[int, ...] = (1023, 511, 255, 127)
    """quantisation levels of equal shares of the latent, lowest frequencies first"""
    width: int = 256
    n_blocks: int = 4
    companding: float = 1.0
    latent_scale: float = 14.0


CONFIG = Config(
    model=Autoencoder(),
    steps=850,
    batch_size=8,
    loss=LossWeights(snr=1.0, mel=1.0, complex_stft=1.0, rate=Schedule("linear", 0.0, 0.018, 100)),
    data=Data(segment_s=1.0),
    optim=Optim(learning_rate=1e-3),
)
