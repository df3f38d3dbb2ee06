"""What the machine is, and its rate in products of matrices: `python -m train.bench.machine`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluate.bench import hardware
from train.bench.precisions import PRECISIONS
from train.bench.results import Results, shown
from zoo.console.command import command
from zoo.errors import ZooError

PART = "machine"


@dataclass(frozen=True)
class Options:
    """Measures how fast the device multiplies matrices, and writes down what it is.

    Examples:
      python -m train.bench.machine --output machine.jsonl
    """

    size: int | None = None
    """of the matrices; None = 8192, on a CPU 512"""
    output: str = "accelerator_bench.jsonl"
    """file to which results are appended; what is in it is not measured again"""


def run(options: Options) -> None:
    """Measures and writes; raises ZooError for a size that matrices do not have."""
    if options.size is not None and options.size < 1:
        raise ZooError(f"--size must be positive, got {options.size}")
    results = Results(options.output, PART)
    results.attempt("hardware", hardware.hardware)
    for name, precision in PRECISIONS.items():
        rate = lambda p=precision: {  # noqa: E731
            "tflops": hardware.matrix_tflops(p.dtype, precision=p.products, size=options.size)
        }
        if (found := results.attempt(f"matrices {name}", rate)) is not None:
            print(f"{name}: {shown(found)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train.bench.machine", run, arguments)


if __name__ == "__main__":
    main()
