"""What a checkpoint is, and how the codec in one is read.

A run directory holds `checkpoints/STEP/`, each written at once (under another name, then renamed) by orbax:

    codec/      {"params", "entropy"}: averaged weights and integer tables, all that using the codec takes
    training/   the whole training state, discriminators and optimisers included
    metadata/   JSON: format, family and hyper-parameters of the module, step, configuration of the run
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zoo import families
from zoo.bitstream import entropy
from zoo.codec import Codec, parameter_shapes
from zoo.errors import CheckpointError, ZooError, one_line
from zoo.prior import Prior
from zoo.ready import ReadyCodec
from zoo.saved import checksums, orbax_read

FORMAT = 2
"""Format 1 had other tables for the entropy coder; its training state is the same."""
NETWORK_FORMAT = 3
"""that of checkpoints whose entropy coder has networks; all else is as in format 2"""


def read_metadata(checkpoint: Path) -> dict[str, Any]:
    """Metadata of a checkpoint folder; raises CheckpointError if it is missing, damaged or of a later format."""
    file = checkpoint / "metadata" / "metadata"
    try:
        metadata: dict[str, Any] = json.loads(file.read_text())
        if metadata["format"] > NETWORK_FORMAT:
            raise CheckpointError(
                f"{checkpoint} has format {metadata['format']}; this version reads up to {NETWORK_FORMAT}"
            )
        return metadata | {"family": str(metadata["family"]), "model": dict(metadata["model"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} is damaged: metadata cannot be read ({error})") from None


def load(checkpoint: Path) -> ReadyCodec:
    """The codec of one checkpoint folder; raises CheckpointError if that is damaged, or of another shape or format."""
    metadata = read_metadata(checkpoint)
    if metadata["format"] < FORMAT:
        raise CheckpointError(
            f"{checkpoint} has format {metadata['format']}, whose tables this version cannot use: train it anew, or "
            f"resume its run for at least one step"
        )
    module, restored = _restore(checkpoint, metadata, families.create)
    arrays = {name: np.asarray(array) for name, array in restored["entropy"].items()}
    model = entropy_model(module, arrays)
    return ReadyCodec(module, {"params": restored["params"]}, model, metadata | {"path": str(checkpoint)})


def load_prior(checkpoint: Path) -> tuple[Prior, dict[str, Any], dict[str, Any]]:
    """Module, variables and metadata of the prior in a checkpoint folder; errors as of `load`."""
    metadata = read_metadata(checkpoint)
    module, restored = _restore(checkpoint, metadata, families.create_prior)
    return module, {"params": restored["params"]}, metadata | {"path": str(checkpoint)}


def _restore(checkpoint: Path, metadata: dict[str, Any], create: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """The module that `create` builds, and the arrays that its use takes."""
    try:
        module = create(metadata["family"], **metadata["model"])
        template = codec_template(module, "network" if metadata["format"] == NETWORK_FORMAT else "contexts")
    except (ZooError, TypeError, ValueError, ArithmeticError) as error:  # of hyper-parameters that were tampered with
        raise CheckpointError(f"checkpoint {checkpoint}: {one_line(error, None)}") from None
    checksums.check(checkpoint, ("codec", "metadata"))
    return module, orbax_read.restore(checkpoint / "codec", template)


def format_of(model: entropy.EntropyModel) -> int:
    """The format of a checkpoint with this entropy coder."""
    return NETWORK_FORMAT if entropy.kind_of(model.arrays) == "network" else FORMAT


def codec_template(module: Codec | Prior, kind: entropy.Kind = "contexts") -> dict[str, Any]:
    """Shapes and types of a saved codec, or prior, of this module, whose entropy coder is of this kind."""
    params = parameter_shapes(module)
    arrays = entropy.template(module.bottleneck.symbols(), kind)
    tables = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in arrays.items() if math.prod(x.shape)}
    return {"params": params, "entropy": tables}


def stored_tables(model: entropy.EntropyModel) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint: those that hold anything, for orbax keeps no empty ones."""
    return {name: array for name, array in model.arrays.items() if array.size}


def entropy_model(module: Codec | Prior, stored: Mapping[str, np.ndarray]) -> entropy.EntropyModel:
    """The coder of a codec from its `stored_tables`."""
    symbols = module.bottleneck.symbols()
    shapes = entropy.template(symbols, entropy.kind_of(stored)).items()
    empty = {name: np.zeros(x.shape, x.dtype) for name, x in shapes if not math.prod(x.shape)}
    return entropy.EntropyModel(symbols, empty | dict(stored))
