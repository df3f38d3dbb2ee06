"""What can be measured: the protocol of all denoisers, codecs, and no denoiser at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zoo.denoising import denoise
from zoo.ready import ReadyCodec


class Denoiser(Protocol):
    """Whatever takes noisy audio (T, C) at `sample_rate` Hz and gives cleaner audio, sample on sample."""

    @property
    def name(self) -> str: ...

    @property
    def coder(self) -> str:
        """The library that does it, with its version; empty for a codec of ours."""
        ...

    def process(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Untouched:
    """The noisy audio itself, which gains nothing: what all others are compared with."""

    name: str = "noisy"
    coder: str = ""

    def process(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        """What it is given."""
        return noisy


@dataclass(frozen=True, eq=False)
class CodecDenoiser:
    """A loaded codec, trained to denoise or not, through `zoo.denoising.denoise`."""

    codec: ReadyCodec
    name: str
    coder: str = ""

    def process(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        """Denoises at the codec's own rate and gives back that of the input; raises ZooError for too many channels."""
        return denoise(self.codec, noisy, sample_rate)
