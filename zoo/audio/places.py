"""What stands at a path, without opening it: opening a named pipe waits for whoever writes to it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

from zoo.audio.output import describe
from zoo.errors import ZooError

Kind = Literal["file", "folder", "pipe"]


def is_uri(place: str) -> bool:
    """Whether a place is named by a URI, rather than by a path of this machine."""
    return "://" in place


def kind(path: str | Path) -> Kind:
    """Whether a path is an ordinary file, a folder, or something to be read once (a pipe, a device).

    Raises ZooError if there is nothing, or nothing that may be looked at.
    """
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        why = "is a URI, and only files of this machine are read here" if is_uri(str(path)) else "no such file"
        raise ZooError(f"{path}: {why}") from None
    except (OSError, ValueError) as error:
        raise ZooError(f"{path}: cannot be read ({describe(error)})") from error
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "pipe"


def no_folder(path: str | Path) -> Kind:
    """`kind`, and a ZooError for a folder, and for an empty name, which pathlib takes for this folder."""
    if not str(path):
        raise ZooError("the name of an input is empty")
    if (found := kind(path)) == "folder":
        raise ZooError(f"{path}: is a folder")
    return found
