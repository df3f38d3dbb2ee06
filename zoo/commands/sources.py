"""What the commands read from: files and pipes by their names, and the codec that is meant."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from zoo import loading, shipped
from zoo.audio import RawFormat, output
from zoo.audio.places import no_folder
from zoo.coding import engine
from zoo.commands.options import Raw
from zoo.console.terminal import report
from zoo.errors import ZooError
from zoo.ready import ReadyCodec
from zoo.saved import checkpoint


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Bytes of a file, or of standard input for "-"; raises ZooError naming what cannot be opened."""
    if path == "-":
        yield output.standard(sys.stdin, "standard input")
        return
    check_input(path)
    place = Path(path)
    try:
        stream = place.open("rb")
    except OSError as error:
        raise ZooError(f"{path}: cannot be opened ({error.strerror})") from None
    with stream:
        yield stream


def check_input(path: str) -> None:
    """Refuses an input that is a folder before a codec is loaded, which may take minutes."""
    if path != "-":
        no_folder(path)


def find_codec(ckpt: str | None, weights_hash: bytes | None = None, *, denoises: bool = False) -> ReadyCodec:
    """The codec named, the one that a file was made with, or else the package's own, if there is one, or its denoiser.

    Where it might not be the one that is meant, since there are runs below runs/, a line says so. Without one it is the
    only run there is.
    """
    if ckpt is None and weights_hash is not None:
        return loading.find_by_hash(weights_hash)
    if ckpt is not None or (name := shipped.default(denoises=denoises)) is None:
        return find_run(ckpt)
    if trained := [run for run in loading.list_runs() if _denoises(run) == denoises]:
        kind = "denoiser" if denoises else "codec"
        report(f"with {name}, the package's own {kind}; another one must be named: --ckpt {trained[0].name}")
    return loading.load_shipped(name)


def _denoises(run: loading.ModelInfo) -> bool:
    return engine.denoises(checkpoint.read_metadata(Path(run.name) / "checkpoints" / str(run.step)))


def find_run(ckpt: str | None) -> ReadyCodec:
    """The codec named, or the only one there is below runs/."""
    if ckpt is not None:
        return loading.load(ckpt)
    # a published model only by its name
    return loading.load(the_only([model.name for model in loading.list_runs()], "run"))


def the_only(names: Sequence[str], kind: str) -> str:
    """The one name that there is; raises ZooError, which asks for --ckpt, where there are more, or none."""
    if len(names) != 1:
        there = f"there are {', '.join(names)}" if names else f"there is no {kind} in runs/"
        raise ZooError(f"--ckpt is needed: {there}")
    return names[0]


def raw_format(raw: Raw) -> RawFormat | None:
    if raw.sample_rate is None and raw.channels is None:
        return None
    if raw.sample_rate is None or raw.channels is None:
        raise ZooError("raw audio needs both --raw.sample_rate and --raw.channels")
    return RawFormat(raw.sample_rate, raw.channels, raw.encoding)
