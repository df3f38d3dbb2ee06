"""The clips that are measured: the embedded generator's held-out split, or a folder of files."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from zoo import audio
from zoo.audio.loudspeakers import Downmix, Layout, take
from zoo.audio.reader import Reader, open_reader
from zoo.console.terminal import printable
from zoo.errors import ZooError
from zoo.library import copies

PIECE_S = 30.0
"""Clips longer than this are measured in equal pieces, so that memory stays bounded."""
BLOCK_SAMPLES = 1 << 16  # of a long file at a time


@dataclass(frozen=True, eq=False)
class Clip:
    """A named clip: samples float32 (T, C) in [-1, 1] at `sample_rate` Hz; `domain` groups the results.

    Both names are `printable`, whatever the file's was: they go into tables, pages and pictures.
    """

    name: str
    domain: str
    samples: np.ndarray
    sample_rate: int
    layout: Layout = ()
    """the loudspeakers of the channels; empty where none are meant"""
    downmix: Downmix = "mix"

    def __post_init__(self) -> None:
        for field in ("name", "domain"):
            object.__setattr__(self, field, printable(getattr(self, field)))

    def mixed(self, channels: int) -> np.ndarray:
        """The samples with other channels (T, channels), float32."""
        return take(self.samples, channels, downmix=self.downmix, layout=self.layout)


def pieces(clip: Clip, longest_s: float = PIECE_S) -> Iterator[Clip]:
    """The clip itself, or, if it is longer than `longest_s` seconds, equal parts of it named by where they start."""
    for name, part in _parts(clip.name, len(clip.samples), clip.sample_rate, longest_s):
        yield replace(clip, name=name, samples=clip.samples[part])


def _parts(name: str, n_samples: int, sample_rate: int, longest_s: float) -> Iterator[tuple[str, slice]]:
    n = max(1, math.ceil(n_samples / (longest_s * sample_rate)))
    length = max(1, -(-n_samples // n))
    for start in range(0, max(n_samples, 1), length):
        part = name if n == 1 else f"{name}@{start / sample_rate:.0f}s"
        yield part, slice(start, min(start + length, n_samples))


def held_out_clips(*, n_clips: int, clip_s: float, sample_rate: int, channels: int = 1) -> list[Clip]:
    """`n_clips` clips of `clip_s` seconds from the held-out split of `zoo.synth`, its domains in turn; always the same.

    Raises ZooError on a number or a duration that is not positive.
    """
    from zoo import synth

    if n_clips < 1 or not clip_s > 0:
        raise ZooError(f"held-out clips: asked for {n_clips} clips of {clip_s} s")
    domains = [synth.DOMAINS[i % len(synth.DOMAINS)] for i in range(n_clips)]
    return [
        Clip(
            name=f"{domain}_{i:03d}",
            domain=domain,
            samples=synth.clip(i, clip_s, sample_rate, channels=channels, domain=domain, held_out=True),
            sample_rate=sample_rate,
        )
        for i, domain in enumerate(domains)
    ]


class FolderClips(Sequence[Clip]):
    """The clips of a folder, decoded anew at each access; `clips_from_folder` makes one.

    Iterating leaves out files that cannot be read, names each once on standard error and keeps it in `skipped`
    {path: reason}; indexing one raises ZooError. A file that is not as long as its header says is named once, too.
    """

    def __init__(
        self,
        root: Path,
        files: list[Path],
        sample_rate: int | None,
        channels: int | None,
        *,
        downmix: Downmix = "mix",
        stream: int | None = None,
    ):
        self.root = root
        self.downmix, self.stream = downmix, stream
        self.files = files
        self.skipped: dict[Path, str] = {}
        self._warned: set[Path] = set()
        self._sample_rate = sample_rate
        self._channels = channels

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, i: int) -> Clip: ...

    @overload
    def __getitem__(self, i: slice) -> FolderClips: ...

    def __getitem__(self, i: int | slice) -> Clip | FolderClips:
        if isinstance(i, slice):
            return FolderClips(
                self.root,
                self.files[i],
                self._sample_rate,
                self._channels,
                downmix=self.downmix,
                stream=self.stream,
            )
        path = self.files[i]
        content = audio.read(
            path,
            sample_rate=self._sample_rate,
            channels=self._channels,
            downmix=self.downmix,
            stream=self.stream,
        )
        audio.validate(content.samples, name=str(path))
        self._warn(path, content.warning)
        return Clip(*self._identity(path), content.samples, content.sample_rate, content.layout, self.downmix)

    def pieces(self, i: int) -> Iterator[Clip]:
        """`pieces` of clip i, of which a file longer than one is never held as a whole.

        It is decoded twice in blocks, first to know its length and that all of it can be read. Raises ZooError.
        """
        path = self.files[i]
        converts = self._sample_rate is not None or self._channels is not None
        if converts or audio.inspect(path, stream=self.stream).seconds <= PIECE_S:
            yield from pieces(self[i])
            return
        name, domain = self._identity(path)
        with open_reader(path, stream=self.stream) as reader:
            n_samples = 0
            while n := len(reader.read(BLOCK_SAMPLES)):
                n_samples += n
            self._warn(path, reader.warning)
            reader.rewind()
            for part_name, part in _parts(name, n_samples, reader.sample_rate, PIECE_S):
                samples = _take(reader, part.stop - part.start)
                yield Clip(part_name, domain, samples, reader.sample_rate, reader.layout, self.downmix)

    def _warn(self, path: Path, line: str | None) -> None:
        """Tells once of a file that is not as its header says."""
        if line and path not in self._warned:
            self._warned.add(path)
            print(line, file=sys.stderr, flush=True)

    def _identity(self, path: Path) -> tuple[str, str]:
        """Name and domain of the clip in a file."""
        relative = path.relative_to(self.root)
        return relative.as_posix(), relative.parts[0] if len(relative.parts) > 1 else self.root.resolve().name

    def __iter__(self) -> Iterator[Clip]:
        for i, path in enumerate(self.files):
            try:
                clip = self[i]
            except ZooError as error:
                if path not in self.skipped:
                    self.skipped[path] = str(error)
                    print(f"skipped {error}", file=sys.stderr, flush=True)
                continue
            yield clip


def clips_from_folder(
    root: str | Path,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    limit: int | None = None,
    downmix: Downmix = "mix",
    stream: int | None = None,
) -> FolderClips:
    """All audio files below `root` as clips named by their path in it, the first-level folder being the domain.

    `sample_rate` (Hz) and `channels` convert; None keeps each file's own. `limit` takes that many files, evenly spaced
    over the sorted list, so that every domain is there. `downmix` says how channels become fewer, `stream` which of a
    container is read. Of a store, or of archives, a copy in the user's cache is read. Raises ZooError if `root` is
    missing, not a folder or empty.
    """
    root = copies.folder(root, say=lambda line: print(line, file=sys.stderr, flush=True))
    files = audio.find_files(root)
    if limit is not None:
        if limit < 1:
            raise ZooError(f"limit must be at least 1, got {limit}")
        files = files if limit >= len(files) else [files[(2 * i + 1) * len(files) // (2 * limit)] for i in range(limit)]
    return FolderClips(root, files, sample_rate, channels, downmix=downmix, stream=stream)


def _take(reader: Reader, n_samples: int) -> np.ndarray:
    """The next `n_samples` (T, C), which are known to be there."""
    taken = np.empty((n_samples, reader.channels), np.float32)
    filled = 0
    while filled < n_samples:
        block = reader.read(min(n_samples - filled, BLOCK_SAMPLES))
        if not len(block):
            raise ZooError(f"{reader.name}: has become shorter while it was read")
        taken[filled : filled + len(block)] = block
        filled += len(block)
    return taken
