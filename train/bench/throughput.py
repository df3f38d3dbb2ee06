"""Audio seconds per second that configurations code and train on this device: `python -m train.bench.throughput`.

And the share of the device's own rate in products of matrices (`train.bench.machine`) that this comes to. The data are
noise that is there already: how fast the audio of a run can be read, its log tells.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configs import loading
from train.bench import machine
from train.bench.precisions import PRECISIONS
from train.bench.results import Record, Results, first_line, read, shown
from zoo.console.command import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    from train.bench.programs import Program, Programs

PART = "throughput"
FLAGSHIP = "spectral"
TRAINING = "training"
WHAT = (TRAINING, "encode", "decode")

Key = tuple[str, str, int, str]
"""configuration, precision, batch size, and what is done"""


@dataclass(frozen=True)
class Options:
    """Measures how much audio each configuration of a codec codes and trains per second.

    Examples:
      python -m train.bench.throughput --output throughput.jsonl
      python -m train.bench.throughput --model vae --batch_size 8 --seconds 2
    """

    model: tuple[str, ...] = ()
    """configurations; none = all of codecs, the flagship first and in every precision"""
    precision: tuple[str, ...] = ("tf32",)
    """float32, tf32, bfloat16"""
    batch_size: tuple[int, ...] = (16, 128)
    """clips in a call, crops in a step"""
    seconds: float = 5.0
    """of each clip that is coded; crops are as long as the configuration's"""
    repeat: int = 10
    """calls in a row that are timed, three times"""
    threads: int = 6
    """programs compiled at once"""
    output: str = "accelerator_bench.jsonl"
    """file to which results are appended; what is in it is not measured again"""


def codecs() -> list[str]:
    """Names of the configurations of codecs that give back what goes in, the flagship first."""
    names = [name for name in loading.names() if loading.get(name).task == "reconstruct"]
    return sorted(names, key=lambda name: (name != FLAGSHIP, name))


def case(name: str, precision: str, batch_size: int, what: str) -> str:
    """What a measurement is called."""
    return f"{name} {precision} {batch_size} {what}"


def run(options: Options) -> None:
    """Measures and writes; raises ZooError for input that cannot be used."""
    if unknown := [name for name in options.precision if name not in PRECISIONS]:
        raise ZooError(f"--precision {unknown[0]}: there are {', '.join(PRECISIONS)}")
    if min((*options.batch_size, options.repeat, options.threads), default=0) < 1 or not options.seconds > 0:
        raise ZooError("--batch_size, --seconds, --repeat and --threads must be positive")
    try:
        configs = {name: loading.get(name) for name in options.model or codecs()}
    except loading.ConfigError as error:
        raise ZooError(str(error)) from None
    from train.bench.programs import Programs

    results = Results(options.output, PART)
    for name, config in configs.items():
        programs = functools.cache(functools.partial(Programs, config))
        for precision in PRECISIONS if name == FLAGSHIP and not options.model else options.precision:
            keys: list[Key] = [(name, precision, n, what) for n in options.batch_size for what in WHAT]
            wanted = [key for key in keys if not results.has(case(*key))]
            compilation = f"{name} {precision} compilation"
            # noted first: where compiling takes the process with it, the others have their turn when it is run again
            if not wanted or not results.begin(compilation):
                continue
            try:
                _measure(programs(), wanted, options, results, compilation)
            except Exception as error:  # a configuration that cannot even begin must not be the end of the others
                results.add(compilation, error=first_line(error))


def _measure(programs: Programs, wanted: Sequence[Key], options: Options, results: Results, compilation: str) -> None:
    """Compiles programs at once, then measures one after the other."""
    started = time.perf_counter()
    prepared: dict[Key, Program] = {}
    for key in wanted:
        try:
            prepared[key] = _program(programs, key, options.seconds)
        except Exception as error:  # as above
            results.add(case(*key), error=first_line(error))
    with ThreadPoolExecutor(options.threads) as pool:  # what compiles beside a measurement would take its time
        compiling = {key: pool.submit(getattr, program, "compiled") for key, program in prepared.items()}
    results.add(compilation, seconds=time.perf_counter() - started)
    peaks = peak_tflops(options.output)
    for key in list(prepared):

        def measure(key: Key = key) -> Record:
            about = dict(zip(("model", "precision", "batch_size", "what"), key))
            compiling[key].result()
            # popped: its arrays are given back before the next one's are made
            return about | _record(prepared.pop(key), options.repeat, peaks.get(key[1]))

        if (found := results.attempt(case(*key), measure)) is not None:
            print(f"{case(*key)}: {shown(found)}", flush=True)


def _program(programs: Programs, key: Key, seconds: float) -> Program:
    _, precision, batch_size, what = key
    if what == TRAINING:
        return programs.training(precision, batch_size)
    return programs.coding(what, precision, batch_size, seconds)


def _record(program: Program, calls: int, peak: float | None) -> Record:
    seconds, first = program.run(calls)
    tflops = program.flops / seconds / 1e12
    found: Record = {
        "audio_per_s": program.audio_s / seconds,
        "ms": 1000 * seconds,
        "tflops": tflops,
        "share": tflops / peak if peak else None,
    }
    if isinstance(first, tuple):  # of a step: state and metrics
        found["loss"] = float(first[1]["loss"])
    return found


def peak_tflops(path: str) -> dict[str, float]:
    """The device's rate in products of matrices for each precision in which it was measured."""
    rates = {
        record["case"].removeprefix("matrices "): record for record in read(path) if record["part"] == machine.PART
    }
    return {name: rates[name]["tflops"] for name in PRECISIONS if name in rates and "tflops" in rates[name]}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train.bench.throughput", run, arguments)


if __name__ == "__main__":
    main()
