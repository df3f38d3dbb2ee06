"""Small models of the published families, and what their reference implementations made of clips: the files in golden/.

They are written by the modules in parity/.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

import zoo
from zoo import families
from zoo.bitstream.entropy import Fitter
from zoo.published.keymap import to_params
from zoo.saved.checkpoint import codec_template

GOLDEN = Path(__file__).parent / "golden"

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def golden(family: str, name: str) -> dict[str, np.ndarray]:
    """The arrays of `golden/FAMILY_NAME.npz`: config, weights (w:KEY), and for each clip what goes in and comes out."""
    with np.load(GOLDEN / f"{family}_{name}.npz") as arrays:
        return {key: array.astype(np.float32) if key[:2] == "w:" else array for key, array in arrays.items()}


def config(family: str, name: str) -> dict[str, Any]:
    return dict(json.loads(str(golden(family, name)["config"])))


def weights(family: str, name: str) -> dict[str, np.ndarray]:
    return {key[2:]: array for key, array in golden(family, name).items() if key[:2] == "w:"}


def ported(
    family: str, hyperparameters: dict[str, Any], tensors: Mapping[str, np.ndarray], layout: str
) -> tuple[zoo.Codec, Any]:
    """A codec and its parameters, of tensors in one of the layouts of its family."""
    module = zoo.create(family, **hyperparameters)
    keymap = families.module_of(family).key_maps(**hyperparameters)[layout]
    return module, to_params(tensors, keymap, codec_template(module)["params"])


@functools.cache
def ready(family: str, name: str, *, layout: str = "transformers") -> zoo.ReadyCodec:
    """The codec of a golden file, with the tables of a model that is published without any."""
    published = families.module_of(family)
    hyperparameters = config(family, name)
    if family != "vocos":  # whose authors' configuration has no word for a small EnCodec
        hyperparameters = published.hyperparameters(hyperparameters)
    module, params = ported(family, hyperparameters, weights(family, name), layout)
    symbols = module.bottleneck.symbols()
    tables = published.default_entropy(symbols) if hasattr(published, "default_entropy") else Fitter(symbols).fit()
    return zoo.ReadyCodec(module, {"params": params}, tables, {"family": family, "model": hyperparameters})


def close(found: ArrayLike, wanted: np.ndarray, tolerance: float = 1e-4) -> None:
    """Asserts that an array is equal to another to within a share of its largest value."""
    assert np.shape(found) == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def write_golden(family: str, name: str, given: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a golden file: of weights and clips, and the configuration that they are of."""
    path = GOLDEN / f"{family}_{name}.npz"
    np.savez_compressed(path, allow_pickle=False, config=np.array(json.dumps(given)), **arrays)
    print(path, path.stat().st_size)
