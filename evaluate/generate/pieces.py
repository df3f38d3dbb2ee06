"""Pieces of real recordings, all of one length: two halves of a library that share no recording, and more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo import audio
from zoo.audio.scan import scan
from zoo.console.terminal import report
from zoo.errors import ZooError


@dataclass(frozen=True)
class Place:
    """A piece of a file: at which of its frames it begins, and the name of the folder that the file is in."""

    info: audio.FileInfo
    start: int
    label: str


@dataclass(frozen=True, eq=False)
class Library:
    """The files of a folder that are at least a piece long, with their first-level folders."""

    root: Path
    files: tuple[audio.FileInfo, ...]
    labels: tuple[str, ...]
    seconds: float
    """length of a piece"""

    @classmethod
    def read(cls, root: str | Path, seconds: float) -> Library:
        """Examines a folder; raises ZooError where it has no two files of that length."""
        place = Path(root)
        paths = audio.find_files(place)
        files, labels = [], []
        for path, info in zip(paths, scan(place, paths)):
            if isinstance(info, str):
                report(f"skipped {info}")
            elif info.seconds >= seconds:
                parts = path.relative_to(place).parts
                files.append(info)
                labels.append(parts[0] if len(parts) > 1 else "")
        if len(files) < 2:
            raise ZooError(f"{root}: has {len(files)} files of {seconds:.2f} s or more, and two halves are compared")
        return cls(place, tuple(files), tuple(labels), seconds)

    def halves(self) -> tuple[Library, Library]:
        """The files of each folder dealt out to two libraries, by the hashes of their names."""
        order = sorted(range(len(self.files)), key=lambda i: (self.labels[i], self._hash(i)))
        first, second = (sorted(order[i::2]) for i in range(2))
        return self._only(first), self._only(second)

    def draw(self, n: int, seed: int, weights: dict[str, float] | None = None) -> list[Place]:
        """Places of n pieces: of each folder as many as is its share of the duration, or of `weights`; then at random.

        Within a folder every moment is as likely as any other.
        """
        rng = np.random.default_rng(seed)
        seconds = np.array([info.seconds for info in self.files])
        names = sorted(set(self.labels))
        members = {name: [i for i, label in enumerate(self.labels) if label == name] for name in names}
        weight = np.array([(weights or {}).get(name, float(seconds[members[name]].sum())) for name in names])
        found = []
        for name, count in zip(names, _apportioned(n, weight)):
            share = seconds[members[name]] / seconds[members[name]].sum()
            # spread evenly over the files: as much of each as chance alone would only give on average
            at = (np.arange(count) + rng.random(count)) / max(count, 1)
            for position in at:
                i = members[name][min(int(np.searchsorted(np.cumsum(share), position, side="right")), len(share) - 1)]
                info = self.files[i]
                spare = (info.n_samples or 0) - int(np.ceil(self.seconds * info.sample_rate))
                found.append(Place(info, int(rng.integers(0, max(spare, 0) + 1)), name))
        return found

    def proportions(self) -> dict[str, float]:
        """Seconds by folder."""
        found: dict[str, float] = {}
        for info, label in zip(self.files, self.labels):
            found[label] = found.get(label, 0.0) + info.seconds
        return found

    def _only(self, chosen: Sequence[int]) -> Library:
        files, labels = (tuple(x[i] for i in chosen) for x in (self.files, self.labels))
        return Library(self.root, files, labels, self.seconds)  # type: ignore[arg-type]

    def _hash(self, i: int) -> bytes:
        name = self.files[i].path.relative_to(self.root).as_posix()
        return hashlib.sha256(name.encode(errors="surrogateescape")).digest()


def cut(
    places: Sequence[Place],
    n_samples: int,
    sample_rate: int,
    channels: int,
    advance: Callable[[int], None] = lambda _: None,
) -> list[np.ndarray]:
    """The pieces float32 (n_samples, channels) at these places; raises ZooError for one that cannot be read."""
    found = []
    for place in places:
        found.append(audio.read_crop(place.info, place.start, n_samples, sample_rate=sample_rate, channels=channels))
        advance(1)
    return found


def _apportioned(n: int, weights: np.ndarray) -> list[int]:
    """Whole numbers in these proportions, n together: the largest remainders are rounded up."""
    exact = n * weights / weights.sum()
    counts = np.floor(exact).astype(int)
    for i in np.argsort(counts - exact, kind="stable")[: n - counts.sum()]:
        counts[i] += 1
    return [int(count) for count in counts]
