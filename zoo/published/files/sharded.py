"""Weights in pieces: an index that says in which file beside it each tensor is, as large models are published."""

from __future__ import annotations

import json
import re
from pathlib import Path

from zoo.errors import CheckpointError, one_line
from zoo.published.files.weights import Checkpoint, read

SUFFIX = ".index.json"
_PIECE = re.compile(r"-\d{5}-of-\d{5}\.")


def is_piece(name: str) -> bool:
    """Whether a file's name says that it is one of several."""
    return _PIECE.search(name) is not None


def pieces(index: Path) -> tuple[str, ...]:
    """Names of the files that an index tells of, in their order; raises CheckpointError for one that tells of none."""
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index}: it does not say where the weights are ({one_line(error)})") from None
    if not names or any(Path(name).name != name for name in names):
        raise CheckpointError(f"{index}: it does not say which files beside it hold the weights")
    return tuple(names)


def read_all(path: Path) -> Checkpoint:
    """All tensors of a file of weights, or of the pieces that an index tells of.

    Raises CheckpointError like `read`, and for a piece that is missing, or is given as though it were all.
    """
    if is_piece(path.name):
        raise CheckpointError(f"{path} is one of several pieces: give their folder, with the index of them")
    if not path.name.endswith(SUFFIX):
        return read(path)
    names = pieces(path)
    for name in names:
        if not (path.parent / name).exists():
            raise CheckpointError(f"{path.parent / name} is missing, one of {len(names)} pieces that {path.name} names")
    read_pieces = [read(path.parent / name) for name in names]
    tensors = {key: array for piece in read_pieces for key, array in piece.tensors.items()}
    return Checkpoint(tensors, read_pieces[0].metadata)
