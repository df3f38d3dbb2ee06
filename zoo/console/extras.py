"""The packages that only some commands need, by the extra of pyproject.toml that installs them."""

from __future__ import annotations

import importlib.util

from zoo.errors import ZooError

EXTRAS = {
    "train": ("optax", "grain", "tensorboardX", "matplotlib"),
    "recognise": ("scikit-learn", "threadpoolctl", "optax"),
    "tokens": ("pyarrow",),
    "arrayrecord": ("array-record",),
    "ray": ("ray",),
    "onnx": ("jax2onnx", "onnxruntime"),
}
"""extra → its packages"""
_MODULES = {"scikit-learn": "sklearn", "array-record": "array_record"}
"""package → its module, where that has another name"""


def install_line(extra: str) -> str:
    """The command that installs an extra, in a clone of the repository."""
    return f"pip install -e '.[{extra}]'"


def require(extra: str) -> None:
    """Raises ZooError, with the line that installs them, where packages of an extra are missing."""
    found = {package: importlib.util.find_spec(_MODULES.get(package, package)) for package in EXTRAS[extra]}
    missing = [package for package, spec in found.items() if spec is None]
    if missing:
        raise ZooError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: {install_line(extra)}")
