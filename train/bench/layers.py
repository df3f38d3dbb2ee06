"""Every type of layer in float32, TF32 and bfloat16 on this device: `python -m train.bench.layers`.

For each, forward and with gradients: the error against float32 and the time of a call, or what the compiler says.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from train.bench.precisions import PRECISIONS, products_of
from train.bench.results import Record, Results, shown
from zoo.console.command import command
from zoo.errors import ZooError

PART = "layers"


@dataclass(frozen=True)
class Options:
    """Tries float32, TF32 and bfloat16 for every type of layer, with gradients.

    Examples:
      python -m train.bench.layers --output layers.jsonl
      python -m train.bench.layers --batch_size 1 --frames 64 --channels 8 --repeat 1
    """

    layer: tuple[str, ...] = ()
    """layers to try, by name; none = all"""
    batch_size: int = 16
    frames: int = 4096
    """time steps of each clip"""
    channels: int = 256
    repeat: int = 20
    """calls in a row that are timed, three times"""
    output: str = "accelerator_bench.jsonl"
    """file to which results are appended; what is in it is not tried again"""


@dataclass(frozen=True)
class Case:
    """A layer and its input."""

    make: Callable[[Any], Any]
    """the module, of a type for its arithmetic"""
    shape: Callable[[int, int, int], tuple[int, ...]] = lambda batch, frames, channels: (batch, frames, channels)
    """of the input, by clips, frames and channels"""


def cases() -> dict[str, Case]:
    """The layers of `zoo.nn.layers`, those with several forms in each of them."""
    from zoo.nn import layers

    return {
        "Conv1d": Case(lambda d: layers.Conv1d(None, 7, dtype=d)),
        "Conv1d of one tap": Case(lambda d: layers.Conv1d(dtype=d)),
        "Conv1d of one channel": Case(lambda d: layers.Conv1d(64, 7, dtype=d), lambda b, t, c: (b, 4 * t, 1)),
        "Conv1d with stride": Case(lambda d: layers.Conv1d(None, 4, stride=2, dtype=d)),
        "Conv1d dilated": Case(lambda d: layers.Conv1d(None, 7, dilation=3, dtype=d)),
        "Conv2d": Case(
            lambda d: layers.Conv2d(32, (3, 8), stride=2, dtype=d), lambda b, t, c: (b, max(t // 64, 4), 64, c // 8)
        ),
        "ConvTranspose1d": Case(
            lambda d: layers.ConvTranspose1d(64, stride=4, dtype=d), lambda b, t, c: (b, max(t // 4, 4), c)
        ),
        "DepthwiseConv1d": Case(lambda d: layers.DepthwiseConv1d(7, dtype=d)),
        "LayerNorm": Case(lambda d: layers.LayerNorm(dtype=d)),
        "RMSNorm": Case(lambda d: layers.RMSNorm(dtype=d)),
        "TimeGroupNorm": Case(lambda d: layers.TimeGroupNorm(dtype=d)),
        "Remembering": Case(lambda d: layers.Remembering(layers.Conv1d(None, 7, dtype=d, causal=True), 6)),
        "Snake": Case(lambda d: layers.Snake(dtype=d)),
        "ConvNeXtBlock": Case(lambda d: layers.ConvNeXtBlock(768, dtype=d)),
        "ResidualUnit": Case(lambda d: layers.ResidualUnit(dilation=3, dtype=d)),
        "LSTM": Case(lambda d: layers.LSTM(dtype=d), lambda b, t, c: (b, max(t // 64, 4), c)),
    }


class Trial:
    """A layer with its parameters, its input, and what it gives in float32."""

    def __init__(self, case: Case, options: Options) -> None:
        import jax
        import numpy as np

        self._case, self._repeat = case, options.repeat
        rng = np.random.default_rng(0)
        shape = case.shape(options.batch_size, options.frames, options.channels)
        self._x = jax.device_put(rng.standard_normal(shape, np.float32))
        module = case.make(np.dtype(np.float32))
        self._variables = jax.jit(module.init)(jax.random.key(0), self._x)
        out = jax.eval_shape(module.apply, self._variables, self._x)
        self._towards = jax.device_put(rng.standard_normal(out.shape, np.float32))

    def measure(self, precision: str) -> Record:
        """Errors relative to float32 in the Euclidean norm, and milliseconds of a call."""
        found: Record = {}
        with products_of("float32"):
            exact = {name: program(self._variables, self._x) for name, program in self._programs("float32").items()}
        with products_of(precision):
            for name, program in self._programs(precision).items():
                error = _distance(program(self._variables, self._x), exact[name])
                found |= {f"{name}_error": error, f"{name}_ms": 1000 * self._seconds(program)}
        return found

    @functools.cache  # noqa: B019  # a trial lives as long as its layer is measured
    def _programs(self, precision: str) -> dict[str, Callable[..., Any]]:
        import jax
        import jax.numpy as jnp

        module = self._case.make(jnp.dtype(PRECISIONS[precision].dtype))

        def onto(variables: Any, x: jax.Array) -> jax.Array:
            return jnp.vdot(module.apply(variables, x).astype(jnp.float32), self._towards)

        return {"forward": jax.jit(module.apply), "gradient": jax.jit(jax.grad(onto, argnums=(0, 1)))}

    def _seconds(self, program: Callable[..., Any]) -> float:
        import jax

        times = []
        for _ in range(3):
            started = time.perf_counter()
            for _ in range(self._repeat):
                given = program(self._variables, self._x)
            jax.block_until_ready(given)
            times.append((time.perf_counter() - started) / self._repeat)
        return statistics.median(times)


def _distance(given: Any, exact: Any) -> float:
    import jax
    import jax.numpy as jnp

    pairs = list(zip(jax.tree.leaves(given), jax.tree.leaves(exact), strict=True))
    apart = sum(jnp.sum(jnp.square(a.astype(jnp.float32) - b)) for a, b in pairs)
    return float(jnp.sqrt(apart / sum(jnp.sum(jnp.square(b)) for _, b in pairs)))


def run(options: Options) -> None:
    """Measures and writes; raises ZooError for layers that there are none of."""
    known = cases()
    if unknown := [name for name in options.layer if name not in known]:
        raise ZooError(f"no layer is called {unknown[0]!r}; there are: {', '.join(known)}")
    if min(options.batch_size, options.frames, options.channels, options.repeat) < 1:
        raise ZooError("--batch_size, --frames, --channels and --repeat must be positive")
    results = Results(options.output, PART)
    for name in options.layer or known:
        trial = functools.cache(functools.partial(Trial, known[name], options))
        for precision in PRECISIONS:
            found = results.attempt(f"{name} {precision}", lambda p=precision, trial=trial: trial().measure(p))  # type: ignore[misc]
            if found is not None:
                print(f"{name} {precision}: {shown(found)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train.bench.layers", run, arguments)


if __name__ == "__main__":
    main()
