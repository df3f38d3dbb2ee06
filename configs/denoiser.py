"""Denoiser, 48 kHz mono: a complex mask on the spectrum.

    python -m train --model denoiser --data.root CLEAN --data.noise NOISES

Recorded run, 17 minutes on two cores of a shared x86-64 virtual machine, three hours of speech and music, one of
recorded sounds: on held-out files with noises of other kinds it gains 3.8 dB of SI-SDR at 0 dB (speech 4.1, music 3.3)
and 2.5 at 10 dB; at 20 dB speech gains 0.5 and music loses 2.3. The curve still rises: longer runs gain more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.base import Config, Data, LossWeights, ModelConfig, Optim, Schedule


@dataclass(frozen=True)
class Denoiser(ModelConfig):
    """Hyper-parameters of the family `denoiser` (zoo/families/denoiser.py)."""

    family: ClassVar[str] = "denoiser"
    sample_rate: int = 48_000
    channels: int = 1
    n_fft: int = 3072
    hop_length: int = 1536
    fine_hz: float = 6000.0
    band_size: int = 16
    group_size: int = 8
    width: int = 64
    n_blocks: int = 6
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)
    reach: int = 5
    causal: bool = False


CONFIG = Config(
    model=Denoiser(),
    task="denoise",
    steps=3600,
    batch_size=4,
    # where the noise is, is soon learnt from all bins alike; how much of it may go, from the waveform
    loss=LossWeights(limited_snr=1.0, compressed_magnitude=Schedule(start=10.0, end=0.0, steps=3200)),
    data=Data(segment_s=2.0, gain_db=12.0),
    optim=Optim(learning_rate=3e-3),
)
