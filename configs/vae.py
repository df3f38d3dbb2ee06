"""Waveform VAE, 24 kHz mono.

    python -m train --model vae

As it stands it takes about three minutes on two CPU cores with the embedded generator, whose held-out clips then come
back with 17.3 dB SNR at 14.4 kbps. Recorded run (recorded/vae.png: its curves), with deviations of the bottleneck that
began at 0.2 and an entropy coder without networks, two cores of a shared x86-64 virtual machine, thirteen minutes:

    python -m train --model vae --data.root DIR --steps 2000

on four hours of music, speech and sounds gave, on 31 clips of other recordings and by grid step from coarse to fine,
7.4 dB SNR at 2.1 kbps, 10.3 at 4.0, 12.6 at 6.8, 14.1 at 10.6 and 14.6 at 12.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.base import Config, Data, LossWeights, ModelConfig, Optim, Schedule


@dataclass(frozen=True)
class VAE(ModelConfig):
    """Hyper-parameters of the family `vae` (zoo/families/vae.py)."""

    family: ClassVar[str] = "vae"
    sample_rate: int = 24_000
    channels: int = 1
    latent_dim: int = 192
    widths: tuple[int, ...] = (32, 96, 256)
    strides: tuple[int, ...] = (8, 5, 8)
    dilations: tuple[int, ...] = (1, 3)
    companding: float = 0.7
    latent_scale: float = 1.5
    grid_steps: tuple[float, ...] = (40.0, 28.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.5)
    """operating points: grid steps of the coded mean, in posterior standard deviations"""


CONFIG = Config(
    model=VAE(),
    steps=300,
    batch_size=8,
    loss=LossWeights(snr=1.0, mel=10.0, complex_stft=8.0, kl=Schedule("linear", 0.0, 0.03, 100)),
    data=Data(segment_s=1.0),
    optim=Optim(learning_rate=1e-3),
)
