"""The batch size and precision to train with, of those that were measured: `python -m train.bench.choice RESULTS`.

Prints batch size, precision of networks, precision of products, and steps: "64 bfloat16 default 12000".
Standard library only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from train.bench.precisions import PRECISIONS
from train.bench.results import Record, read

NEARLY = 0.9
"""Of the fastest, the smallest batch that reaches this share is taken: it makes more steps of the same audio."""
LOSS_APART = 0.02
"""A precision whose first loss is further off that of float32, relative to it, is not to be trained with."""

STEPS_PER_S = 30.0
"""Where it was not measured: rather too many than a run that ends before its time."""


@dataclass(frozen=True)
class Choice:
    """What to train with, and the steps per second that were measured with it."""

    batch_size: int
    precision: str
    steps_per_s: float | None = None


def choose(records: Iterable[Record], model: str) -> Choice | None:
    """The fastest training of a model that computes what float32 does; None where nothing was measured.

    Where float32 itself was not, losses are not compared.
    """
    trained = [r for r in records if r.get("model") == model and r.get("what") == "training" and r.get("audio_per_s")]
    exact = {r["batch_size"]: r["loss"] for r in trained if r["precision"] == "float32"}
    good = [r for r in trained if _is_close(r.get("loss"), exact.get(r["batch_size"]))]
    if not good:
        return None
    fastest = max(r["audio_per_s"] for r in good)
    near = [r for r in good if r["audio_per_s"] >= NEARLY * fastest]
    best = min(near, key=lambda r: (r["batch_size"], -r["audio_per_s"]))
    return Choice(best["batch_size"], best["precision"], 1000 / best["ms"])


def _is_close(loss: float | None, exact: float | None) -> bool:
    if loss is None:
        return False
    return exact is None or abs(loss - exact) <= LOSS_APART * abs(exact)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; prints what to begin with where nothing was measured."""
    parser = argparse.ArgumentParser("python -m train.bench.choice", description="Chooses batch size and precision.")
    parser.add_argument("results")
    parser.add_argument("--model", default="spectral")
    parser.add_argument("--batch_size", type=int, default=32, help="where nothing was measured")
    parser.add_argument("--seconds", type=float, default=600.0, help="of training to come")
    parser.add_argument("--done", type=int, default=0, help="steps that the run has already")
    options = parser.parse_args(arguments)
    chosen = choose(read(options.results), options.model) or Choice(options.batch_size, "tf32")
    precision = PRECISIONS[chosen.precision]
    # as many as fit if nothing else took time: the learning rate has then nearly come down when time is up
    steps = options.done + max(1, round(options.seconds * (chosen.steps_per_s or STEPS_PER_S)))
    print(chosen.batch_size, precision.dtype, precision.products, steps)


if __name__ == "__main__":
    main()
