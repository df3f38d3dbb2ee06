"""The codecs that this package brings, ready for use without a network: which there are, and how one is found.

`python -m zoo export RUN zoo/models/NAME --precision float16 --licence … --trained_on …` makes one of a run. Imports
nothing that computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, ZooError
from zoo.published import hub
from zoo.saved import checksums

FOLDER = Path(__file__).with_name("models")
"""Each of its folders is a codec, as `zoo.published.load.export` writes them. It may be empty, or not be there."""
DEFAULT = "codec_24khz"
"""The codec that is meant where none is named."""
DENOISER = "denoiser_48khz"
"""The one that is meant where noise is to be taken off."""
MAX_BYTES, MAX_BYTES_IN_ALL = 20_000_000, 60_000_000
"""How large one of them may be, and all together: they are part of every installation."""
FORMER: dict[str, tuple[str, str]] = {
    "77ad068b216efce0c09c0f03d5bab1fa": ("codec_24khz", "0.1.0, before its steps followed the spectrum"),
    "ca09465d5e8fc2807e4f2096baae6846": ("codec_24khz", "0.1.0, before its last 18,000 steps of training"),
    "d7116222adeeebc1f5874ddb078b327e": ("codec_44khz_stereo", "0.1.0, before it told softer bands apart"),
}
"""Codecs of earlier releases that this one has no more: {digest, hexadecimal: (name, the last release that had it)}."""


@dataclass(frozen=True)
class Shipped:
    """What is known of a codec of the package without reading its weights."""

    name: str
    family: str
    task: str
    """of its training, as `train --task` has it"""
    hyperparameters: dict[str, Any]
    digest: str
    """in hexadecimal"""
    parameters: int
    step: int | None
    licence: str | None
    """of the weights"""
    trained_on: str | None
    kbps: tuple[float, float] | None
    """lowest and highest that was measured, entropy-coded"""


def names() -> tuple[str, ...]:
    """The codecs of the package, the default one first; damaged ones are among them."""
    there = FOLDER.iterdir() if FOLDER.is_dir() else ()
    found = [path.name for path in there if path.is_dir() and path.name[0] not in "._"]
    return tuple(sorted(found, key=lambda name: (name != DEFAULT, name)))


def is_name(path: str) -> bool:
    """Whether a codec of the package is meant by `path`: what exists under that name is preferred."""
    return path in names() and not Path(path).exists()


def default(*, denoises: bool = False) -> str | None:
    """The name of the default codec, or denoiser, if the package has it."""
    name = DENOISER if denoises else DEFAULT
    return name if name in names() else None


def about(name: str) -> Shipped:
    """What is known of a codec of the package; raises CheckpointError where its configuration is damaged."""
    try:
        config = hub.read_config(FOLDER / name / hub.CONFIGS[0])
        return Shipped(
            name,
            family=str(config["family"]),
            task=str(config.get("task", "reconstruct")),
            hyperparameters=dict(config["hyperparameters"]),
            digest=bytes.fromhex(config["digest"]).hex(),
            parameters=int(config["parameters"]),
            step=config.get("step"),
            licence=config.get("licence"),
            trained_on=config.get("trained_on"),
            kbps=(float(config["kbps"][0]), float(config["kbps"][1])) if "kbps" in config else None,
        )
    except CheckpointError as error:
        raise CheckpointError(damaged(name, str(error))) from None
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise CheckpointError(damaged(name, f"{hub.CONFIGS[0]} does not say what it is ({error})")) from None


def known() -> tuple[Shipped, ...]:
    """What is known of all codecs of the package, the default one first; damaged ones are left out."""
    found = []
    for name in names():
        try:
            found.append(about(name))
        except CheckpointError:
            continue
    return tuple(found)


def named_by(weights_hash: bytes) -> str | None:
    """The name of the codec of the package that has this digest; None where there is none.

    Raises CheckpointError for a digest of one that only an earlier release has, and where it may be one that is
    damaged.
    """
    damage: CheckpointError | None = None
    for name in names():
        try:
            if about(name).digest == weights_hash.hex():
                return name
        except CheckpointError as error:
            damage = error
    if former := FORMER.get(weights_hash.hex()):
        name, release = former
        raise CheckpointError(
            f"{name} has other weights now; those that the file was made with ({weights_hash.hex()}) were last in "
            f"release {release} of codec-zoo, which decodes it"
        )
    if damage is not None:
        raise damage
    return None


def folder_of(name: str) -> Path:
    """The folder of a codec of the package.

    Raises CheckpointError for one that it does not have, and where a file is no longer what it was.
    """
    if name not in names():
        raise CheckpointError(f"the package has no codec {name}{_others()}")
    folder = FOLDER / name
    try:
        if not (folder / checksums.FILE).is_file():
            raise CheckpointError(f"{checksums.FILE} is missing")
        checksums.check(folder, (hub.CONFIGS[0], hub.WEIGHTS[0], hub.TABLES))
    except ZooError as error:
        raise CheckpointError(damaged(name, str(error))) from None
    return folder


def unknown(name: str) -> str | None:
    """What is to be said of a name that is neither a path nor anything on the hub, if it looks like one of a codec."""
    bare = Path(name).name == name and Path(name).suffix not in hub.SUFFIXES
    if not bare or not (names() or name == DEFAULT):
        return None
    return f"no checkpoint at {name}: there is no such file or folder{_others() or ', nor has the package any codec'}"


def _others() -> str:
    return f"; the package has {', '.join(names())}" if names() else ""


def damaged(name: str, why: str) -> str:
    """What is to be said of a codec of the package that cannot be used."""
    return f"{name}, a codec of this package, is damaged: install the package anew ({why})"
