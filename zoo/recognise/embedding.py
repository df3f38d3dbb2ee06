"""Embeddings of sounds: what a frozen codec makes of a clip, as a vector for each set of features.

    latent  the codec's latents, before quantisation
    layers  the outputs of up to eight layers of its encoder, all together

How sequences become vectors is told in `pooling`. What that takes to know of a codec (how large its latents are, which
of them follow the waveform, which combinations of them vary together) is measured on sounds of the embedded generator,
always the same: an embedding depends on the codec alone, and on no corpus.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo import given, synth
from zoo.codec import Codec
from zoo.errors import ZooError
from zoo.ready import ReadyCodec
from zoo.recognise import layers, pooling
from zoo.recognise.pooling import Bins

SETS = ("latent", "layers")
"""the sets of features that there are of codecs"""
N_COMPONENTS = 20
"""of a set: as many as a usual cepstrum has coefficients"""
N_REFERENCES = 48
REFERENCE_S = 2.0
BATCH = 4
"""reference sounds that are computed at once"""


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, eq=False)
class Calibration:
    """What reference sounds tell of a set of D dimensions, of which K components, and V numbers a clip, are made."""

    power: np.ndarray
    """(D,): mean square of the layer that a dimension is of"""
    scale: np.ndarray
    """(D,): so that all layers count alike, however wide they are"""
    evenness: np.ndarray
    """(D,) in [0, 1]: how much the means of a sound and of its negative agree; not at all where the waveform is
    followed"""
    mean: np.ndarray
    """(2·D,): of levels, then values"""
    basis: np.ndarray
    """(2·D, K): the principal components of both"""
    centre: np.ndarray
    """(V,): means of the vectors"""
    spread: np.ndarray
    """(V,): their standard deviations"""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The fields by name, from which `restored` makes the embedder again."""
        return {part.name: np.asarray(getattr(self, part.name), np.float32) for part in fields(self)}


@dataclass(frozen=True, eq=False)
class Embedder:
    """Clips to vectors by a frozen codec; made by `embedder`."""

    codec: ReadyCodec
    paths: tuple[str, ...]
    """the layers that the set of that name is made of"""
    calibrations: dict[str, Calibration]
    """by the sets that are computed"""

    @property
    def sample_rate(self) -> int:
        """Hz that clips must have."""
        return self.codec.sample_rate

    @property
    def channels(self) -> int:
        """Channels that clips must have."""
        return self.codec.channels

    def __call__(self, audio: np.ndarray, n_samples: np.ndarray) -> dict[str, np.ndarray]:
        """Vectors (B, V) of every set for clips (B, T, channels), of which the first `n_samples` (B,) samples count."""
        found = _vectors(
            self.codec.module, self.paths, self.codec.variables, self.calibrations, audio=audio, n_samples=n_samples
        )
        return {name: np.asarray(vectors) for name, vectors in found.items()}


def embedder(codec: ReadyCodec, sets: Sequence[str] = SETS) -> Embedder:
    """The embedder of these sets, for which the reference sounds go through the codec's encoder.

    A set that the codec has not (an encoder without layers) is left out. Raises ZooError for one that is not in SETS.
    """
    codec = given.codec(codec)
    if not isinstance(sets, list | tuple) or not sets or not all(name in SETS for name in sets):
        raise ZooError(f"sets must be some of {', '.join(SETS)}, got {' '.join(repr(sets).split())[:80]}")
    paths = layers.choose(codec.module, codec.variables) if "layers" in sets else ()
    found, opposite = _references(codec, paths)
    wanted = [name for name in sets if name in found]
    return Embedder(codec, paths, {name: _calibrate(found[name], opposite[name]) for name in wanted})


def restored(codec: ReadyCodec, paths: Sequence[str], arrays: Mapping[str, Mapping[str, np.ndarray]]) -> Embedder:
    """The embedder that had these `paths` and, by set, the `arrays` of its calibrations."""
    return Embedder(codec, tuple(paths), {name: Calibration(**parts) for name, parts in arrays.items()})


# what is compiled for a module serves all embedders of it, made or restored
@functools.partial(jax.jit, static_argnums=(0, 1))
def _vectors(
    module: Codec, paths: tuple[str, ...], variables: Any, calibrations: Any, audio: jax.Array, n_samples: jax.Array
) -> dict[str, jax.Array]:
    found = _bins(module, paths, variables, audio, n_samples)
    return {name: _vector(found[name], calibration) for name, calibration in calibrations.items()}


@functools.partial(jax.jit, static_argnums=(0, 1))
def _bins(
    module: Codec, paths: tuple[str, ...], variables: Any, audio: jax.Array, n_samples: jax.Array
) -> dict[str, list[Bins]]:
    """The layers of each set, averaged over the same bins of about `pooling.BIN_S`."""
    encoded = layers.encode(module, variables, audio, n_samples, paths)
    n_frames = module.n_frames(n_samples)
    length = max(1, round(pooling.BIN_S * module.frame_rate_hz))

    def averaged(x: jax.Array) -> Bins:
        steps = x.shape[1] // encoded.latent.shape[1]
        return pooling.bins(x, n_frames * steps, length * steps)

    found = {"latent": [averaged(encoded.latent)]}
    return found | ({"layers": [averaged(x) for x in encoded.layers.values()]} if paths else {})


def _vector(parts: Sequence[Bins], calibration: Calibration) -> jax.Array:
    power = jnp.concatenate([part.power for part in parts], axis=-1)
    value = jnp.concatenate([part.value for part in parts], axis=-1)
    both = _features(power, value, calibration.power, calibration.scale, calibration.evenness)
    return pooling.statistics((both - calibration.mean[None, None]) @ calibration.basis, parts[0].weight)


def _features(power: Any, value: Any, reference: Any, scale: Any, evenness: Any) -> jax.Array:
    reference, scale, evenness = (array[None, None] for array in (reference, scale, evenness))
    levels = pooling.level(power / reference) * scale
    return jnp.concatenate([levels, value / jnp.sqrt(reference) * (evenness * scale)], axis=-1)


def _references(codec: ReadyCodec, paths: tuple[str, ...]) -> tuple[dict[str, list[Bins]], dict[str, list[Bins]]]:
    """The bins of all reference sounds, and of their negatives."""
    n_domains = len(synth.DOMAINS)
    clips = np.stack(
        [
            synth.clip(i, REFERENCE_S, codec.sample_rate, channels=codec.channels, domain=synth.DOMAINS[i % n_domains])
            for i in range(N_REFERENCES)
        ]
    )
    lengths = np.full(BATCH, clips.shape[1], np.int32)
    both = []
    for sign in (1, -1):
        runs = [
            _bins(codec.module, paths, codec.variables, sign * clips[i : i + BATCH], lengths)
            for i in range(0, len(clips), BATCH)
        ]
        both.append(jax.tree.map(lambda *parts: np.concatenate(parts), *runs))
    return both[0], both[1]


def _calibrate(parts: Sequence[Bins], opposite: Sequence[Bins]) -> Calibration:
    # a layer that gives nothing but zeros has no power to relate anything to
    powers = [np.full(part.power.shape[-1], max(float(part.power.mean()), 1e-12), np.float32) for part in parts]
    power = np.concatenate(powers)
    scale = np.concatenate([np.full(len(one), len(one) ** -0.5, np.float32) for one in powers])
    value, negative = (np.concatenate([np.asarray(one.value) for one in some], -1) for some in (parts, opposite))
    evenness = _evenness(value.reshape(-1, len(power)), negative.reshape(-1, len(power)))
    squares = np.concatenate([np.asarray(part.power) for part in parts], -1)
    features = np.asarray(_features(squares, value, power, scale, evenness))
    frames = features.reshape(-1, features.shape[-1])
    mean = frames.mean(axis=0)
    basis = _principal(frames - mean, N_COMPONENTS)
    vectors = np.asarray(pooling.statistics(jnp.asarray((features - mean) @ basis), jnp.asarray(parts[0].weight)))
    return Calibration(power, scale, evenness, mean, basis, vectors.mean(axis=0), vectors.std(axis=0))


def _evenness(value: np.ndarray, negative: np.ndarray) -> np.ndarray:
    value, negative = value - value.mean(axis=0), negative - negative.mean(axis=0)
    energy = (np.square(value) + np.square(negative)).sum(axis=0)
    return np.clip(2 * (value * negative).sum(axis=0) / np.maximum(energy, 1e-12), 0, 1).astype(np.float32)


def _principal(frames: np.ndarray, n: int) -> np.ndarray:
    """The (D, n) directions in which centred frames (N, D) vary most, fewer where there are not so many."""
    frames = frames[:: max(1, len(frames) // 2000)].astype(np.float64)
    if frames.shape[1] <= len(frames):
        return np.linalg.eigh(frames.T @ frames)[1][:, ::-1][:, :n].astype(np.float32)
    variances, directions = np.linalg.eigh(frames @ frames.T)
    kept = directions[:, ::-1][:, :n] / np.sqrt(np.maximum(variances[::-1][:n], 1e-12))
    return (frames.T @ kept).astype(np.float32)
