"""What a saved codec is, and `load`: of runs trained here, and of models that others published (zoo.published).

A run directory holds `checkpoints/STEP/`, each written at once (under another name, then renamed) by orbax:

    codec/      {"params", "entropy"}: averaged weights and integer tables, all that using the codec takes
    training/   the whole training state, discriminators and optimisers included
    metadata/   JSON: format, family and hyper-parameters of the module, step, configuration of the run
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo import checksums, families
from zoo.arguments import as_bytes, as_path
from zoo.bitstream import entropy
from zoo.bitstream.container import ContainerReader
from zoo.codec import Codec
from zoo.errors import CheckpointError, ZooError
from zoo.ready import ReadyCodec

if TYPE_CHECKING:
    from zoo.decoding import DecodedAudio

FORMAT = 2
"""Format 1 had other tables for the entropy coder; its training state is the same."""

_HIGHER_IS_BETTER = ("snr_db", "sdr", "perplexity")


@dataclass(frozen=True)
class ModelInfo:
    """Loadable weights: `load(name)` takes them."""

    name: str
    family: str
    sample_rate: int
    """Hz"""
    channels: int
    step: int | None
    """of a run trained here"""
    bitrates_kbps: tuple[float, float] | None = None
    """lowest and highest, of all channels, before entropy coding; None where only that tells, or nothing is coded"""
    parameters: int | None = None
    licence: str | None = None
    """of published weights"""
    at_hand: bool = True
    """whether loading asks no network"""


def steps(run: str | Path) -> list[int]:
    """Steps of the finished checkpoints of a run, oldest first; empty where there are none."""
    folder = Path(run) / "checkpoints"
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []


def best_step(values: Mapping[int, float | None], metric: str) -> int | None:
    """The step with the best value, of equals the last; None where no value is a finite number.

    Lower is better, unless the metric's name says otherwise (snr_db, sdr, perplexity).
    """
    finite = {step: value for step, value in values.items() if value is not None and math.isfinite(value)}
    sign = -1.0 if any(word in metric for word in _HIGHER_IS_BETTER) else 1.0
    return min(finite, key=lambda step: (sign * finite[step], -step), default=None)


def best(run: str | Path) -> Path:
    """The checkpoint of a run with the best value of the metric that its configuration names in `keep_best`.

    Raises CheckpointError where it names none, or no checkpoint has a value.
    """
    values: dict[int, float | None] = {}
    metric = ""
    for step in steps(run):
        with contextlib.suppress(CheckpointError):  # a damaged one is not the best
            metadata = read_metadata(Path(run) / "checkpoints" / str(step))
            metric = metadata.get("config", {}).get("keep_best", "")
            values[step] = metadata.get("metrics", {}).get(metric)
    if not metric:
        raise CheckpointError(f"{run} has no best checkpoint: it was not trained with keep_best")
    if (found := best_step(values, metric)) is None:
        raise CheckpointError(f"{run} has no best checkpoint: none of steps {sorted(values)} has a value of {metric}")
    return Path(run) / "checkpoints" / str(found)


def find(path: str | Path) -> Path:
    """The checkpoint folder meant by a run directory (its newest), its `checkpoints/`, or a checkpoint itself.

    `RUN/checkpoints/best` means what `best(RUN)` finds. Raises CheckpointError where there is none.
    """
    path = Path(as_path(path))
    if _means_best(path):
        return best(path.parent.parent)
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}: there is no such file or folder")
    for run in (path, path.parent) if path.name == "checkpoints" else (path,):
        if found := steps(run):
            return run / "checkpoints" / str(found[-1])
    if (path / "metadata").exists() and (path / "codec").exists():
        return path
    raise CheckpointError(f"no checkpoint at {path}: expected a run directory with checkpoints/STEP, or one such STEP")


def read_metadata(checkpoint: Path) -> dict[str, Any]:
    """Metadata of a checkpoint folder; raises CheckpointError if it is missing, damaged or of a later format."""
    file = checkpoint / "metadata" / "metadata"
    try:
        metadata: dict[str, Any] = json.loads(file.read_text())
        if metadata["format"] > FORMAT:
            raise CheckpointError(f"{checkpoint} has format {metadata['format']}; this version reads up to {FORMAT}")
        return metadata | {"family": str(metadata["family"]), "model": dict(metadata["model"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} is damaged: metadata cannot be read ({error})") from None


def load(path: str | bytes | Path) -> ReadyCodec:
    """Loads a codec, ready to encode and decode: a run or one checkpoint inside it (its averaged weights), or a
    published one.

    Of a run this is the newest checkpoint; `RUN/checkpoints/best` is the best one. `path` may also be a folder in the
    hub's layout, a file of weights, or a hub id such as "descript/dac_44khz", which is fetched unless it is cached;
    what exists here is preferred to the hub, and ~ is the home directory. Raises CheckpointError for a path that holds
    no checkpoint, or one that is damaged or of another shape; then it says which older one can be loaded.
    """
    place = as_path(path)
    if not is_run(place):
        from zoo.published.loading import load_published

        return load_published(place)
    checkpoint = find(place)
    try:
        return _load(checkpoint)
    except CheckpointError as error:
        if (older := _loadable_before(Path(place), checkpoint)) is None:
            raise
        raise CheckpointError(f"{error}; the one before it can be loaded: {older}") from None


def _loadable_before(path: Path, newest: Path) -> Path | None:
    """Where the newest checkpoint of a run was asked for, the next older one that can be loaded."""
    if path.absolute() == newest.absolute() or _means_best(path):
        return None
    for step in reversed([step for step in steps(newest.parent.parent) if step < int(newest.name)]):
        with contextlib.suppress(CheckpointError):
            _load(newest.parent / str(step))
            return newest.parent / str(step)
    return None


def _load(checkpoint: Path) -> ReadyCodec:
    metadata = read_metadata(checkpoint)
    if metadata["format"] < FORMAT:
        raise CheckpointError(
            f"{checkpoint} has format {metadata['format']}, whose tables this version cannot use: train it anew, or "
            f"resume its run for at least one step"
        )
    try:
        module = families.create(metadata["family"], **metadata["model"])
        template = codec_template(module)
    except (ZooError, TypeError, ValueError) as error:  # the latter of hyper-parameters that were tampered with
        raise CheckpointError(f"checkpoint {checkpoint}: {' '.join(str(error).split())}") from None
    checksums.check(checkpoint, ("codec", "metadata"))
    restored = _restore(checkpoint / "codec", template)
    arrays = {name: np.asarray(array) for name, array in restored["entropy"].items()}
    model = entropy.EntropyModel(module.bottleneck.symbols(), arrays)
    return ReadyCodec(module, {"params": restored["params"]}, model, metadata | {"path": str(checkpoint)})


def is_run(path: str | Path) -> bool:
    """Whether `path` is a run directory, its checkpoints/, or one of its checkpoints, damaged ones included."""
    path = Path(as_path(path))
    if _means_best(path) or (path.is_dir() and path.parent.name == "checkpoints" and path.name.isdigit()):
        return True
    parts = ("checkpoints", "metadata", "codec")
    return path.is_dir() and (path.name == "checkpoints" or any((path / part).exists() for part in parts))


def _means_best(path: Path) -> bool:
    return path.name == "best" and path.parent.name == "checkpoints"


def find_by_hash(weights_hash: bytes, root: str | Path = "runs") -> ReadyCodec:
    """The codec below `root` whose `ReadyCodec.digest` this is; raises CheckpointError if none is.

    Published models are not searched: that would take reading the weights of all of them.
    """
    for run in sorted(Path(root).iterdir()) if Path(root).is_dir() else []:
        for step in reversed(steps(run)):
            place = run / "checkpoints" / str(step)
            try:
                found = read_metadata(place).get("weights_hash") == weights_hash.hex()
            except CheckpointError:
                continue  # a damaged checkpoint may lie beside the one that is looked for
            if found:
                return load(place)
    raise CheckpointError(
        f"no codec below {root}/ has the weights {weights_hash.hex()} that the file was made with; a published model "
        f"must be named"
    )


def decompress(blob: bytes, root: str | Path = "runs") -> DecodedAudio:
    """`audio, sample_rate` of a `.zac` file, by the codec below `root` that it was made with.

    Raises BitstreamError for a damaged file, CheckpointError if the codec is not there.
    """
    return find_by_hash(ContainerReader(io.BytesIO(as_bytes(blob))).header.weights_hash, root).decompress(blob)


def runs(root: str | Path = "runs") -> tuple[ModelInfo, ...]:
    """The trained runs below `root` that `load` takes; a damaged one is left out."""
    found = []
    for run in sorted(Path(root).iterdir()) if Path(root).is_dir() else []:
        if not (available := steps(run)):
            continue
        try:
            metadata = read_metadata(run / "checkpoints" / str(available[-1]))
            codec = families.create(metadata["family"], **metadata["model"])
        except ZooError:
            continue
        if metadata["format"] < FORMAT:
            continue
        found.append(
            ModelInfo(str(run), metadata["family"], codec.sample_rate, codec.channels, available[-1], _bitrates(codec))
        )
    return tuple(found)


def models(root: str | Path = "runs") -> tuple[ModelInfo, ...]:
    """Weights that `load` finds: the trained runs below `root`, then the published models that are known by name."""
    from zoo.published import KNOWN, hub

    published = [
        ModelInfo(
            model.name,
            model.family,
            model.sample_rate,
            model.channels,
            None,
            model.bitrates_kbps,
            model.parameters,
            model.licence,
            at_hand=hub.cached(model.name) is not None,
        )
        for model in KNOWN
    ]
    return (*runs(root), *published)


def _bitrates(codec: Codec) -> tuple[float, float] | None:
    symbols = codec.bottleneck.symbols()
    if symbols.ordered or not symbols.codebook_sizes:
        return None
    lowest, highest = (float(np.log2(symbols.code_sizes(level)).sum()) for level in (0, symbols.n_levels - 1))
    return lowest * codec.frame_rate_hz / 1000, highest * codec.frame_rate_hz / 1000


def codec_template(module: Codec) -> dict[str, Any]:
    """Shapes and types of a saved codec of this module."""
    length = 2 * module.hop_length
    audio = jax.ShapeDtypeStruct((1, length, module.channels), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), audio)["params"]
    arrays = entropy.template(module.bottleneck.symbols())
    tables = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in arrays.items()}
    return {"params": params, "entropy": tables}


def _restore(folder: Path, template: dict[str, Any]) -> dict[str, Any]:
    import orbax.checkpoint as ocp

    # orbax logs what it is about to raise as well
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), template)
    # of several processes one may read alone
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    try:
        with quiet_failure(), ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            restored: dict[str, Any] = checkpointer.restore(folder.absolute(), target)
    except Exception as error:  # orbax and tensorstore raise many kinds, none of which is about us
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"checkpoint {folder.parent} is damaged or truncated: {reason}") from None
    return restored


@contextlib.contextmanager
def quiet_failure() -> Iterator[None]:
    """Around a read by orbax whose error is caught: the other reads it had begun are then thrown away in silence.

    They end in the garbage collector or in threads, at some later time, and would print a page for each: so the filter,
    for just that complaint, stays after a failure.
    """
    try:
        yield
    except BaseException:
        if not isinstance(sys.unraisablehook, _WithoutClosedLoops):  # once, however many reads fail
            sys.unraisablehook = _WithoutClosedLoops(sys.unraisablehook)
        gc.collect()
        raise


class _WithoutClosedLoops:
    """An unraisable hook that passes on all but the complaint of an abandoned read."""

    def __init__(self, hook: Callable[[Any], object]) -> None:
        self._hook = hook

    def __call__(self, info: Any) -> None:
        if "Event loop is closed" not in str(info.exc_value):
            self._hook(info)
