"""Files and arrays of any length, rate and number of channels as the batches that an embedder takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from zoo import arguments, audio
from zoo.audio.arrays import as_audio
from zoo.audio.padding import padded_length
from zoo.codec import Codec
from zoo.errors import ZooError

PIECE_S = 10.0
"""Longer clips are embedded in equal pieces, whose vectors are averaged: memory stays bounded."""
BATCH = 4
"""pieces that are embedded at once; no result depends on it"""
_STEPS = 4
"""lengths that are compiled in each octave; a piece is filled up to the next of them"""


@runtime_checkable
class Extractor(Protocol):
    """What makes vectors of clips, such as an `embedding.Embedder`."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def channels(self) -> int: ...

    def __call__(self, audio: np.ndarray, n_samples: np.ndarray) -> dict[str, np.ndarray]: ...


def vectors(extractor: Extractor, samples: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
    """Vectors (V,) of each set for one clip (T,) or (T, C) at `sample_rate` Hz; raises ZooError as `as_audio` does."""
    # a bare codec has all that the protocol asks for
    if isinstance(extractor, Codec) or not isinstance(extractor, Extractor):
        raise ZooError(
            f"extractor must be what zoo.recognise.embedder(…) gives, an Embedder, got a {type(extractor).__name__}"
        )
    clip, sample_rate = as_audio(samples), arguments.sample_rate(sample_rate)
    if clip.ndim == 3:
        raise ZooError(f"a clip is (T,) or (T, C), got shape {clip.shape}")
    return next(_of_clips(extractor, [clip if clip.ndim == 2 else clip[:, None]], [sample_rate]))


def of_files(
    extractors: Mapping[str, Extractor], files: Sequence[Path], on_unreadable: Callable[[Path, ZooError], None]
) -> Iterator[tuple[Path, dict[str, dict[str, np.ndarray]]]]:
    """Each file with its vectors by extractor and set; of a file that cannot be read, `on_unreadable` is told instead.

    A file is decoded once for all extractors.
    """
    for start in range(0, len(files), BATCH):
        clips, paths = [], []
        for path in files[start : start + BATCH]:
            try:
                clip = audio.read(path)
                audio.validate(clip.samples, name=str(path))
            except ZooError as error:
                on_unreadable(path, error)
                continue
            clips.append(clip)
            paths.append(path)
        found = {
            name: list(_of_clips(extractor, [clip.samples for clip in clips], [clip.sample_rate for clip in clips]))
            for name, extractor in extractors.items()
        }
        for i, path in enumerate(paths):
            yield path, {name: every[i] for name, every in found.items()}


def _of_clips(
    extractor: Extractor, clips: Sequence[np.ndarray], rates: Sequence[int]
) -> Iterator[dict[str, np.ndarray]]:
    pieces: list[np.ndarray] = []
    owners: list[int] = []
    for i, (clip, rate) in enumerate(zip(clips, rates)):
        mixed = audio.mix_channels(clip, extractor.channels) if clip.shape[1] != extractor.channels else clip
        parts = _pieces(audio.resample(mixed, rate, extractor.sample_rate), extractor.sample_rate)
        pieces += parts
        owners += [i] * len(parts)
    sums: list[dict[str, np.ndarray]] = [{} for _ in clips]
    for chosen, batch, lengths in _batches(pieces, extractor.sample_rate):
        for name, found in extractor(batch, lengths).items():
            for row, piece in zip(found, chosen):
                owner = sums[owners[piece]]
                owner[name] = owner.get(name, 0) + row / owners.count(owners[piece])
    yield from sums


def _pieces(clip: np.ndarray, sample_rate: int) -> list[np.ndarray]:
    n = math.ceil(len(clip) / (PIECE_S * sample_rate))
    return np.array_split(clip, n)


def _batches(pieces: Sequence[np.ndarray], sample_rate: int) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Pieces of about one length together: their numbers, a batch of 1 or BATCH of them, and their lengths in it."""
    groups: dict[int, list[int]] = {}
    for i, piece in enumerate(pieces):
        groups.setdefault(_padded(len(piece), sample_rate), []).append(i)
    for length, members in groups.items():
        for start in range(0, len(members), BATCH):
            chosen = members[start : start + BATCH]
            # two shapes are compiled, no more: what is missing in a batch is the first of it again
            rows = chosen if len(chosen) == 1 else chosen + [chosen[0]] * (BATCH - len(chosen))
            batch = np.stack([np.pad(pieces[i], ((0, length - len(pieces[i])), (0, 0))) for i in rows])
            yield chosen, batch, np.array([len(pieces[i]) for i in rows], np.int32)


def _padded(n_samples: int, sample_rate: int) -> int:
    """The next of a few lengths, from a quarter of a second on."""
    return padded_length(n_samples, _STEPS, max(1, sample_rate // 4))
