"""The clips that are measured: the embedded generator's held-out split, or a folder of files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from zoo import audio
from zoo.errors import ZooError
from zoo.terminal import printable


@dataclass(frozen=True, eq=False)
class Clip:
    """A named clip: samples float32 (T, C) in [-1, 1] at `sample_rate` Hz; `domain` groups the results.

    Both names are `printable`, whatever the file's was: they go into tables, pages and pictures.
    """

    name: str
    domain: str
    samples: np.ndarray
    sample_rate: int

    def __post_init__(self) -> None:
        for field in ("name", "domain"):
            object.__setattr__(self, field, printable(getattr(self, field)))


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
    {path: reason}; indexing one raises ZooError.
    """

    def __init__(self, root: Path, files: list[Path], sample_rate: int | None, channels: int | None):
        self.root = root
        self.files = files
        self.skipped: dict[Path, str] = {}
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
            return FolderClips(self.root, self.files[i], self._sample_rate, self._channels)
        path = self.files[i]
        relative = path.relative_to(self.root)
        content = audio.read(path, sample_rate=self._sample_rate, channels=self._channels)
        audio.validate(content.samples, name=str(path))
        domain = relative.parts[0] if len(relative.parts) > 1 else self.root.resolve().name
        return Clip(relative.as_posix(), domain, content.samples, content.sample_rate)

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
    root: str | Path, *, sample_rate: int | None = None, channels: int | None = None, limit: int | None = None
) -> FolderClips:
    """All audio files below `root` as clips named by their path in it, the first-level folder being the domain.

    `sample_rate` (Hz) and `channels` convert; None keeps each file's own. `limit` takes that many files, evenly spaced
    over the sorted list, so that every domain is there. Raises ZooError if `root` is missing, not a folder or empty.
    """
    root = Path(root)
    files = audio.find_files(root)
    if limit is not None:
        if limit < 1:
            raise ZooError(f"limit must be at least 1, got {limit}")
        files = files if limit >= len(files) else [files[(2 * i + 1) * len(files) // (2 * limit)] for i in range(limit)]
    return FolderClips(root, files, sample_rate, channels)
