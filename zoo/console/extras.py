"""The packages that only some commands need, by the extra of pyproject.toml that installs them."""

from __future__ import annotations

import importlib.util

from zoo.errors import ZooError

EXTRAS = {"train": ("optax", "grain", "tensorboardX", "matplotlib")}
"""extra → its packages, which have the names of their modules"""


def install_line(extra: str) -> str:
    """The command that installs an extra, in a clone of the repository."""
    return f"pip install -e '.[{extra}]'"


def require(extra: str) -> None:
    """Raises ZooError, with the line that installs them, where packages of an extra are missing."""
    missing = [package for package in EXTRAS[extra] if importlib.util.find_spec(package) is None]
    if missing:
        raise ZooError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: {install_line(extra)}")
