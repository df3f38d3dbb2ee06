"""What a configuration has a device compute: encoding, decoding, a training step, each compiled for its shapes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs.base import Config
from evaluate.bench import operations
from train.bench.precisions import PRECISIONS, products_of
from train.devices import parallel
from train.step.state import TrainState, create_state
from train.step.step import make_step
from train.step.tasks import make_task
from zoo import families


@dataclass
class Program:
    """A program as it was traced; `audio_s` seconds of audio go through it in a call."""

    traced: Any
    arguments: Callable[[], Any]
    """makes what it is called with the first time"""
    again: Callable[[Any, Any], Any]
    """what it is called with after that, of arguments and result"""
    audio_s: float

    @cached_property
    def compiled(self) -> Any:
        return self.traced.lower().compile()

    @property
    def flops(self) -> float:
        """Operations of a call: see `evaluate.bench.operations`."""
        return operations.of_program(self.traced.jaxpr.jaxpr)

    def run(self, calls: int) -> tuple[float, Any]:
        """Median wall seconds of a call, of three runs of so many after a first one, and the first one's result."""
        given = self.arguments()
        result = first = jax.block_until_ready(self.compiled(*given))
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            for _ in range(calls):
                given = self.again(given, result)
                result = self.compiled(*given)
            jax.block_until_ready(result)
            seconds.append((time.perf_counter() - started) / calls)
        return float(np.median(seconds)), first


class Programs:
    """The programs of a configuration, with its initial weights, on noise."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._mesh = parallel.make_mesh()
        task = make_task(config)
        self._state: TrainState = jax.device_get(jax.jit(lambda: create_state(task, config.seed))())

    def _noise(self, batch_size: int, seconds: float, module: Any) -> np.ndarray:
        frames = max(1, round(seconds * module.sample_rate / module.hop_length))
        shape = (batch_size, frames * module.hop_length, module.channels)
        return 0.1 * np.random.default_rng(0).standard_normal(shape, np.float32)

    def coding(self, what: str, precision: str, batch_size: int, seconds: float) -> Program:
        """Clips of so many seconds, "encode" to codes or "decode" from random ones, at the highest level."""
        model: Any = self._config.model
        module: Any = families.create(model.family, **model.kwargs(), dtype=jnp.dtype(PRECISIONS[precision].dtype))
        symbols = module.bottleneck.symbols()
        level = np.int32(symbols.n_levels - 1)
        audio = self._noise(batch_size, seconds, module)
        variables = {"params": self._state.params}

        def encode(variables: Any, audio: jax.Array) -> Any:
            latent = module.apply(variables, audio, method="encode")
            if not symbols.codebook_sizes:
                return latent
            return module.apply(variables, latent, level, method="quantise").codes

        def decode(variables: Any, frames: jax.Array) -> Any:
            if not symbols.codebook_sizes:
                return module.apply(variables, frames, audio.shape[1], method="decode")
            return module.apply(variables, frames, audio.shape[1], level=level, method="decode_codes")

        function: Callable[..., Any] = encode
        x = audio
        if what == "decode":
            frames, rng = jax.eval_shape(encode, variables, audio), np.random.default_rng(1)
            sizes = np.array(symbols.codebook_sizes[: frames.shape[-1]])
            drawn = rng.integers(0, sizes, frames.shape) if len(sizes) else rng.standard_normal(frames.shape)
            function, x = decode, drawn.astype(frames.dtype)
        with products_of(precision):
            traced = jax.jit(function).trace(variables, x)
        return Program(
            traced,
            arguments=lambda: jax.device_put((variables, x)),
            again=lambda given, result: given,
            audio_s=batch_size * audio.shape[1] / module.sample_rate,
        )

    def training(self, precision: str, batch_size: int) -> Program:
        """A training step, with discriminators where the configuration has them."""
        parallel.check_batch_size(batch_size, self._mesh)
        dtype = PRECISIONS[precision].dtype
        task = make_task(dataclasses.replace(self._config, batch_size=batch_size, precision=dtype))
        audio = self._noise(batch_size, self._config.data.segment_s, task.module)
        batch = {"audio": audio, "index": np.arange(batch_size, dtype=np.int32)}
        step: Any = parallel.map_step(make_step(task, adversarial=task.adversarial), self._mesh)

        def arguments() -> Any:
            return parallel.replicate(self._state, self._mesh), parallel.shard_batch(batch, self._mesh)

        with products_of(precision):
            traced = step.trace(*arguments())
        return Program(
            traced,
            arguments,
            again=lambda given, result: (result[0], given[1]),  # the state is given away at each step
            audio_s=batch_size * audio.shape[1] / task.module.sample_rate,
        )
