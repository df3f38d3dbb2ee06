"""Weights in pieces: an index that says in which file beside it each tensor is, as large models are published."""

from __future__ import annotations

import json
import re
from pathlib import Path

from zoo.errors import CheckpointError, one_line

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
