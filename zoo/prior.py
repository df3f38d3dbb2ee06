"""The one shape of every prior: a model of what a frozen codec's latents are like, by flow matching.

    latents (B, F, D) of a codec ──normalise──▶ x (B, F, K)
    training:    x and noise e ──▶ z = t·x + (1 − t)·e, whose velocity x − e the network learns
    generation:  noise ──velocity, step by step from t = 0 to 1──▶ x ──denormalise──▶ latents ──the codec──▶ audio

Conditional flow matching along straight paths (Lipman et al., 2023; Liu et al., 2023). What is normal about latents
(mean, principal components and their deviations) is measured once and kept among the parameters, where training leaves
it alone; the network learns what is not: it corrects the velocity of normal latents, in which frames are independent.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.bottlenecks import SymbolFormat

STATISTICS = "statistics"
"""name of the parameters that are measured, and not trained"""
_SMALLEST_DEVIATION = 1e-4


@flax.struct.dataclass
class PriorOutput:
    """losses (B,), metrics ()."""

    losses: dict[str, jax.Array]
    metrics: dict[str, jax.Array]


class Uncoded:
    """What a checkpoint and its entropy coder ask the bottleneck of a codec: a prior codes nothing."""

    loss_names = ("flow",)
    learnt_codebooks = None
    default_level = 0

    def symbols(self) -> SymbolFormat:
        return SymbolFormat(())


class Statistics(nn.Module):
    """Mean, principal components and deviations of latents, as parameters; `measured` gives their values."""

    latent_dim: int
    components: int

    def setup(self) -> None:
        d, k = self.latent_dim, self.components
        self.mean = self.param("mean", nn.initializers.zeros, (d,), jnp.float32)
        self.basis = self.param("basis", lambda key: jnp.eye(d, k, dtype=jnp.float32))
        self.scale = self.param("scale", nn.initializers.ones, (k,), jnp.float32)
        self.deviation = self.param("deviation", nn.initializers.ones, (k,), jnp.float32)

    def normalise(self, latents: jax.Array) -> jax.Array:
        """Components (B, F, K) of latents (B, F, D)."""
        return ((latents - self.mean[None, None]) @ self.basis) / self.scale[None, None]

    def denormalise(self, x: jax.Array) -> jax.Array:
        """Latents (B, F, D) of components (B, F, K)."""
        return (x * self.scale[None, None]) @ self.basis.T + self.mean[None, None]

    def deviations(self) -> jax.Array:
        """Standard deviations (K,) of the components of real latents."""
        return self.deviation


class Prior(nn.Module):
    """A network that predicts velocities, and the numbers that tie it to its codec."""

    network: nn.Module
    """(z (B, F, K), context (B, F, K), known (B, F), times (B,), labels (B,), valid (B, F)) -> (B, F, K)"""
    latent_dim: int
    components: int
    labels: tuple[str, ...]
    """names of the classes; number len(labels) stands for none"""
    window: int
    """frames of a training crop"""
    sample_rate: int
    hop_length: int
    channels: int
    codec_hash: str
    """digest, in hexadecimal, of the codec whose latents these are"""
    label_dropout: float = 0.15
    """share of the examples that are trained without their label, for guidance"""
    fill: float = 0.5
    """share of the examples of which all but a gap is known"""
    time_mean: float = 0.0
    time_std: float = 1.0
    """of the logit of the times that are trained"""

    def setup(self) -> None:
        self.statistics = Statistics(self.latent_dim, self.components)

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate / self.hop_length

    @property
    def bottleneck(self) -> Uncoded:
        return Uncoded()

    @nn.nowrap
    def example(self) -> tuple[jax.Array, jax.Array]:
        """Arguments from whose shapes all parameters follow."""
        return jnp.zeros((1, 4, self.latent_dim)), jnp.zeros((1,), jnp.int32)

    def __call__(
        self,
        latents: jax.Array,
        labels: jax.Array,
        n_frames: jax.Array | None = None,
        *,
        keys: jax.Array | None = None,
    ) -> PriorOutput:
        """The loss `flow` (B,) of latents (B, F, D) with labels (B,), of which `n_frames` (B,) frames count.

        It is the mean square of the velocity's error over components and frames that were to be found. Noise, time, gap
        and whether the label is known are functions of each example's key, by default of its place.
        """
        x = self.normalise(latents)
        valid = jnp.ones(x.shape[:2], bool) if n_frames is None else jnp.arange(x.shape[1])[None] < n_frames[:, None]
        if keys is None:
            keys = jax.random.split(jax.random.key(0), len(x))
        drawn = jax.vmap(self._draw, in_axes=(0, 0))(keys, valid)
        times = drawn["time"][:, None, None]
        labels = jnp.where(drawn["dropped"], len(self.labels), labels)
        z = times * x + (1 - times) * drawn["noise"]
        known = drawn["known"] & valid
        velocity = self.velocity(z, drawn["time"], labels, x, known, valid)
        wanted = (valid & ~known)[..., None]
        error = jnp.where(wanted, jnp.square(velocity - (x - drawn["noise"])), 0.0)
        counted = jnp.maximum(wanted.sum(axis=(1, 2)), 1) * x.shape[-1]
        return PriorOutput({"flow": error.sum(axis=(1, 2)) / counted}, {})

    def velocity(
        self,
        z: jax.Array,
        times: jax.Array,
        labels: jax.Array,
        context: jax.Array,
        known: jax.Array,
        valid: jax.Array,
    ) -> jax.Array:
        """The velocity (B, F, K) of z (B, F, K) at times (B,), given the frames of `context` that are `known`.

        With the network's output at zero it is that of independent normal components with the deviations s:
        (t·s² − (1 − t)) / (t²·s² + (1 − t)²) · z. What the network adds is scaled by how uncertain that is.
        """
        s = jnp.maximum(self.statistics.deviations(), _SMALLEST_DEVIATION)[None, None]
        t = times[:, None, None]
        power = jnp.square(t * s) + jnp.square(1 - t)
        context = jnp.where(known[..., None], context / s, 0.0)
        out = self.network(z / jnp.sqrt(power), context, known, times, labels, valid)
        return (t * jnp.square(s) - (1 - t)) / power * z + s / jnp.sqrt(power) * out.astype(jnp.float32)

    def predict(
        self,
        z: jax.Array,
        times: jax.Array,
        labels: jax.Array,
        context: jax.Array,
        known: jax.Array,
        valid: jax.Array,
    ) -> jax.Array:
        """The components (B, F, K) to which the velocity leads by t = 1; arguments as of `velocity`."""
        return z + (1 - times[:, None, None]) * self.velocity(z, times, labels, context, known, valid)

    def normalise(self, latents: jax.Array) -> jax.Array:
        return self.statistics.normalise(latents)

    def denormalise(self, x: jax.Array) -> jax.Array:
        return self.statistics.denormalise(x)

    def deviations(self) -> jax.Array:
        return self.statistics.deviations()

    @nn.nowrap
    def _draw(self, key: jax.Array, valid: jax.Array) -> dict[str, jax.Array]:
        """Noise, time, gap and dropout of one example."""
        noise_key, time_key, label_key, fill_key, gap_key = jax.random.split(key, 5)
        n_frames = len(valid)
        time = jax.nn.sigmoid(self.time_mean + self.time_std * jax.random.normal(time_key))
        # a gap of any length and place; one that reaches beyond an end is a beginning, or a continuation
        length, place = jax.random.uniform(gap_key, (2,))
        first = jnp.floor(place * (1 + length) * n_frames - length * n_frames)
        frames = jnp.arange(n_frames)
        gap = (frames >= first) & (frames < first + jnp.maximum(length * n_frames, 1.0))
        return {
            "noise": jax.random.normal(noise_key, (n_frames, self.components)),
            "time": time,
            "dropped": jax.random.uniform(label_key) < self.label_dropout,
            "known": ~gap & (jax.random.uniform(fill_key) < self.fill),
        }


def measured(latents: np.ndarray, components: int, whitening: float) -> dict[str, np.ndarray]:
    """The parameters of `Statistics` for latents (N, D), N at least 2.

    The `components` directions in which they vary most. Each is divided by its deviation to the power `whitening`, all
    by one number: 1 lets all count alike, 0 leaves them as large as they are; their mean square is 1.
    """
    found = np.asarray(latents, np.float64)
    mean = found.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(found - mean, rowvar=False).reshape(found.shape[1], -1))
    # a sign of their own, or it would be the library's
    order = np.argsort(-variances, kind="stable")[:components]
    basis = directions[:, order]
    basis = basis * np.where(basis[np.abs(basis).argmax(axis=0), np.arange(len(order))] < 0, -1.0, 1.0)
    deviation = np.sqrt(np.maximum(variances[order], 1e-12))
    deviation = np.maximum(deviation, 1e-3 * deviation.max())
    scale = deviation**whitening
    scale = scale * np.sqrt(np.mean(np.square(deviation / scale)))
    parts = {"mean": mean, "basis": basis, "scale": scale, "deviation": deviation / scale}
    return {name: array.astype(np.float32) for name, array in parts.items()}


def with_statistics(params: dict[str, Any], statistics: dict[str, np.ndarray]) -> dict[str, Any]:
    """Parameters with these statistics in the place of theirs."""
    return {**params, STATISTICS: {name: jnp.asarray(array) for name, array in statistics.items()}}
