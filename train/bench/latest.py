"""The latest state of a run as archives in pieces: `python -m train.bench.latest RUN --outbox FOLDER`.

The weights and what the run is come first: they are a run directory that can be loaded, evaluated and begun from. With
the state of the training beside them, it can be continued.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from train.bench import pieces
from zoo.errors import ZooError
from zoo.saved import runs

WEIGHTS, STATE = "weights.tar", "training.tar"
FILES = ("config.json", "data.json", "metrics.jsonl")


def contents(run: Path, *, state: bool = True) -> dict[str, list[str]]:
    """What goes into which archive, as paths below the run directory; raises ZooError where there is no checkpoint."""
    steps = runs.steps(run)
    if not steps:
        raise ZooError(f"{run} has no checkpoints/STEP to take along")
    checkpoint = run / "checkpoints" / str(steps[-1])
    inside = [f"checkpoints/{steps[-1]}/{path.name}" for path in sorted(checkpoint.iterdir())]
    of_training = [name for name in inside if name.endswith("/training")]
    found = {WEIGHTS: [name for name in FILES if (run / name).is_file()] + [n for n in inside if n not in of_training]}
    return found | ({STATE: of_training} if state and of_training else {})


def archive(
    run: Path, into: Path, places: Iterator[tuple[Path, int]], *, state: bool = True, below: str = ""
) -> list[pieces.Archive]:
    """Packs and cuts the latest state of a run; `into` holds an archive while it is cut."""
    into.mkdir(parents=True, exist_ok=True)
    found = []
    for name, names in contents(run, state=state).items():
        whole = into / name
        pieces.pack(run, names, whole, below=below)
        found.append(pieces.cut(whole, places))
        whole.unlink()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; what an earlier state has left in the outbox is deleted."""
    parser = argparse.ArgumentParser("python -m train.bench.latest", description="Cuts a run's latest state in pieces.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--outbox", type=Path, required=True)
    parser.add_argument("--piece_mib", type=float, default=15.9)
    options = parser.parse_args(arguments)
    try:
        contents(options.run)
        shutil.rmtree(options.outbox, ignore_errors=True)
        places = itertools.repeat((options.outbox, int(options.piece_mib * pieces.MIB)))
        pieces.write_manifest(options.outbox, archive(options.run, options.outbox, places))
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
