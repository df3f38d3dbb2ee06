"""Features of many clips of any lengths, in few compiled shapes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from zoo import arguments
from zoo.audio import padding
from zoo.errors import ZooError
from zoo.features.extraction import FRAMED, NAMES, chosen, extract
from zoo.features.settings import n_frames

_AT_ONCE = 64
"""clips among which equal lengths are looked for, and which are held"""
_STEPS_AN_OCTAVE = 8
_ACCELERATOR_BATCH = 32


def extract_each(
    clips: Iterable[Any],
    sample_rate: int,
    names: Sequence[str] = NAMES,
    *,
    batch_size: int | None = None,
    **parameters: Any,
) -> Iterator[dict[str, np.ndarray]]:
    """Features of each clip (T,) in turn, by name: (F, n) with the clip's own frames alone, () for "tempo".

    As `extract` of the clip alone; but clips are padded to one of a few lengths, at most an eighth more than their own,
    so that a folder of any lengths is compiled for a handful of shapes. `batch_size` clips are computed at once (None:
    1 on a CPU, 32 on accelerators), and clips are taken from an iterator 64 at a time. Raises ZooError for a clip that
    is not (T,), which it counts from 0, and like `extract`.
    """
    if batch_size is None:
        batch_size = 1 if jax.default_backend() == "cpu" else _ACCELERATOR_BATCH
    batch_size = arguments.count(batch_size, "batch_size")
    names = chosen(names)
    if not isinstance(clips, Iterable):
        raise ZooError(
            f"clips must be arrays of samples, one after the other, got {' '.join(repr(clips).split())[:80]}"
        )
    numbered = enumerate(clips)
    while some := list(itertools.islice(numbered, _AT_ONCE)):
        found: dict[int, dict[str, np.ndarray]] = {}
        by_length: dict[int, list[tuple[int, np.ndarray]]] = {}
        for i, clip in some:
            samples = arguments.as_array(clip, f"clip {i}")
            if samples.ndim != 1 or not samples.size or samples.dtype.kind != "f":
                raise ZooError(f"clip {i} must be floating-point samples (T,), got {samples.dtype} {samples.shape}")
            by_length.setdefault(padded_length(len(samples)), []).append((i, samples))
        for length, members in by_length.items():
            for start in range(0, len(members), batch_size):
                batch = members[start : start + batch_size]
                features = _padded(batch, length, batch_size, sample_rate, names, parameters)
                found |= zip((i for i, _ in batch), features)
        for i, _ in some:
            yield found[i]


def padded_length(n_samples: int) -> int:
    """The length that a clip is padded to: eight in an octave, at least 4096."""
    return padding.padded_length(n_samples, _STEPS_AN_OCTAVE)


def _padded(
    batch: Sequence[tuple[int, np.ndarray]],
    length: int,
    batch_size: int,
    sample_rate: int,
    names: Sequence[str],
    parameters: dict[str, Any],
) -> Iterator[dict[str, np.ndarray]]:
    # rows that no clip is left for are silence, so that the last batch has the others' shape
    audio, n_samples = np.zeros((batch_size, length), np.float32), np.ones(batch_size, np.int32)
    for row, (_, samples) in enumerate(batch):
        audio[row, : len(samples)] = samples
        n_samples[row] = len(samples)
    try:
        found = extract(audio, sample_rate, names, n_samples, **parameters)
    except ZooError:
        for i, samples in batch:  # which of them it is
            if not np.isfinite(samples).all():
                raise ZooError(f"clip {i} is not finite") from None
        raise
    arrays = {name: np.asarray(values) for name, values in found.items()}
    for row, (_, samples) in enumerate(batch):
        own = n_frames(len(samples), parameters.get("hop_length", 512))
        yield {name: values[row, :own] if name in FRAMED else values[row] for name, values in arrays.items()}
