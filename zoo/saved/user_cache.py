"""Where what can be computed again is kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path


def folder(name: str) -> Path | None:
    """The folder of that name in the user's cache, which need not be there; None where the user has no place for it."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no home
        return None
    return Path(base) / "codec-zoo" / name
