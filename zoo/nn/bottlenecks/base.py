"""What every bottleneck is, what it returns, what an entropy coder must know, and the one that does nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError


@flax.struct.dataclass
class CodebookUse:
    """What a batch in training did with learnt codebooks: sums and lists, so that devices can put theirs together."""

    counts: jax.Array
    """(Q, K): how often each entry was chosen by the examples that use its codebook"""
    inputs: jax.Array
    """(B, F, Q, k): what each codebook was asked for, without a gradient"""
    asked: jax.Array
    """bool (B, F, Q): whether it was asked at all"""


@flax.struct.dataclass
class Quantised:
    """Result of a bottleneck: latent (B, F, D) as the decoder gets it, codes int32 (B, F, Q)."""

    latent: jax.Array
    codes: jax.Array
    losses: dict[str, jax.Array]
    """(B,) each, unweighted"""
    metrics: dict[str, jax.Array]
    """() each, for the log only"""
    codebooks: CodebookUse | None = None
    """in training, of codebooks that are learnt entry by entry"""


@dataclass(frozen=True)
class SymbolFormat:
    """What an entropy coder must know of the codes.

    `tables_per_level` says whether the symbols' statistics differ from level to level (a grid step); where they do
    not and there are several levels, level l is the first n_always + l + 1 codebooks. `ordered` codes are
    scalars on a grid whose zero is symbol size // 2, so that neighbours tell how large a symbol may be; the others are
    mere names. A frame that is long holds `subframes` codes of each codebook: first all those of codebook 0, in their
    order of time, then those of codebook 1, and so on.
    """

    codebook_sizes: tuple[int, ...]
    """alphabet of each codebook"""
    n_levels: int = 1
    tables_per_level: bool = False
    ordered: bool = False
    n_always: int = 0
    """codebooks that do not count as levels, because all need them"""
    subframes: int = 1
    n_unsigned: int = 0
    """of ordered codes the first so many codebooks, whose zero is symbol 0"""

    @property
    def n_codebooks(self) -> int:
        return len(self.codebook_sizes)

    @property
    def zeros(self) -> np.ndarray:
        """The symbols int32 (n_codebooks,) that stand for zero, of ordered codes."""
        middles = np.array(self.codebook_sizes, np.int32) // 2
        middles[: self.n_unsigned] = 0
        return middles

    @property
    def level_is_codebooks(self) -> bool:
        """Whether levels differ in their number of codebooks."""
        return self.n_levels > 1 and not self.tables_per_level

    def n_codes(self, level: int) -> int:
        """How many codes of a frame the level uses."""
        return self.subframes * (self.n_always + level + 1 if self.level_is_codebooks else self.n_codebooks)

    def code_sizes(self, level: int) -> np.ndarray:
        """Alphabets (n_codes(level),) of the codes of a frame."""
        return np.repeat(np.array(self.codebook_sizes, np.int64), self.subframes)[: self.n_codes(level)]


@dataclass(frozen=True)
class LearntCodebooks:
    """The codebooks of a bottleneck that training tends entry by entry: k-means at the start, dead-code restarts.

    Such a bottleneck returns `Quantised.codebooks` in training.
    """

    leaf: str
    """name of its parameter (Q, K, k): entries / `scale`"""
    scale: float
    fit: Callable[[Any, jax.Array, jax.Array], Any]
    """(params, latents (N, D), key) -> params of a quantiser of these latents, with which training begins"""


@runtime_checkable
class Bottleneck(Protocol):
    """What stands between encoder and decoder: a linen module with these methods and attributes.

    Shapes: latent (B, F, D) float32, mask bool (B, F) or None (all frames are valid), keys (B,) or None, codes int32
    (B, F, Q). `level` is the operating point, an int32 scalar or (B,), from 0 (lowest rate) to n_levels − 1; None is
    `default_level`.
    """

    @property
    def default_level(self) -> int:
        """The operating point at which nothing else is asked for."""

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of all losses that it returns in training; each is a field of `configs.base.LossWeights`."""

    @property
    def learnt_codebooks(self) -> LearntCodebooks | None:
        """The codebooks that training tends; None where there are none, or they move by the gradient alone."""

    def __call__(self, latent: jax.Array, mask: Any = None, *, keys: Any = None, level: Any = None) -> Quantised:
        """Quantises latent (B, F, D).

        With `keys`, one PRNG key per example, it is in training: noise or dropout is a function of the example's key,
        and losses (B,) are means over the frames of the mask. Without, it is in evaluation, has no losses, and its
        latent is that of `dequantise(codes, level)`. The gradient passes straight through in both.
        """

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Returns the latent (B, F, D') that the decoder gets for codes (B, F, q), q the codes that the level uses."""

    def symbols(self) -> SymbolFormat:
        """Says what an entropy coder must know of the codes; alphabets are those of `Quantised.codes`."""


class CodebookLevels:
    """The levels of a residual quantiser: level l is the first l + 1 of its codebooks, and the default is all of them.

    A mixin for modules that have `n_codebooks` and `codebook_size`.
    """

    n_codebooks: Any
    codebook_size: Any

    @property
    def default_level(self) -> int:
        level: int = self.n_codebooks - 1
        return level

    def symbols(self) -> SymbolFormat:
        """The symbols of plain residual quantisation, one alphabet for each codebook."""
        return SymbolFormat((self.codebook_size,) * self.n_codebooks, self.n_codebooks)

    def n_used(self, level: Any) -> jax.Array:
        """The number of codebooks that a level uses, int32 () or (B,)."""
        return chosen_level(level, self.default_level) + 1


class Identity(nn.Module):
    """No quantisation: the latent itself, no symbols, no losses."""

    loss_names = ()
    learnt_codebooks = None

    def __call__(self, latent: jax.Array, mask: Any = None, *, keys: Any = None, level: Any = None) -> Quantised:
        codes = jnp.zeros((*latent.shape[:2], 0), jnp.int32)
        return Quantised(latent, codes, {}, {})

    @property
    def default_level(self) -> int:
        return 0

    def symbols(self) -> SymbolFormat:
        return SymbolFormat(())

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        raise ValueError("an Identity bottleneck has no codes to decode")


@jax.custom_jvp
def straight_through(latent: jax.Array, quantised: jax.Array) -> jax.Array:
    """`quantised`, bit for bit, whose gradient is the latent's: as though nothing were rounded, bounded or looked up.

    The straight-through estimator (Bengio et al., 2013). Written as a sum, latent + (quantised - latent) is rounded.
    """
    return quantised


@straight_through.defjvp
def _latent_moves(primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]) -> tuple[jax.Array, Any]:
    return primals[1], tangents[0]


def chosen_level(level: Any, default: int) -> jax.Array:
    return jnp.asarray(default if level is None else level, jnp.int32)


def check_level(level: Any, n_levels: int) -> None:
    """Raises ZooError for levels that there are not, unless they are being traced.

    A lookup would take the nearest there is, or count from the last one.
    """
    if level is None or isinstance(level, jax.core.Tracer):
        return
    if ((found := np.asarray(level)) < 0).any() or (found >= n_levels).any():
        raise ZooError(f"level {level} is none of 0 to {n_levels - 1}")


def check_keys(keys: Any, n_examples: int) -> None:
    """Raises ZooError unless there is one PRNG key, of the new kind or the old, for each example; None is taken."""
    if keys is None:
        return
    rank = 1 if jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key) else 2
    if keys.ndim != rank or len(keys) != n_examples:
        raise ZooError(f"keys must be one for each of {n_examples} examples (jax.random.split), got {keys.shape}")


def mean_frames(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mean over valid frames: (B, F) -> (B,)."""
    if mask is None:
        return x.mean(axis=1)
    weight = mask.astype(x.dtype)
    return (x * weight).sum(1) / jnp.maximum(weight.sum(1), 1.0)
