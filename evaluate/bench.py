"""`python -m evaluate.bench`: how fast codecs code, in seconds of audio per wall second.

python -m evaluate.bench --model vae autoencoder gan_vocoder     default sizes, random weights
python -m evaluate.bench --ckpt runs/vae
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate import cli
from zoo.cli import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    from rich.table import Table

    from zoo.ready import ReadyCodec


@dataclass(frozen=True)
class Speed:
    """What one codec reached."""

    system: str
    parameters: int
    device: str
    seconds: float
    """of audio in one call, of each clip"""
    batch_size: int
    encode_rtf: float
    """seconds of audio per wall second, median of the repeats, resident arrays to numpy codes"""
    decode_rtf: float
    entropy_coding_rtf: float
    """of turning codes into bytes"""
    encode_first_s: float
    """wall seconds of the first call, compilation included"""
    decode_first_s: float


@dataclass(frozen=True)
class Options:
    """Measures the speed of encoding and decoding, with random audio: a table and, if asked for, JSON.

    Examples:
      python -m evaluate.bench --model vae autoencoder gan_vocoder     default sizes, random weights
      python -m evaluate.bench --ckpt runs/vae
    """

    ckpt: tuple[str, ...] = ()
    """run directories, or single checkpoints inside them"""
    model: tuple[str, ...] = ()
    """families, with random weights"""
    seconds: float = 10.0
    """of audio in each clip"""
    batch_size: int = 1
    """clips in one call"""
    repeat: int = 5
    """calls, of which the median is taken"""
    output: str | None = None
    """JSON file to write"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    # compiled programs from earlier runs would hide what the first call costs
    command(Options, "python -m evaluate.bench", run, arguments, cached=False)


def run(options: Options) -> None:
    """Measures and prints; raises ZooError for input that cannot be used."""
    from evaluate import table

    if not options.ckpt and not options.model:
        raise ZooError("nothing to measure: give --ckpt RUN or --model FAMILY")
    if not options.seconds > 0 or options.repeat < 1 or options.batch_size < 1:
        raise ZooError("--seconds, --repeat and --batch_size must be positive")
    codecs = cli.load_codecs(options.ckpt) if options.ckpt else {}
    codecs |= {f"{family} (random)": random_codec(family) for family in options.model}
    speeds = [
        measure(name, codec, seconds=options.seconds, batch_size=options.batch_size, repeat=options.repeat)
        for name, codec in codecs.items()
    ]
    if options.output:
        table.write_json(speeds, Path(options.output))
    table.console().print(render(speeds))


def random_codec(family: str, **hyperparameters: Any) -> ReadyCodec:
    """An untrained codec of a family, with flat tables; raises ZooError for an unknown one."""
    import jax
    import jax.numpy as jnp

    from zoo import families
    from zoo.bitstream.entropy import Fitter
    from zoo.ready import ReadyCodec

    module = families.create(family, **hyperparameters)
    audio = jnp.zeros((1, 2 * module.hop_length, module.channels))
    variables = jax.jit(module.init)(jax.random.key(0), audio)
    bottleneck: Any = module.bottleneck
    flat = Fitter(bottleneck.symbols()).fit()
    return ReadyCodec(module, variables, flat, {"family": family, "model": hyperparameters})


def measure(name: str, codec: ReadyCodec, *, seconds: float, batch_size: int = 1, repeat: int = 5) -> Speed:
    """Times `batch_size` clips of `seconds` at the codec's default level."""
    import jax
    import numpy as np

    n_samples = max(1, round(seconds * codec.sample_rate))
    noise = np.random.default_rng(0).standard_normal((batch_size, n_samples, codec.channels))
    audio = (0.1 * noise).astype(np.float32)
    encoded, encode_first_s = _timed(lambda: codec.encode(audio))
    _, decode_first_s = _timed(lambda: codec.decode(encoded))
    total = batch_size * n_samples / codec.sample_rate
    calls: dict[str, Callable[[], Any]] = {
        "encode_rtf": lambda: codec.encode(audio),
        "decode_rtf": lambda: codec.decode(encoded),
        "entropy_coding_rtf": lambda: codec.count_bytes(encoded),
    }
    found = {key: total / statistics.median(_timed(call)[1] for _ in range(repeat)) for key, call in calls.items()}
    device = jax.devices()[0]
    return Speed(
        system=name,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(codec.variables["params"])),
        device=f"{os.cpu_count()} CPU cores" if device.platform == "cpu" else device.device_kind,
        seconds=n_samples / codec.sample_rate,
        batch_size=batch_size,
        encode_first_s=encode_first_s,
        decode_first_s=decode_first_s,
        **found,
    )


def render(speeds: Sequence[Speed]) -> Table:
    """The rich table; audio seconds per wall second unless the unit says otherwise."""
    from rich import box
    from rich.table import Table

    first = speeds[0]
    title = f"{first.device} · {first.batch_size} × {first.seconds:g} s of audio"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("system", vertical="bottom")
    for heading in (
        "parameters\nM",
        "encode\n×",
        "decode\n×",
        "entropy coding\n×",
        "first encode\ns",
        "first decode\ns",
    ):
        table.add_column(heading, justify="right")
    for speed in speeds:
        factors = (speed.encode_rtf, speed.decode_rtf, speed.entropy_coding_rtf)
        table.add_row(
            speed.system,
            f"{speed.parameters / 1e6:.2f}",
            *(f"{factor:.0f}" if factor >= 10 else f"{factor:.1f}" for factor in factors),
            f"{speed.encode_first_s:.1f}",
            f"{speed.decode_first_s:.1f}",
        )
    return table


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()  # numpy arrays, so nothing is still running
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
