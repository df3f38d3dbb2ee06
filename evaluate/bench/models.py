"""Codecs by the name of a family or published model, with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError

if TYPE_CHECKING:
    import numpy as np

    from zoo.published import PublishedModel
    from zoo.ready import ReadyCodec


def published(name: str) -> PublishedModel | None:
    """The model of a hub id, of its last part, or of what only one of these begins with; None for any other name.

    Raises ZooError where several begin so.
    """
    from zoo import families
    from zoo.published import KNOWN

    short = {model.name.split("/")[1]: model for model in KNOWN}
    found = {model.name: model for model in KNOWN}.get(name) or short.get(name)
    if found or name in (*families.names(), *families.PUBLISHED):
        return found
    begun = [model for key, model in short.items() if key.startswith(name)]
    if len(begun) > 1:
        raise ZooError(f"--model {name} may be any of {', '.join(model.name for model in begun)}")
    return begun[0] if begun else None


def published_only(name: str) -> PublishedModel:
    """Finds a model as `published` does; raises ZooError for any other name."""
    from zoo.published import KNOWN

    found = published(name)
    if found is None:
        known = ", ".join(model.name.split("/")[1] for model in KNOWN)
        raise ZooError(f"no published model is called {name!r}; there are: {known}")
    return found


def random_codec(name: str, **hyperparameters: Any) -> ReadyCodec:
    """An untrained codec of a family or published model, with flat tables; raises ZooError for an unknown one."""
    import jax

    from zoo import families
    from zoo.bitstream.entropy import Fitter
    from zoo.codec import parameter_shapes
    from zoo.ready import ReadyCodec

    family, model = name, published(name)
    if model:
        family = model.family
        hyperparameters = families.module_of(family).hyperparameters(model.config) | hyperparameters
    module = families.create(family, **hyperparameters)
    if family in families.PUBLISHED:
        params = _drawn(parameter_shapes(module))
    else:
        params = jax.jit(module.init)(jax.random.key(0), *module.example())["params"]
    bottleneck: Any = module.bottleneck
    flat = Fitter(bottleneck.symbols()).fit()
    return ReadyCodec(module, {"params": params}, flat, {"family": family, "model": hyperparameters})


def _drawn(shapes: Any) -> Any:
    """Random values for parameters of large models, whose own initialisation takes minutes to compile."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) < 2:
            return rng.random(shape, np.float32) / 10
        return rng.standard_normal(shape, np.float32) / np.float32(np.prod(shape[:-1]) ** 0.5)

    return jax.tree.map(lambda leaf: jax.device_put(draw(leaf.shape).astype(leaf.dtype)), shapes)
