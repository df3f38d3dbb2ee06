"""Files of a library that a run is measured on and never trained on."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from evaluate.clips import Clip
from evaluate.silence import silent
from train.data.source import CropSource
from zoo.errors import ZooError

By = Literal["file", "folder"]


def chosen(names: Sequence[str], share: float, by: By = "file") -> np.ndarray:
    """Which files are held out, bool (n,): `share` of them, rounded, which for few files is none.

    Those whose names have the smallest hashes: they depend neither on the order of the files nor on whether the library
    is read as it is or prepared. With `by` "folder" these are the names of the folders that the files are in, of which
    each is taken that has no more files than are still to be found, so that the share may be smaller. Raises ZooError
    for a share outside [0, 0.5], and where all folders have too many files.
    """
    if not 0 <= share <= 0.5:
        raise ZooError(f"data.held_out must lie in [0, 0.5], got {share}")
    out = np.zeros(len(names), bool)
    left = wanted = round(share * len(names))
    units: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        units.setdefault(name.rpartition("/")[0] if by == "folder" else name, []).append(number)
    for unit in sorted(units, key=lambda name: hashlib.sha256(name.encode(errors="surrogateescape")).digest()):
        if len(units[unit]) <= left:
            out[units[unit]] = True
            left -= len(units[unit])
    if wanted and left == wanted:
        fewest = min(map(len, units.values()))
        raise ZooError(
            f"data.held_out_by folder: data.held_out {share:g} is {wanted} of {len(names)} files, and each of the "
            f"{len(units)} folders has more, {fewest} at least: raise data.held_out, or hold out by file"
        )
    return out


def clips(source: CropSource, *, n_clips: int, clip_s: float) -> list[Clip]:
    """Up to `n_clips` clips of the source's held-out files, their groups in turn; always the same.

    Of a file that is long enough there are several, none of which overlap; a shorter one is a clip as it is. What
    cannot be read is left out, which the source reports, and so is silence, of which no metric tells anything.
    """
    files = source.held_out
    if not files:
        return []
    groups: dict[str, list[int]] = {}
    for number, file in enumerate(files):
        groups.setdefault(file.group, []).append(number)
    in_turn = [n for row in itertools.zip_longest(*(groups[g] for g in sorted(groups))) for n in row if n is not None]
    rounds = -(-n_clips // len(in_turn))
    turns = [max(1, min(rounds, int(file.seconds // clip_s))) for file in files]
    found = []
    for r, number in [(r, number) for r in range(rounds) for number in in_turn if r < turns[number]][:n_clips]:
        file = files[number]
        # in the middle of the r-th of as many equal parts
        start_s = max(0.0, (r + 0.5) * file.seconds / turns[number] - clip_s / 2)
        samples = source.read_held_out(number, start_s, max(1, round(clip_s * source.sample_rate)))
        if samples is not None and not silent(samples).all():
            later = f"@{start_s:.1f}s" if turns[number] > 1 else ""
            found.append(Clip(file.name + later, file.group or "files", samples, source.sample_rate))
    return found
