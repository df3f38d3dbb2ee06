"""Training crops from a tree of audio files of any format, rate and number of channels."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from train.data.held_out import By, chosen
from train.data.source import CropOptions, CropSource, HeldOutFile, Recording
from zoo import audio
from zoo.audio.decoders.inspect import PLAUSIBLE_HZ
from zoo.audio.loudspeakers import Downmix, take
from zoo.audio.resampler import Resampler
from zoo.audio.scan import scan, stamp
from zoo.errors import ZooError
from zoo.wording import counted

_NOTES = 5
"""lines on single files that are read otherwise than their headers say; of more, the number"""
_LONG_S = 60.0
_BLOCK_SAMPLES = 1 << 16


def report_skipped(path: Path, reason: str) -> None:
    """Names a file that is left out on standard error."""
    print(skipped_line(path, reason), file=sys.stderr, flush=True)


def report_note(line: str) -> None:
    """Prints a line on a file that is read, but not as its header says, on standard error."""
    print(line, file=sys.stderr, flush=True)


def skipped_line(path: Path, reason: str) -> str:
    """What is said of a file that is left out."""
    return f"skipped {reason if str(path) in reason else f'{path}: {reason}'}"


class FileCrops(CropSource):
    """Random crops of `segment_samples` at `sample_rate` Hz from all audio files below `root`.

    A file's share of the crops is its duration's share of its group's duration; a group is a first-level sub-folder
    (files in `root` itself are one too), and group g has the share duration_g^(1 - balance), normalised: `balance` 0
    is duration alone, 1 every group equally often. The start is uniform over the file; a file shorter than the crop
    lies at a uniform position in silence. `downmix` says how more channels become fewer, `stream` which stream of a
    container is taken. Only the crop and the resampling filter's reach around it are decoded.

    A crop whose RMS about its mean is below `silence_db` dBFS is drawn again (up to ten times), then scaled by a gain
    uniform in ±gain_db, then down if its peak exceeds 1. There are no crops of a share `held_out` of the files, or
    of their folders (`held_out_by`). A file that cannot be read, when scanned or later, is passed once to `on_skip`,
    kept in `skipped` {path: reason}, and another is drawn; lines on files whose headers are wrong, and on what cannot
    be read as a whole, go to `on_note`. Raises ZooError if `root` is missing, holds no audio, or none that can be read.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        balance: float = 0.5,
        held_out: float = 0.0,
        held_out_by: By = "file",
        downmix: Downmix = "mix",
        stream: int | None = None,
        on_skip: Callable[[Path, str], None] = report_skipped,
        on_note: Callable[[str], None] = report_note,
        **crop: Unpack[CropOptions],
    ):
        super().__init__(**crop)
        check_balance(balance)
        self.root = Path(root)
        self.skipped: dict[Path, str] = {}
        self._downmix, self._stream = downmix, stream
        self._on_skip, self._on_note = on_skip, on_note
        self._lock = threading.Lock()
        # what the samples depend on besides the files; nothing where they are as they ever were
        self._taken = () if (downmix, stream) == ("mix", None) else (downmix, stream)
        self._inside = len(str(self.root / "x")) - 1
        scanned = self._scan()
        out = chosen([self._name(f) for f in scanned], held_out, held_out_by)
        self.files = [f for f, held in zip(scanned, out) if not held]
        self._held_out = [f for f, held in zip(scanned, out) if held]
        self.held_out = [HeldOutFile(self._name(f), self._group(f), f.seconds) for f in self._held_out]
        self.seconds = sum(f.seconds for f in scanned)
        seconds = np.array([f.seconds for f in self.files])
        self._cumulative = np.cumsum(file_probabilities([self._group(f) for f in self.files], seconds, balance))

    def inventory(self) -> dict[str, int]:
        """Frames of each readable file by its path below `root`."""
        return {self._name(f): _frames(f) for f in (*self.files, *self._held_out)}

    def read_held_out(self, number: int, start_s: float, n_samples: int) -> np.ndarray | None:
        info = self._held_out[number]
        frames = _frames(info)
        n_samples = min(n_samples, max(1, frames * self.sample_rate // info.sample_rate))
        spare = frames - -(-n_samples * info.sample_rate // self.sample_rate)
        return self._read(info, max(0, min(round(start_s * info.sample_rate), spare)), n_samples)

    def recordings(self) -> list[Recording]:
        return [
            Recording(
                self._name(info),
                self._group(info),
                held_out=held_out,
                seconds=info.seconds,
                identity=(self._name(info), *(stamp(info.path) or ()), *self._taken),
                blocks=functools.partial(self._blocks, info),
            )
            for held_out, infos in ((False, self.files), (True, self._held_out))
            for info in infos
        ]

    def _blocks(self, info: audio.FileInfo) -> Iterator[np.ndarray]:
        with audio.open_reader(info.path, stream=self._stream) as reader:
            resampler = Resampler(reader.sample_rate, self.sample_rate, self.channels)
            while len(block := reader.read(_BLOCK_SAMPLES)):
                yield resampler.push(take(block, self.channels, downmix=self._downmix, layout=reader.layout))
            yield resampler.finish()

    def _name(self, info: audio.FileInfo) -> str:
        return str(info.path)[self._inside :]

    def _group(self, info: audio.FileInfo) -> str:
        return group_of(self._name(info))

    def _scan(self) -> list[audio.FileInfo]:
        """Examines every file, or looks it up; tells what is left out."""
        paths = audio.find_files(self.root, on_left_out=self._on_note)
        files = []
        for path, info in zip(paths, scan(self.root, paths, stream=self._stream)):
            if isinstance(info, str):
                self._skip(path, info)
            elif not PLAUSIBLE_HZ[0] <= info.sample_rate <= PLAUSIBLE_HZ[1]:
                # by its duration it would get all the draws
                self._skip(path, info.warning or f"{path}: {info.sample_rate} Hz")
            else:
                files.append(info)
        if not files:
            raise ZooError(f"{self.root}: none of its {len(paths)} audio files can be read")
        self._note(files)
        return files

    def _note(self, files: list[audio.FileInfo]) -> None:
        notes = [info.warning for info in files if info.warning]
        for line in notes[:_NOTES]:
            self._on_note(line)
        if len(notes) > _NOTES:
            more = len(notes) - _NOTES
            self._on_note(f"{self.root}: {more} more files like these; python -m train check {self.root} names all")
        wide = sum(info.channels > max(self.channels, 2) for info in files)
        if wide:
            how = {
                "mix": "which are mixed, those of loudspeakers by ITU-R BS.775",
                "first": f"of which the first {self.channels} are taken",
            }
            self._on_note(
                f"{self.root}: {counted(wide, 'file')} {'has' if wide == 1 else 'have'} more than two channels, "
                f"{how[self._downmix]}"
            )
        slow = [info for info in files if info.sequential and info.seconds > _LONG_S]
        if slow:
            hours = sum(info.seconds for info in slow) / 3600
            kinds = ", ".join(sorted({info.format for info in slow}))
            self._on_note(
                f"{self.root}: {counted(len(slow), 'file')}, {hours:.2g} hours ({kinds}), to be decoded from the "
                "beginning for each crop; python -m train prepare decodes them once"
            )

    def _skip(self, path: Path, reason: str) -> None:
        with self._lock:
            if path in self.skipped:
                return
            self.skipped[path] = reason
        self._on_skip(path, reason)

    def _draw(self, rng: np.random.Generator, k: int, attempt: int) -> np.ndarray | None:
        file, place = rng.random(2)
        info = self.files[chosen_file(self._cumulative, file)]
        frames = _frames(info)
        spare = frames - -(-self.segment_samples * info.sample_rate // self.sample_rate)
        # A file that failed before is tried again: remembering it would make an example depend on those before it.
        return self._read(info, chosen_start(spare, place), self.segment_samples)

    def _read(self, info: audio.FileInfo, start: int, n_samples: int) -> np.ndarray | None:
        try:
            samples = audio.read_crop(
                info,
                start,
                n_samples,
                sample_rate=self.sample_rate,
                channels=self.channels,
                downmix=self._downmix,
            )
            audio.validate(samples, name=str(info.path))
        except ZooError as error:
            self._skip(info.path, str(error))
            return None
        return samples


def _frames(info: audio.FileInfo) -> int:
    assert info.n_samples is not None  # it was counted when the file was examined
    return info.n_samples


def check_balance(balance: float) -> None:
    """Raises ZooError for a weighting that `file_probabilities` does not know."""
    if not 0 <= balance <= 1:
        raise ZooError(f"data.balance must lie in [0, 1], got {balance}")


def file_probabilities(groups: Sequence[str], seconds: np.ndarray, balance: float) -> np.ndarray:
    """The probability (n_files,) of each file, of a group and a duration, under the weighting `FileCrops` states."""
    numbers = np.unique(groups, return_inverse=True)[1]
    group_seconds = np.bincount(numbers, weights=seconds)
    group_share = group_seconds ** (1 - balance)
    return seconds / group_seconds[numbers] * (group_share / group_share.sum())[numbers]


def group_of(name: str) -> str:
    """A file's group: the first folder of its path below the root, "" for one that lies in the root itself."""
    return name.partition("/")[0] if "/" in name else ""


def chosen_file(cumulative: np.ndarray, chosen: float) -> int:
    """The file that a uniform `chosen` in [0, 1) falls on, by the cumulated probabilities."""
    return min(int(np.searchsorted(cumulative, chosen * cumulative[-1], side="right")), len(cumulative) - 1)


def chosen_start(spare: int, place: float) -> int:
    """The first frame of a crop by a uniform `place` in [0, 1), in a file with `spare` frames more than it has.

    A file that is too short, by −spare, gets a start before its own: silence surrounds it.
    """
    return int(np.sign(spare)) * int(place * (abs(spare) + 1))
