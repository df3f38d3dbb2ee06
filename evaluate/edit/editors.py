"""What can be measured in time and pitch: ours on the waveform, codecs by their latents, and libraries of others."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from zoo import editing
from zoo.editing.frames import Stretch
from zoo.editing.through import LatentEditor
from zoo.errors import ZooError, one_line
from zoo.ready import ReadyCodec

INSTALL = "pip install -e '.[editing]'"


class Editor(Protocol):
    """Whatever changes the time or the pitch of audio (T, C) at `sample_rate` Hz."""

    @property
    def name(self) -> str: ...

    @property
    def coder(self) -> str:
        """The library that does it, with its version; empty for ours."""
        ...

    def stretch(self, samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray: ...

    def pitch(self, samples: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray: ...


@dataclass(frozen=True)
class Waveform:
    """What the commands do by default."""

    name: str = "waveform"
    coder: str = ""

    def stretch(self, samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
        """As `zoo.editing.stretch`."""
        return editing.stretch(samples, sample_rate, factor)

    def pitch(self, samples: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
        """As `zoo.editing.pitch`."""
        return editing.pitch(samples, sample_rate, semitones)


@dataclass(frozen=True, eq=False)
class Latents:
    """A codec, whose latents are interpolated in time."""

    codec: ReadyCodec
    name: str
    coder: str = ""

    def stretch(self, samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
        """As `python -m zoo stretch --domain latent`."""
        edit = Stretch(factor, self.codec.module)
        return _through(LatentEditor(self.codec.engine, sample_rate, samples.shape[1], edit, factor=factor), samples)

    def pitch(self, samples: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
        """As `python -m zoo pitch --domain latent`."""
        speed = 2.0 ** (semitones / 12)
        edit = Stretch(speed, self.codec.module)
        return _through(LatentEditor(self.codec.engine, sample_rate, samples.shape[1], edit, speed=speed), samples)


def _through(editor: LatentEditor, samples: np.ndarray) -> np.ndarray:
    return np.concatenate([editor.push([samples]), editor.finish()])


@dataclass(frozen=True)
class Librosa:
    """librosa's phase vocoder, with its defaults: one window of 2048 samples, no phase locking."""

    name: str = "librosa"

    def __post_init__(self) -> None:
        _library("librosa", "librosa")

    @property
    def coder(self) -> str:
        return f"librosa {importlib.metadata.version('librosa')}"

    def stretch(self, samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
        """`librosa.effects.time_stretch`."""
        library = _library("librosa", "librosa")
        return np.asarray(library.effects.time_stretch(samples.T, rate=1 / factor)).T.astype(np.float32)

    def pitch(self, samples: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
        """`librosa.effects.pitch_shift`."""
        library = _library("librosa", "librosa")
        shifted = library.effects.pitch_shift(samples.T, sr=sample_rate, n_steps=semitones)
        return np.asarray(shifted).T.astype(np.float32)


@dataclass(frozen=True)
class RubberBand:
    """Rubber Band, offline, by its faster engine (R2) or, as "rubberband:finer", by its better one (R3)."""

    finer: bool = False

    def __post_init__(self) -> None:
        _library("rubberband", "pylibrb")

    @property
    def name(self) -> str:
        return "rubberband:finer" if self.finer else "rubberband"

    @property
    def coder(self) -> str:
        return f"Rubber Band by pylibrb {importlib.metadata.version('pylibrb')}, {'R3' if self.finer else 'R2'}"

    def stretch(self, samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
        """With a time ratio."""
        return self._process(samples, sample_rate, factor, 1.0)

    def pitch(self, samples: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
        """With a pitch scale."""
        return self._process(samples, sample_rate, 1.0, 2.0 ** (semitones / 12))

    def _process(self, samples: np.ndarray, sample_rate: int, factor: float, scale: float) -> np.ndarray:
        library = _library("rubberband", "pylibrb")
        engine = library.Option.ENGINE_FINER if self.finer else library.Option.ENGINE_FASTER
        stretcher = library.RubberBandStretcher(
            sample_rate=sample_rate,
            channels=samples.shape[1],
            options=library.Option.PROCESS_OFFLINE | engine,
            initial_time_ratio=factor,
            initial_pitch_scale=scale,
        )
        audio = np.ascontiguousarray(samples.T, np.float32)
        stretcher.set_expected_input_duration(audio.shape[1])
        stretcher.set_max_process_size(audio.shape[1])
        stretcher.study(audio, final=True)
        stretcher.process(audio, final=True)
        done = []
        while (n := stretcher.available()) > 0:
            done.append(np.array(stretcher.retrieve(n)))
        result = np.concatenate([np.zeros((samples.shape[1], 0), np.float32), *done], axis=1)
        return result.T.astype(np.float32)


RIVALS: dict[str, Any] = {
    "librosa": Librosa,
    "rubberband": RubberBand,
    "rubberband:finer": lambda: RubberBand(finer=True),
}


def rivals(specs: Sequence[str]) -> list[Editor]:
    """The rivals that lists of names with commas name, each once and in order.

    Raises ZooError for an unknown name, and for a library that is missing.
    """
    names = dict.fromkeys(name.strip() for words in specs for name in words.split(","))
    for name in names:
        if name not in RIVALS:
            raise ZooError(f"unknown rival {name!r}; there is {', '.join(RIVALS)}")
    return [RIVALS[name]() for name in names]


def _library(family: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ZooError(f"rival {family!r}: needs {module}, which is not installed; {INSTALL}") from None
    except (ImportError, OSError) as error:  # its compiled part was built for something else
        raise ZooError(f"rival {family!r}: {module} cannot be imported ({one_line(error)})") from None
