"""`load`: codecs of the package, of runs, and models that others published (zoo.published); and which there are."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo import families, shipped
from zoo.arguments import as_bytes, as_path
from zoo.bitstream.container import ContainerReader
from zoo.codec import Codec
from zoo.coding import DecodedAudio
from zoo.errors import CheckpointError, ZooError
from zoo.ready import ReadyCodec
from zoo.saved import checkpoint, runs


@dataclass(frozen=True)
class ModelInfo:
    """Loadable weights: `load(name)` takes them."""

    name: str
    family: str
    sample_rate: int
    """Hz"""
    channels: int
    step: int | None
    """of a codec trained here"""
    bitrates_kbps: tuple[float, float] | None = None
    """lowest and highest, of all channels, before entropy coding; after it, and measured, where an export says
    so; None where it is not known, or nothing is coded"""
    parameters: int | None = None
    licence: str | None = None
    """of the weights, where they are published or of the package"""
    at_hand: bool = True
    """whether loading asks no network"""


def load(
    path: str | bytes | Path = shipped.DEFAULT, *, family: str | None = None, config: Mapping[str, Any] | None = None
) -> ReadyCodec:
    """Loads a codec, ready to encode and decode: one that the package brings, by default "codec_24khz", a run or one
    checkpoint inside it (its averaged weights), or a published one.

    Of a run this is the newest checkpoint; `RUN/checkpoints/best` is the best one. `path` may also be a folder in the
    hub's layout, a file of weights, or a hub id such as "descript/dac_44khz", which is fetched unless it is cached.
    What exists here is preferred to a codec of the package that has the same name, and both to the hub; ~ is the home
    directory.

    Weights of a published family that nobody knows by name need no configuration of their own: `family` says which it
    is, "dac" say, and `config` where they differ from the published ones, by the names of the family's hyper-parameters
    or those of its config.json. "FAMILY:PATH" as `path` says the same, of a configuration beside the weights.

    Raises CheckpointError for a path that holds no checkpoint, or one that is damaged or of another shape (then it says
    which older one can be loaded), and for a name of nothing.
    """
    place = as_path(path)
    if family is None and config is None:
        family, place = _family_before(place)
    stated = family is not None or config is not None
    if shipped.is_name(place) and not stated:
        return load_shipped(place)
    if not runs.is_run(place):
        from zoo.published.load import load_published

        if not stated and not Path(place).exists() and (told := shipped.unknown(place)):
            raise CheckpointError(told)
        return load_published(place, family, config)
    if stated:
        raise CheckpointError(f"{place} was trained here and says itself what it is: leave out family and config")
    found = runs.find(place)
    try:
        return checkpoint.load(found)
    except CheckpointError as error:
        if (older := _loadable_before(Path(place), found)) is None:
            raise
        raise CheckpointError(f"{error}; the one before it can be loaded: {older}") from None


def load_shipped(name: str = shipped.DEFAULT) -> ReadyCodec:
    """The codec of the package with this name, whatever else has it; raises CheckpointError as `shipped.folder_of`."""
    from zoo.published.load import load_published

    folder = shipped.folder_of(name)
    try:
        codec = load_published(folder)
    except ZooError as error:
        raise CheckpointError(shipped.damaged(name, str(error))) from None
    # by its name: results and caches do not belong into the package's folder
    codec.metadata["path"] = name
    return codec


def _family_before(name: str) -> tuple[str | None, str]:
    """Family and path of "FAMILY:PATH"; what is there under the whole name, and all other names, are paths alone."""
    family, colon, path = name.partition(":")
    if not (colon and path) or "/" in family or path.startswith("//") or Path(name).exists():
        return None, name
    return family, as_path(path)


def _loadable_before(path: Path, newest: Path) -> Path | None:
    """Finds the next older checkpoint that can be loaded, where the newest of a run was asked for."""
    if path.absolute() == newest.absolute() or runs.means_best(path):
        return None
    for step in reversed([step for step in runs.steps(newest.parent.parent) if step < int(newest.name)]):
        with contextlib.suppress(CheckpointError):
            checkpoint.load(newest.parent / str(step))
            return newest.parent / str(step)
    return None


def find_by_hash(weights_hash: bytes, root: str | Path = "runs") -> ReadyCodec:
    """The codec of the package, or below `root`, whose `ReadyCodec.digest` this is; raises CheckpointError if none is,
    naming the release where an earlier one had it.

    Published models are not searched: that would take reading the weights of all of them.
    """
    reason: CheckpointError | None = None
    try:
        if (name := shipped.named_by(weights_hash)) is not None:
            return load_shipped(name)
    except CheckpointError as error:
        reason = error  # a run may have it nevertheless
    for run in sorted(Path(root).iterdir()) if Path(root).is_dir() else []:
        for step in reversed(runs.steps(run)):
            place = run / "checkpoints" / str(step)
            try:
                found = checkpoint.read_metadata(place).get("weights_hash") == weights_hash.hex()
            except CheckpointError:
                continue  # a damaged checkpoint may lie beside the one that is looked for
            if found:
                return load(place)
    if reason is not None:
        raise reason
    raise CheckpointError(
        f"no codec of the package or below {root}/ has the weights {weights_hash.hex()} that the file was made with; a "
        f"published model must be named"
    )


def decompress(blob: bytes, root: str | Path = "runs") -> DecodedAudio:
    """`audio, sample_rate` of a `.zac` file, by the codec of the package, or below `root`, that it was made with.

    Raises BitstreamError for a damaged file, CheckpointError if the codec is not there.
    """
    return find_by_hash(ContainerReader(io.BytesIO(as_bytes(blob))).header.weights_hash, root).decompress(blob)


def list_runs(root: str | Path = "runs") -> tuple[ModelInfo, ...]:
    """The trained runs below `root` that `load` takes; a damaged one is left out."""
    found = []
    for run in sorted(Path(root).iterdir()) if Path(root).is_dir() else []:
        if not (available := runs.steps(run)):
            continue
        try:
            metadata = checkpoint.read_metadata(run / "checkpoints" / str(available[-1]))
            codec = families.create(metadata["family"], **metadata["model"])
        except ZooError:
            continue
        if metadata["format"] < checkpoint.FORMAT:
            continue
        found.append(
            ModelInfo(
                str(run),
                metadata["family"],
                sample_rate=codec.sample_rate,
                channels=codec.channels,
                step=available[-1],
                bitrates_kbps=_bitrates(codec),
            )
        )
    return tuple(found)


def _list_shipped() -> tuple[ModelInfo, ...]:
    """The codecs of the package, the default one first; a damaged one is left out."""
    found = []
    for one in shipped.known():
        try:
            codec = families.create(one.family, **one.hyperparameters)
        except ZooError:
            continue
        found.append(
            ModelInfo(
                one.name,
                one.family,
                sample_rate=codec.sample_rate,
                channels=codec.channels,
                step=one.step,
                bitrates_kbps=one.kbps or _bitrates(codec),
                parameters=one.parameters,
                licence=one.licence,
            )
        )
    return tuple(found)


def models(root: str | Path = "runs") -> tuple[ModelInfo, ...]:
    """Weights that `load` finds: the codecs of the package, the trained runs below `root`, then the published models
    that are known by name.
    """
    from zoo.published import KNOWN, hub

    published = [
        ModelInfo(
            model.name,
            model.family,
            sample_rate=model.sample_rate,
            channels=model.channels,
            step=None,
            bitrates_kbps=model.bitrates_kbps,
            parameters=model.parameters,
            licence=model.licence,
            at_hand=hub.cached(model.name) is not None,
        )
        for model in KNOWN
    ]
    return (*_list_shipped(), *list_runs(root), *published)


def _bitrates(codec: Codec) -> tuple[float, float] | None:
    symbols = codec.bottleneck.symbols()
    if symbols.ordered or not symbols.codebook_sizes:
        return None
    lowest, highest = (float(np.log2(symbols.code_sizes(level)).sum()) for level in (0, symbols.n_levels - 1))
    return lowest * codec.frame_rate_hz / 1000, highest * codec.frame_rate_hz / 1000
