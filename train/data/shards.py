"""Training crops from a prepared folder: memory-mapped 16-bit shards and the index that says what lies where.

`python -m train prepare` writes it: shard-00000.npy, shard-00001.npy, … of int16 (T, C), files of whole recordings
one behind the other, and index.json: format, version, sample_rate, channels, shard_mb; shards [{name, frames, crc32}];
files [{name, group, shard, start, frames, bytes, mtime_ns}], the last two of the source; and skipped [{name, reason,
bytes, mtime_ns}]. A file also has gain_db if it was scaled down, and note if its end was missing.
"""

from __future__ import annotations

import functools
import json
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from train.data.files import check_balance, chosen_file, chosen_start, file_probabilities
from train.data.held_out import By, chosen
from train.data.source import CropOptions, CropSource, HeldOutFile, Recording
from zoo.errors import ZooError
from zoo.wording import counted

FORMAT, VERSION = "codec-zoo-shards", 1
FULL_SCALE = 32768.0
_KEYS = ("sample_rate", "channels", "shard_mb", "shards", "files", "skipped")
DTYPE = np.dtype("<i2")
_BLOCK = 1 << 16
"""frames of a recording that are read at once"""
_OTHER_FILES = 512
"""that a run may have open beside its shards"""


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.npy"


def is_shard_name(name: str) -> bool:
    return re.fullmatch(r"shard-\d{5,}\.npy", name) is not None


@dataclass(frozen=True)
class Index:
    """What a prepared folder holds; the lists are as in its index.json."""

    root: Path
    sample_rate: int
    """Hz"""
    channels: int
    shard_mb: float
    shards: list[dict[str, Any]]
    files: list[dict[str, Any]]
    skipped: list[dict[str, Any]]

    @property
    def seconds(self) -> float:
        """Duration of all files together."""
        return sum(file["frames"] for file in self.files) / self.sample_rate

    def open_shard(self, number: int) -> np.ndarray:
        """A shard, memory-mapped: int16 (T, C); raises ZooError if it is missing or damaged."""
        entry = self.shards[number]
        return open_shard(self.root / entry["name"], entry["frames"], self.channels)


def open_shard(path: Path, frames: int, channels: int) -> np.ndarray:
    """A shard of so many frames and channels, memory-mapped: int16 (T, C); raises ZooError if it is no such one."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ZooError(f"{path}: this shard is missing; prepare the folder anew") from None
    except OSError as error:
        raise ZooError(f"{path}: this shard cannot be opened ({error.strerror or error})") from None
    except (ValueError, EOFError) as error:
        raise ZooError(f"{path}: this shard is damaged ({error}); prepare the folder anew") from None
    expected = (frames, channels)
    if not isinstance(mapped, np.memmap) or mapped.dtype != DTYPE or mapped.shape != expected:
        found = f"{mapped.dtype} {mapped.shape}" if isinstance(mapped, np.ndarray) else "no array"
        raise ZooError(f"{path}: this shard is damaged (int16 {expected} expected, found {found})")
    return np.asarray(mapped)  # slices of a memmap take three times as long to make


def read_index(root: str | Path) -> Index | None:
    """The index of a prepared folder, None if `root` is none.

    Raises ZooError if the index is damaged, of a later version, or not written yet because `prepare` was stopped.
    """
    root = Path(root)
    path = root / "index.json"
    if not path.is_file():
        if (root / ".prepare").is_dir():
            raise ZooError(f"{root}: its preparation has not finished; run the same `python -m train prepare` again")
        if (root / shard_name(0)).is_file():
            raise ZooError(f"{root}: holds shards, but no index.json")
        return None
    try:
        values = json.loads(path.read_bytes())
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"no index of format {FORMAT}")
        version = values["version"]
        if version == VERSION:
            index = Index(root, *(values[key] for key in _KEYS))
            _check(index)
            return index
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if not (root / shard_name(0)).is_file():
            return None  # another program's file in a folder of audio
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ZooError(f"{path}: this index is damaged ({reason}); prepare the folder anew") from None
    raise ZooError(f"{path}: has version {version}, this program reads version {VERSION}")


def read_head(path: Path, where: str) -> dict[str, Any] | None:
    """What an index.json says before its lists; None for another program's file.

    Raises ZooError, naming `where` it is, for one of another version.
    """
    try:
        with path.open("rb") as stream:
            line = stream.readline(1 << 16)
        head = json.loads(line.rstrip(b"\n").removesuffix(b",") + b"}")
    except OSError as error:
        raise ZooError(f"{where}/{path.name}: cannot be read ({error.strerror})") from None
    except ValueError:
        return None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        return None
    if head.get("version") != VERSION:
        raise ZooError(f"{where}/{path.name}: has version {head.get('version')}, this program reads version {VERSION}")
    return head


def entries(path: Path, key: str) -> Iterator[dict[str, Any]]:
    """One of the lists of an index.json, a line at a time; raises ZooError where `prepare` has not written it so."""
    inside = False
    try:
        with path.open("rb") as stream:
            for line in stream:
                if not inside:
                    inside = line == b'"%s":[\n' % key.encode()
                elif not line.startswith(b"{"):
                    return
                else:
                    yield json.loads(line.rstrip(b"\n").removesuffix(b","))
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ZooError(f"{path}: this index is damaged ({error}); prepare the folder anew") from None


def _check(index: Index) -> None:
    """Raises ValueError, KeyError or TypeError unless every file lies within a shard."""
    if index.sample_rate < 1 or index.channels < 1 or not index.files:
        raise ValueError("it has no rate, no channels or no files")
    frames = [int(shard["frames"]) for shard in index.shards]
    for shard in index.shards:
        if Path(shard["name"]).name != shard["name"]:
            raise ValueError(f"shard {shard['name']!r} lies elsewhere")
    for file in index.files:
        start, n, at = (int(file[key]) for key in ("start", "frames", "shard"))
        if not 0 <= at < len(frames) or start < 0 or n < 1 or start + n > frames[at] or "group" not in file:
            raise ValueError(f"file {file['name']!r} lies outside its shard")


def _allow_open_files(n: int) -> None:
    """Lets this process have n more files open, as far as the system lets it: each mapped shard is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


class ShardCrops(CropSource):
    """Random crops of `segment_samples` from a prepared folder, weighted, drawn, rejected and scaled as `FileCrops` do.

    Where nothing was resampled, they are the same crops bit for bit. A folder of several channels serves a model of
    one: their mean. Raises ZooError on another sample rate or number of channels, and on a missing or damaged shard.
    """

    def __init__(
        self,
        index: Index,
        *,
        balance: float = 0.5,
        held_out: float = 0.0,
        held_out_by: By = "file",
        **crop: Unpack[CropOptions],
    ):
        super().__init__(**crop)
        check_balance(balance)
        sample_rate, channels = self.sample_rate, self.channels
        if index.sample_rate != sample_rate or channels not in (1, index.channels):
            raise ZooError(
                f"{index.root} was prepared at {index.sample_rate} Hz with {counted(index.channels, 'channel')}, the "
                f"model has {sample_rate} Hz and {counted(channels, 'channel')}: prepare the library with "
                f"--sample_rate {sample_rate} --channels {channels}"
            )
        self.root = index.root
        self.index = index
        _allow_open_files(len(index.shards))
        self._shards = [index.open_shard(number) for number in range(len(index.shards))]
        self.seconds = index.seconds
        out = chosen([f["name"] for f in index.files], held_out, held_out_by)
        places = np.array([(f["shard"], f["start"], f["frames"]) for f in index.files], np.int64)
        self._places, self._held_out = places[~out], places[out]
        self._is_held_out = out
        self.held_out = [
            HeldOutFile(f["name"], f["group"], f["frames"] / sample_rate) for f, held in zip(index.files, out) if held
        ]
        groups = [f["group"] for f, held in zip(index.files, out) if not held]
        self._cumulative = np.cumsum(file_probabilities(groups, self._places[:, 2] / sample_rate, balance))
        self._sums = index.channels > channels
        self.full_scale = FULL_SCALE * (index.channels if self._sums else 1)

    def inventory(self) -> dict[str, int]:
        """Frames of each file, by its name in the library that was prepared."""
        return {file["name"]: file["frames"] for file in self.index.files}

    def recordings(self) -> list[Recording]:
        checksums = [shard.get("crc32") for shard in self.index.shards]
        return [
            Recording(
                file["name"],
                file["group"],
                held_out=bool(held_out),
                seconds=file["frames"] / self.sample_rate,
                identity=(file["name"], file["start"], file["frames"], checksums[file["shard"]]),
                blocks=functools.partial(self._blocks, file["shard"], file["start"], file["frames"]),
            )
            for file, held_out in zip(self.index.files, self._is_held_out)
        ]

    def _blocks(self, shard: int, first: int, frames: int) -> Iterator[np.ndarray]:
        for start in range(first, first + frames, _BLOCK):
            samples = self._stretch(shard, start, min(start + _BLOCK, first + frames))
            yield np.divide(samples, self.full_scale, dtype=np.float32)

    def read_held_out(self, number: int, start_s: float, n_samples: int) -> np.ndarray:
        shard, first, frames = self._held_out[number].tolist()
        start = max(0, min(round(start_s * self.sample_rate), frames - n_samples))
        samples = self._stretch(shard, first + start, first + min(start + n_samples, frames))
        return np.divide(samples, self.full_scale, dtype=np.float32)

    def _stretch(self, shard: int, first: int, end: int) -> np.ndarray:
        samples = self._shards[shard][first:end]
        return samples.sum(axis=1, keepdims=True, dtype=np.int32) if self._sums else samples

    def _draw(self, rng: np.random.Generator, k: int, attempt: int) -> np.ndarray:
        file, place = rng.random(2)
        shard, first, frames = self._places[chosen_file(self._cumulative, file)].tolist()
        n = self.segment_samples
        start = chosen_start(frames - n, place)
        samples = self._stretch(shard, first + max(start, 0), first + min(start + n, frames))
        if len(samples) == n:
            return samples
        out = np.zeros((n, samples.shape[1]), samples.dtype)
        out[-start : len(samples) - start] = samples
        return out
