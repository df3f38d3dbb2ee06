"""Denoisers that others made: spectral gating, SciPy's Wiener filter and RNNoise, libraries of an optional extra.

Each takes one channel at a time; a channel without a sound is left as it is.
"""

from __future__ import annotations

import abc
import ctypes
import functools
import importlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from evaluate.silence import silent
from zoo import audio, synth
from zoo.errors import ZooError, one_line

INSTALL = "pip install -e '.[denoisers]'"
WIENER_WINDOW = 3
"""SciPy's own default, and of 3 to 201 the best in mean over -5 to 20 dB (embedded clips, 24 and 48 kHz; measured)"""
MOST_DELAY_FRAMES = 6


@dataclass(frozen=True)
class Rival(abc.ABC):
    """A denoiser with a setting, which is "" where it is the library's (or, for Wiener, our) default.

    Raises ZooError for a setting that it does not have, and if its library is missing.
    """

    setting: str = ""

    family: ClassVar[str]
    examples: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    module: ClassVar[str]

    def __post_init__(self) -> None:
        self._check()
        self._library()

    @property
    def name(self) -> str:
        return f"{self.family}:{self.setting}" if self.setting else self.family

    @property
    def coder(self) -> str:
        """The package that does it, with its version and what is set."""
        return f"{self.package} {importlib.metadata.version(self.package)}, {self._settings()}"

    def process(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        """Denoises (T, C), channel by channel."""
        out = noisy.copy()
        for c in np.flatnonzero(~silent(noisy)):
            out[:, c] = self._channel(noisy[:, c], sample_rate)
        return out

    def _library(self) -> Any:
        try:
            return importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            missing = "" if self.package == error.name else f" (it lacks {error.name})"
            raise ZooError(
                f"rival {self.family!r}: needs {self.package}, which is not installed{missing}; {INSTALL}"
            ) from None
        except (ImportError, OSError) as error:  # its compiled part was built for something else
            raise ZooError(f"rival {self.family!r}: {self.package} cannot be imported ({one_line(error)})") from None

    @abc.abstractmethod
    def _check(self) -> None:
        """Raises ZooError for a setting that it does not have."""

    @abc.abstractmethod
    def _settings(self) -> str:
        """What is set, for the line below the table."""

    @abc.abstractmethod
    def _channel(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        """Denoises (T,)."""


class SpectralGate(Rival):
    """noisereduce (Sainburg et al., 2020): a gate for each band of an STFT, with the library's defaults.

    Its threshold follows the signal (non-stationary, the default), or is one for each band of the whole clip
    ("stationary"), taken from the noisy clip itself since no stretch of noise alone is known.
    """

    family = "noisereduce"
    examples = ("noisereduce", "noisereduce:stationary")
    package = "noisereduce"
    module = "noisereduce"

    def _check(self) -> None:
        if self.setting not in ("", "stationary"):
            raise ZooError(f"rival {self.name!r}: there is {' and '.join(self.examples)}")

    def _settings(self) -> str:
        return f"{self.setting or 'non-stationary'}, defaults"

    def _channel(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        stationary = self.setting == "stationary"
        try:
            with np.errstate(all="ignore"):  # it divides by the level of its own padding
                return np.asarray(self._library().reduce_noise(y=noisy, sr=sample_rate, stationary=stationary))
        except ValueError as error:  # its smoothing has no frame at low sample rates
            raise ZooError(f"rival {self.name!r}: cannot work at {sample_rate} Hz ({one_line(error)})") from None


class Wiener(Rival):
    """scipy.signal.wiener: Lim's local filter in the time domain, with a window of so many samples.

    Each sample is drawn to the mean of its window by how far the window's variance exceeds the noise's, which is
    estimated as the mean of all windows' variances. No filter over frequency, which "Wiener filter" often means.
    """

    family = "wiener"
    examples = ("wiener", "wiener:15")
    package = "scipy"
    module = "scipy.signal"

    @property
    def window(self) -> int:
        """Samples."""
        return int(self.setting or WIENER_WINDOW)

    def _check(self) -> None:
        if self.setting and not (self.setting.isdecimal() and self.window % 2 and self.window > 1):
            raise ZooError(f"rival {self.name!r}: give its window, an odd number of samples from 3, such as wiener:15")

    def _settings(self) -> str:
        return f"window of {self.window} samples"

    def _channel(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        with np.errstate(all="ignore"):  # it divides by the variance of digital silence, and then drops the result
            return np.asarray(self._library().wiener(noisy.astype(np.float64), self.window))


class RnNoise(Rival):
    """RNNoise (Valin, 2018), a recurrent network trained for speech at 48 kHz; resampled to that and back.

    Its delay, a whole number of its frames, is measured once and undone.
    """

    family = "rnnoise"
    examples = ("rnnoise",)
    package = "pyrnnoise"
    module = "pyrnnoise.rnnoise"

    def _check(self) -> None:
        if self.setting:
            raise ZooError(f"rival {self.name!r}: has no setting")

    def _settings(self) -> str:
        return "its built-in model"

    def _channel(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        library = self._library()
        delay = _rnnoise_delay()
        at_48 = audio.resample(noisy[:, None], sample_rate, library.SAMPLE_RATE)[:, 0]
        denoised = _rnnoise(library, np.pad(at_48, (0, delay)))[delay:, None]
        return audio.resample(denoised, library.SAMPLE_RATE, sample_rate, n_samples=len(noisy))[:, 0]


FAMILIES: dict[str, type[Rival]] = {cls.family: cls for cls in (SpectralGate, Wiener, RnNoise)}


def create(spec: str) -> Rival:
    """The rival that `spec` names, such as "wiener" or "noisereduce:stationary".

    Raises ZooError for an unknown name, a setting that it does not have, and a library that is missing.
    """
    name, _, setting = spec.partition(":")
    if name not in FAMILIES:
        known = ", ".join(example for family in FAMILIES.values() for example in family.examples)
        raise ZooError(f"unknown rival {spec!r}; there is {known}")
    return FAMILIES[name](setting)


def create_all(specs: Sequence[str]) -> list[Rival]:
    """The rivals that lists of names with commas name, each once and in order; errors as of `create`."""
    return list(dict.fromkeys(create(spec.strip()) for words in specs for spec in words.split(",")))


def _rnnoise(library: Any, samples: np.ndarray) -> np.ndarray:
    """RNNoise's output (T,) at its own rate, late by its delay."""
    # the binding's own functions round to 16 bits, and wrap around what goes beyond
    size = library.FRAME_SIZE
    frames = np.pad(samples, (0, -len(samples) % size)).astype(np.float32).reshape(-1, size) * np.float32(32768)
    state = library.create()
    try:
        for frame in frames:
            place = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            library.lib.rnnoise_process_frame(state, place, place)
    finally:
        library.destroy(state)
    return frames.reshape(-1)[: len(samples)] / np.float32(32768)


@functools.cache
def _rnnoise_delay() -> int:
    """Samples by which the installed version's output is late: it has changed with the model."""
    library = importlib.import_module(RnNoise.module)
    voice = synth.clip(0, 4.0, library.SAMPLE_RATE, domain="voice", held_out=True)
    late = _rnnoise(library, voice[:, 0])[:, None]
    lag = audio.align(voice, late, max_lag=MOST_DELAY_FRAMES * library.FRAME_SIZE).lag
    # its high-pass filter moves the peak of correlation by a sample
    return round(lag / library.FRAME_SIZE) * int(library.FRAME_SIZE)
