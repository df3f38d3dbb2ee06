"""A prior ready for use: module, weights, and the codec whose latents it models."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo import loading, shipped
from zoo.arguments import as_path
from zoo.errors import CheckpointError, ZooError
from zoo.generating import solver
from zoo.generating.solver import Given
from zoo.prior import Prior
from zoo.ready import ReadyCodec
from zoo.saved import checkpoint, runs

CODEC = "codec"
"""folder of a run in which its codec is kept"""


@dataclass(frozen=True, eq=False, repr=False)
class ReadyPrior:
    """What `load` returns; `module` and `variables` are the pure linen prior and its weights."""

    module: Prior
    variables: dict[str, Any]
    codec: ReadyCodec
    metadata: dict[str, Any]

    @property
    def sample_rate(self) -> int:
        return self.module.sample_rate

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that it has seen."""
        return self.module.labels

    def label_number(self, label: str | None) -> int:
        """The number of a class, or of none; raises ZooError for one that it has not seen."""
        if label is None:
            return len(self.labels)
        if label not in self.labels:
            known = f"it knows {', '.join(self.labels)}" if self.labels else "it was trained without any"
            raise ZooError(f"this prior has seen no sounds with the label {label!r}; {known}")
        return self.labels.index(label)

    def normalise(self, latents: np.ndarray) -> np.ndarray:
        """Components (F, K) of latents (F, D)."""
        found: Any = self.module.apply(self.variables, jnp.asarray(latents)[None], method="normalise")
        return np.asarray(found[0])

    def sample(
        self,
        key: jax.Array,
        n_frames: int,
        *,
        label: str | None = None,
        steps: int = 32,
        guidance: float = 1.0,
        begin: tuple[np.ndarray, float] | None = None,
        context: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Latents (n_frames, D) of one new sound, a function of the key.

        `begin` is latents (n_frames, D) and the time, in [0, 1), at which they are mixed with noise to begin with;
        `context` latents (n_frames, D) and which frames of them (n_frames,) are known. A prior's window is computed at
        a time; of longer sounds, windows that overlap by half.
        """
        module = self.module
        number = self.label_number(label)
        length = solver.padded_frames(n_frames, module.window)
        shape = length, module.components
        noise = _noise(key, *shape)
        known, start, first = np.zeros(length, bool), np.zeros(shape, np.float32), 0.0
        values = np.zeros(shape, np.float32)
        # of a sound that is shorter than a window the rest does not count; else it is generated, and cut off
        valid = np.arange(length) < (n_frames if n_frames < module.window else length)
        if begin is not None:
            start[:n_frames], first = self.normalise(begin[0]), begin[1]
        if context is not None:
            known[:n_frames] = context[1]
            values[:n_frames] = np.where(context[1][:, None], self.normalise(context[0]), 0.0)
        x = solver.integrate(
            module,
            self.variables,
            noise,
            guidance != 1.0 and label is not None,
            solver.path(steps, first),
            jnp.asarray(start),
            jnp.int32(number),
            jnp.float32(guidance),
            Given(values, known, valid),
        )
        found: Any = self.module.apply(self.variables, x[None, :n_frames], method="denormalise")
        return np.asarray(found[0])


@functools.partial(jax.jit, static_argnums=(1, 2))
def _noise(key: jax.Array, length: int, components: int) -> jax.Array:
    """Noise (length, components) whose frames are the same in a longer sound."""
    keys = jax.vmap(lambda frame: jax.random.fold_in(key, frame))(jnp.arange(length))
    return jax.vmap(lambda one: jax.random.normal(one, (components,)))(keys)


def load(path: str | Path, codec: str | Path | None = None) -> ReadyPrior:
    """Loads the prior of a run of `python -m train --model latent_flow`, or of one checkpoint, with its codec.

    The codec is the one in the run, else that where the run's was, else one below runs/ with its hash; or the one that
    `codec` names. Raises CheckpointError for a path that holds no prior, and ZooError for a codec that is another one.
    """
    place = as_path(path)
    if shipped.is_name(str(place)):
        if shipped.about(str(place)).task == "denoise":
            raise CheckpointError(f"{place} is a denoiser, no prior: see python -m zoo denoise")
        raise CheckpointError(
            f"{place} is a codec, no prior: train a prior for it: python -m train --model latent_flow --codec {place}"
        )
    if not Path(place).exists():
        raise CheckpointError(f"no prior at {place}: there is no such file or folder")
    found = runs.find(place)
    module, variables, metadata = checkpoint.load_prior(found)
    if codec is not None:
        chosen = loading.load(codec)
        check_codec(module, chosen, str(codec))
        return ReadyPrior(module, variables, chosen, metadata)
    for candidate in _candidates(found, metadata, module):
        if candidate.digest.hex() == module.codec_hash:
            return ReadyPrior(module, variables, candidate, metadata)
    raise ZooError(
        f"{place}: its codec is neither in the run, nor at {metadata['config'].get('codec')}, nor below runs/: name it "
        f"with --codec (codec=…); its weights are {module.codec_hash}"
    )


def check_codec(module: Prior, codec: ReadyCodec, name: str) -> None:
    """Raises ZooError for a codec that is not the prior's."""
    if codec.digest.hex() != module.codec_hash:
        raise ZooError(
            f"this prior was trained on another codec: its weights are {module.codec_hash}, those of {name} "
            f"{codec.digest.hex()}"
        )


def _candidates(found: Path, metadata: dict[str, Any], module: Prior) -> Iterator[ReadyCodec]:
    for place in (found.parent.parent / CODEC, metadata["config"].get("codec")):
        if place:
            with contextlib.suppress(ZooError):
                yield loading.load(place)
    with contextlib.suppress(ZooError):
        yield loading.find_by_hash(bytes.fromhex(module.codec_hash))
