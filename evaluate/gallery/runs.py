"""The runs that a gallery shows; each of them must be of its kind."""

from __future__ import annotations

from pathlib import Path

from evaluate import cli
from evaluate.gallery.edited import Editing
from zoo import loading
from zoo.console.terminal import printable
from zoo.errors import ZooError
from zoo.generating import ReadyPrior
from zoo.generating.ready import CODEC
from zoo.ready import ReadyCodec


def denoiser(path: str) -> ReadyCodec:
    """The denoiser of a run; raises ZooError for one of another kind."""
    found = loading.load(path)
    if not found.denoises:
        raise ZooError(f"--denoiser {path}: was not trained to denoise (python -m train --task denoise)")
    return found


def codec(path: str | None, prior: ReadyPrior | None) -> Editing | None:
    """The codec of a run, or that of the prior; None without either. Raises ZooError for a denoiser."""
    if path is not None:
        found = loading.load(path)
        if found.denoises:
            raise ZooError(f"--codec {path}: is a denoiser, not a codec")
        return Editing(found, printable(path))
    if prior is None:
        return None
    kept = Path(prior.metadata["path"]).parent.parent / CODEC
    place = kept if kept.is_dir() else cli.run_folder(prior.codec)
    return Editing(prior.codec, printable(str(place)))
