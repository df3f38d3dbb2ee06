"""`python -m evaluate.bench`: how fast codecs code, in seconds of audio per wall second, or beside torch.

python -m evaluate.bench --model vae autoencoder dac_44khz     default sizes, random weights
python -m evaluate.bench --ckpt runs/vae
python -m evaluate.bench --model dac_44khz encodec_24khz --vs torch
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from evaluate import cli
from zoo.console.command import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    from rich.table import Table

    from evaluate.bench.passes import Whole
    from zoo.ready import ReadyCodec

UNKNOWN = "–"


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
    entropy_coding_rtf: float | None
    """of turning codes into bytes; None for a codec of latents"""
    encode_first_s: float
    """wall seconds of the first call, compilation included"""
    decode_first_s: float
    dtype: str = "float32"
    """of the arithmetic"""
    whole: Whole | None = None


@dataclass(frozen=True)
class Options:
    """Measures the speed of encoding and decoding, with random audio: a table and, if asked for, JSON.

    Examples:
      python -m evaluate.bench --model vae autoencoder dac_44khz     default sizes, random weights
      python -m evaluate.bench --ckpt runs/vae
      python -m evaluate.bench --model dac_44khz encodec_24khz mimi --vs torch
      python -m evaluate.bench --model dac_44khz --whole --dtype bfloat16 --batch_size 1 8 64
      python -m evaluate.bench features --data.root DIR              audio features, beside librosa's
      python -m evaluate.bench tokenise --ckpt runs/vae --data.root DIR    tokenising a library, by one worker and more
    """

    ckpt: tuple[str, ...] = ()
    """run directories, or single checkpoints inside them"""
    model: tuple[str, ...] = ()
    """families, or published models (hub id, or its last part), with random weights"""
    vs: Literal["torch"] | None = None
    """compare published models with their torch implementations, on the CPU: needs the extra 'parity'"""
    seconds: float = 10.0
    """of audio in each clip"""
    batch_size: tuple[int, ...] = (1,)
    """clips in one call; several are measured one after the other"""
    repeat: int = 5
    """calls, of which the median is taken"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of the arithmetic; weights are float32"""
    whole: bool = False
    """also clips as a whole, in one compiled program each way; always where there is an accelerator"""
    peak_tflops: float | None = None
    """of the device, products of bfloat16 matrices, 10¹² operations per second; None = that of a known device"""
    output: Annotated[str | None, arg(aliases=("--json",))] = None
    """JSON file to write"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used.

    With status 1 where a model and its torch implementation do not agree.
    """
    # compiled programs from earlier runs would hide what the first call costs
    command(Options, "python -m evaluate.bench", run, arguments, cached=False)


def run(options: Options) -> None:
    """Measures and prints; raises ZooError for input that cannot be used."""
    if not options.ckpt and not options.model:
        raise ZooError("nothing to measure: give --ckpt RUN or --model NAME")
    if not options.seconds > 0 or options.repeat < 1 or not options.batch_size or min(options.batch_size) < 1:
        raise ZooError("--seconds, --repeat and --batch_size must be positive")
    if options.peak_tflops is not None and not options.peak_tflops > 0:
        raise ZooError("--peak_tflops must be positive")
    cli.check_results_file(options.output)
    if options.vs:
        _run_versus(options)
    else:
        _run_speeds(options)


def _run_speeds(options: Options) -> None:
    import jax

    from evaluate import table
    from evaluate.bench.models import random_codec

    codecs = cli.load_codecs(options.ckpt) if options.ckpt else {}
    codecs |= {f"{name} (random)": random_codec(name) for name in options.model}
    whole = options.whole or jax.default_backend() != "cpu"
    speeds = [
        measure(
            name,
            codec.with_precision(options.dtype),
            seconds=options.seconds,
            batch_size=batch_size,
            repeat=options.repeat,
            whole=whole,
            peak_tflops=options.peak_tflops,
        )
        for name, codec in codecs.items()
        for batch_size in options.batch_size
    ]
    speeds = [dataclasses.replace(speed, dtype=options.dtype) for speed in speeds]
    if options.output:
        table.write_json(speeds, Path(options.output))
    table.console().print(render(speeds))


def _run_versus(options: Options) -> None:
    from evaluate import table
    from evaluate.bench import comparison, hardware, models, versus

    if options.ckpt or options.dtype != "float32":
        raise ZooError("--vs torch is for published models, --model, in float32")
    versus.check_torch()
    machine, found = hardware.hardware(), []
    for model in [models.published_only(name) for name in options.model]:
        found += versus.compare(model, seconds=options.seconds, batch_sizes=options.batch_size, repeat=options.repeat)
        if options.output:  # after each model: a run that is stopped has not measured for nothing
            report = {"hardware": machine, "comparisons": [one.record() for one in found]}
            table.write_text(Path(options.output), json.dumps(report, indent=1, allow_nan=False) + "\n")
    console = table.console()
    console.print(*comparison.render(found, hardware.describe(machine)), sep="\n")
    console.print(comparison.LEGEND, style="dim")
    apart = [one.model for one in found if not one.agreement.is_close]
    if apart:
        print(f"not what torch gives: {', '.join(apart)}", file=sys.stderr)
        raise SystemExit(1)


def measure(
    name: str,
    codec: ReadyCodec,
    *,
    seconds: float,
    batch_size: int = 1,
    repeat: int = 5,
    whole: bool = False,
    peak_tflops: float | None = None,
) -> Speed:
    """Times `batch_size` clips of `seconds` at the codec's default level; latents where it has no codes."""
    import jax
    import numpy as np

    from evaluate.bench import passes

    n_samples = max(1, round(seconds * codec.sample_rate))
    noise = np.random.default_rng(0).standard_normal((batch_size, n_samples, codec.channels))
    audio = (0.1 * noise).astype(np.float32)
    coded = bool(codec.symbols.codebook_sizes)
    encode: Callable[[Any], Any] = codec.encode if coded else codec.encode_latents
    decode: Callable[[Any], Any] = codec.decode if coded else codec.decode_latents
    encoded, encode_first_s = _timed(lambda: encode(audio))
    _, decode_first_s = _timed(lambda: decode(encoded))
    total = batch_size * n_samples / codec.sample_rate

    def rtf(call: Callable[[], Any]) -> float:
        return total / statistics.median(_timed(call)[1] for _ in range(repeat))

    device = jax.devices()[0]
    return Speed(
        system=name,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(codec.variables["params"])),
        device=f"{os.cpu_count()} CPU cores" if device.platform == "cpu" else device.device_kind,
        seconds=n_samples / codec.sample_rate,
        batch_size=batch_size,
        encode_rtf=rtf(lambda: encode(audio)),
        decode_rtf=rtf(lambda: decode(encoded)),
        entropy_coding_rtf=rtf(lambda: codec.count_bytes(encoded)) if coded else None,
        encode_first_s=encode_first_s,
        decode_first_s=decode_first_s,
        whole=passes.measure(codec, audio, rtf, peak_tflops) if whole else None,
    )


def render(speeds: Sequence[Speed]) -> Table:
    """The rich table; audio seconds per wall second unless the unit says otherwise."""
    from evaluate.bench.by_system import table_by_system

    first = speeds[0]
    title = f"{first.device} · {first.batch_size} × {first.seconds:g} s of audio"
    if several := len({speed.batch_size for speed in speeds}) > 1:
        title = f"{first.device} · clips of {first.seconds:g} s of audio"
    if first.dtype != "float32":
        title += f" · {first.dtype}"
    columns: dict[str, Callable[[Speed], str]] = {
        "clips": lambda speed: str(speed.batch_size),
        "parameters\nM": lambda speed: f"{speed.parameters / 1e6:.2f}",
        "encode\n×": lambda speed: _factor(speed.encode_rtf),
        "decode\n×": lambda speed: _factor(speed.decode_rtf),
        "entropy coding\n×": lambda speed: _factor(speed.entropy_coding_rtf),
        "first encode\ns": lambda speed: f"{speed.encode_first_s:.1f}",
        "first decode\ns": lambda speed: f"{speed.decode_first_s:.1f}",
        "whole\nencode ×": lambda speed: _factor(speed.whole.encode_rtf if speed.whole else None),
        "whole\ndecode ×": lambda speed: _factor(speed.whole.decode_rtf if speed.whole else None),
        "of peak\nencode %": lambda speed: _percent(speed.whole.encode_share if speed.whole else None),
        "of peak\ndecode %": lambda speed: _percent(speed.whole.decode_share if speed.whole else None),
    }
    absent = [] if several else ["clips"]
    absent += [heading for heading, show in columns.items() if all(show(speed) == UNKNOWN for speed in speeds)]
    columns = {heading: show for heading, show in columns.items() if heading not in absent}
    rows = [(speed.system, [show(speed) for show in columns.values()]) for speed in speeds]
    return table_by_system(columns, rows, title)


def _factor(factor: float | None) -> str:
    if factor is None:
        return UNKNOWN
    return f"{factor:.0f}" if factor >= 10 else f"{factor:.1f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.2g}"


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()  # numpy arrays, so nothing is still running
    return result, time.perf_counter() - start
