"""Trains the networks of `zoo.bitstream.entropy.networked` in floating point, and rounds them to integers.

What a network foretells is trained as the likelihood of the symbols under a small head on its scores; the coder has
tables in the head's place, which are counted under the rounded network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.bitstream.entropy.contexts import N_KINDS
from zoo.bitstream.entropy.network import ACTIVATION_MAX, SHIFT_MAX, SUM_MAX
from zoo.bitstream.entropy.networked import HIDDEN
from zoo.bitstream.entropy.surroundings import INPUT_MAX, N_INPUTS, N_SIGNED, N_UNSIGNED

_BATCH = 2048
_SIZE_STEPS, _SIGN_STEPS = 5000, 3000
_LEARNING_RATE = 0.01
"""many steps on few samples and a large rate: a quarter of the steps on eight times the samples lost 4 %"""
_HEAD = 24
_CALIBRATION = 16_384
"""samples that show how large activations become"""


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs int8 (n, K), row int32 (n,) of the first layer's biases, and symbol int32 (n,)."""

    inputs: np.ndarray
    place: np.ndarray
    symbol: np.ndarray

    @staticmethod
    def at(place: int, inputs: np.ndarray, symbol: np.ndarray) -> Samples:
        """Samples of one row of biases, from inputs (K, n) and symbols (n,)."""
        return Samples(inputs.T.astype(np.int8), np.full(len(symbol), place, np.int32), symbol.astype(np.int32))

    @staticmethod
    def of(parts: Sequence[Samples]) -> Samples:
        """All samples of some parts, of which there must be one."""
        return Samples(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("inputs", "place", "symbol")))


def sizes(samples: Samples, n_rows: int, n_tokens: int) -> dict[str, np.ndarray]:
    """Arrays size_… of `networked.template`, trained to foretell tokens."""
    params = _initial(N_INPUTS, n_rows * N_KINDS, n_scores=2)
    rng = np.random.default_rng(1)
    params["head"] = [_layer(rng, 2, _HEAD), _layer(rng, _HEAD, n_tokens)]

    def loss(params: Any, inputs: jax.Array, place: jax.Array, symbol: jax.Array) -> jax.Array:
        scores = _scores(params, inputs @ params["hidden"] + params["bias"][place])
        (w, b), (v, c) = params["head"]
        likely = jax.nn.log_softmax(jnp.tanh(scores @ w + b[None]) @ v + c[None])
        return -jnp.take_along_axis(likely, symbol[:, None], 1).mean()

    trained = _train(params, loss, samples, _SIZE_STEPS)
    return _rounded("size", trained, samples, (n_rows, N_KINDS))


def signs(samples: Samples, n_rows: int) -> dict[str, np.ndarray]:
    """Arrays sign_… of `networked.template`, trained to foretell which symbols are negative."""
    params = _initial(N_SIGNED + N_UNSIGNED, n_rows * 2, n_scores=1)

    def loss(params: Any, inputs: jax.Array, place: jax.Array, symbol: jax.Array) -> jax.Array:
        odd = inputs[:, :N_SIGNED] @ params["hidden"][:N_SIGNED]
        even = inputs[:, N_SIGNED:] @ params["hidden"][N_SIGNED:] + params["bias"][place]
        score = (_scores(params, even + odd) - _scores(params, even - odd))[:, 0]
        return jax.nn.softplus(jnp.where(symbol > 0, -score, score)).mean()

    return _rounded("sign", _train(params, loss, samples, _SIGN_STEPS), samples, (n_rows, 2))


def _layer(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    weights = rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)
    return weights.astype(np.float32), np.zeros(n_out, np.float32)


def _initial(n_inputs: int, n_places: int, n_scores: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    hidden, second = HIDDEN
    return {
        "hidden": _layer(rng, n_inputs, hidden)[0],
        "bias": np.zeros((n_places, hidden), np.float32),
        "second": _layer(rng, hidden, second),
        "scores": _layer(rng, second, n_scores)[0] / 2,
    }


def _scores(params: Any, sums: jax.Array) -> jax.Array:
    weights, bias = params["second"]
    scores: jax.Array = jax.nn.relu(jax.nn.relu(sums) @ weights + bias[None]) @ params["scores"]
    return scores


def _train(params: Any, loss: Callable[..., jax.Array], samples: Samples, n_steps: int) -> Any:
    """Adam with a learning rate that falls like a cosine, on inputs of about the same size."""
    rng = np.random.default_rng(0)
    shown = samples.inputs[rng.integers(0, len(samples.symbol), _CALIBRATION)].astype(np.float32)
    size = np.sqrt(np.square(shown).mean(0)) + 1

    @jax.jit
    def step(
        params: Any, first: Any, second: Any, i: jax.Array, inputs: jax.Array, place: jax.Array, symbol: jax.Array
    ) -> tuple[Any, Any, Any]:
        gradient = jax.grad(loss)(params, inputs.astype(jnp.float32) / size[None], place, symbol)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradient)
        rate = _LEARNING_RATE * (0.5 + 0.5 * jnp.cos(jnp.pi * i / n_steps)) * jnp.minimum(1, (i + 1) / 50)
        a, b = 1 - 0.9 ** (i + 1), 1 - 0.99 ** (i + 1)
        params = jax.tree.map(lambda p, m, v: p - rate * m / a / (jnp.sqrt(v / b) + 1e-8), params, first, second)
        return params, first, second

    zeros = jax.tree.map(np.zeros_like, params)
    first = second = zeros
    for i in range(n_steps):
        drawn = rng.integers(0, len(samples.symbol), min(_BATCH, len(samples.symbol)))
        batch = samples.inputs[drawn], samples.place[drawn], samples.symbol[drawn]
        params, first, second = step(params, first, second, np.float32(i), *batch)
    trained = jax.tree.map(np.asarray, params)
    return trained | {"hidden": trained["hidden"] / size[:, None]}


def _rounded(prefix: str, params: Any, samples: Samples, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The network in integers: each unit scaled as far as sums stay exact, and shifted to fit an activation's range."""
    rng = np.random.default_rng(0)
    n = len(samples.symbol)
    drawn = rng.integers(0, n, min(_CALIBRATION, n))
    place, inputs = samples.place[drawn], samples.inputs[drawn].astype(np.float64)
    bias = np.asarray(params["bias"], np.float64)
    hidden, gain = _integers(params["hidden"], INPUT_MAX, np.abs(bias).max(0))
    sums = inputs @ hidden + (bias * gain)[place]
    shift = _shift(sums)
    activations = np.clip(np.floor((sums + _half(shift)) / 2.0**shift), 0, ACTIVATION_MAX)
    weights, second_bias = params["second"]
    second, second_gain = _integers(weights * (2.0**shift / gain)[:, None], ACTIVATION_MAX, np.abs(second_bias))
    second_sums = activations @ second + second_bias * second_gain
    second_shift = _shift(second_sums)
    weights = params["scores"] * (2.0**second_shift / second_gain)[:, None]
    scores, _ = _integers(weights, ACTIVATION_MAX, np.zeros(weights.shape[1]))
    arrays = {
        "bias": (np.rint(bias * gain) + _half(shift)).reshape(*shape, -1),
        "hidden": hidden.T,
        "hidden_shift": shift,
        "second": second.T,
        "second_bias": np.rint(second_bias * second_gain) + _half(second_shift),
        "second_shift": second_shift,
        "scores": scores.T,
    }
    return {f"{prefix}_{name}": array.astype(np.int32) for name, array in arrays.items()}


def _integers(weights: np.ndarray, input_max: int, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (inputs, units) times a gain (units,) each, rounded; with them no sum exceeds half of what is exact."""
    weights = np.asarray(weights, np.float64)
    gain = SUM_MAX / 2 / np.maximum(input_max * np.abs(weights).sum(0) + bias, 1e-9)
    return np.rint(weights * gain), gain


def _shift(sums: np.ndarray) -> np.ndarray:
    """Bits (units,) by which sums (n, units) must be shifted so that almost none exceeds an activation."""
    top = np.quantile(sums, 0.9995, axis=0) if len(sums) else np.zeros(sums.shape[1])
    return np.clip(np.ceil(np.log2(np.maximum(top, 1) / ACTIVATION_MAX)), 0, SHIFT_MAX).astype(np.int64)


def _half(shift: np.ndarray) -> np.ndarray:
    """What makes of rounding down rounding to the nearest."""
    half: np.ndarray = (1 << shift) >> 1
    return half
