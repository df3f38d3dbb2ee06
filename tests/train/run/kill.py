"""Kills runs at random moments, some while they save, resumes them, and compares how they end with one left alone.

    python tests/train/run/kill.py --runs 20

Every kill is a SIGKILL; a run is resumed, and maybe killed again, until it has all its steps. Then its last checkpoint
(parameters, their average, discriminators, both optimisers, all counters), the codec in it and the losses in its log
must be those of the uninterrupted run, bit for bit. Ends with status 1 where one differs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from configs import loading
from configs.base import Codebooks, Config, LossWeights, Optim
from tests import forked
from tests.train import tiny

TINY = dataclasses.replace(
    tiny.RUN,
    model=tiny.VOCODER,
    steps=12,
    checkpoint_every=2,
    keep_checkpoints=2,
    keep_best="held_out/mel",
    adversarial_start=3,
    resume=True,
    loss=LossWeights(waveform_l1=1.0, adversarial=0.1, feature_matching=1.0, codebook=1.0, commitment=0.25),
    optim=Optim(weight_decay=0.1, balancer=True, clip_percentile=90.0),
    codebooks=Codebooks(kmeans=True, kmeans_frames=64, restart_below=0.1),
)
UNFINISHED = "*.orbax-checkpoint-tmp*"
SAVING_SHARE = 0.5
"""of the kills, those that wait for a checkpoint being written"""
TIMEOUT_S = 300.0
PACE = {"seconds", "wait_share", "audio_per_s"}
"""what a row says of the time it took"""


@dataclass(frozen=True)
class Outcome:
    """How a run went that was killed: a line for each kill, and the names of what is not as it should be."""

    kills: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def saving(self) -> int:
        return sum("writing" in kill for kill in self.kills)


def train(config: str) -> None:
    """The child: begins or continues the run."""
    from train.run import loop

    loop.use_compilation_cache = lambda: None
    loop.finish = lambda *_: None  # type: ignore[assignment]
    loop.run("tiny", loading.from_dict(json.loads(config)))


class Killer:
    """Starts runs below `folder`, and kills them."""

    def __init__(self, folder: Path, config: Config = TINY, *, seed: int = 0) -> None:
        self._folder, self._config = folder, config
        self._random = random.Random(seed)
        self._duration_s = 0.0

    @contextlib.contextmanager
    def _started(self, workdir: Path) -> Iterator[BaseProcess]:
        config = json.dumps(loading.to_dict(dataclasses.replace(self._config, workdir=str(workdir))))
        settings = {
            # programs are compiled once for all
            "jax_compilation_cache_dir": str(self._folder / "cache"),
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_disable_most_optimizations": True,
        }
        process = forked.start(train, config, output=workdir.with_suffix(".log"), settings=settings).process
        try:
            yield process
        finally:
            process.kill()
            process.join()

    def finish(self, workdir: Path) -> None:
        """Lets a run go on to its end; raises RuntimeError where it fails."""
        begun = time.monotonic()
        with self._started(workdir) as process:
            process.join(TIMEOUT_S)
            if process.exitcode != 0:
                said = workdir.with_suffix(".log").read_text().splitlines()[-15:]
                raise RuntimeError("\n".join([f"the run ended with status {process.exitcode}:", *said]))
        self._duration_s = time.monotonic() - begun

    def uninterrupted(self) -> Path:
        """The run to compare with; another one before it fills the compilation cache, so that it tells the time."""
        for name in ("warm", "whole"):
            self.finish(self._folder / name)
        return self._folder / "whole"

    def kill(self, workdir: Path, *, when: Callable[[Path], bool]) -> str | None:
        """Starts or resumes a run and kills it as soon as `when(workdir)`; says where it was, None if it had ended."""
        checkpoints = workdir / "checkpoints"
        left_over = unfinished(workdir)
        begun = time.monotonic()
        with self._started(workdir) as process:
            while process.is_alive() and not when(workdir):
                if time.monotonic() - begun > TIMEOUT_S:
                    raise RuntimeError(f"the run got nowhere in {TIMEOUT_S:g} s")
                time.sleep(0.001)
            process.kill()
            process.join()
            if process.exitcode == 0:
                return None
        whole = sorted((path.name for path in checkpoints.glob("*") if path.name.isdigit()), key=int)
        writing = sorted(name.split(".")[0] for name, _ in unfinished(workdir) - left_over)
        done = n_rows(workdir)
        where = "before its first step" if done < 0 else f"in step {done + 1}"
        return (
            ("after its last step" if done == self._config.steps else where)
            + (f", writing checkpoint {' '.join(writing)}" if writing else "")
            + (f", with {' '.join(whole)} written" if whole else "")
        )

    def _moment(self, *, saving: bool) -> Callable[[Path], bool]:
        """A random one: in the time that a run takes, in one of its steps, or while it writes a checkpoint."""
        if not saving and self._random.random() < 0.5:
            rows = self._random.randint(0, self._config.steps - 1)
            return lambda workdir: n_rows(workdir) >= rows
        if not saving:
            end = time.monotonic() + self._random.uniform(0.1, 1.0) * self._duration_s
            return lambda workdir: time.monotonic() > end
        countdown = self._random.randint(1, self._config.steps // self._config.checkpoint_every)
        late_s = self._random.uniform(0, 0.03)
        left_over: set[tuple[str, int]] | None = None
        seen: set[tuple[str, int]] = set()

        def when(workdir: Path) -> bool:
            nonlocal left_over
            left_over = unfinished(workdir) if left_over is None else left_over
            seen.update(unfinished(workdir) - left_over)
            if len(seen) < countdown:
                return False
            time.sleep(late_s)
            return True

        return when

    def run(self, number: int, whole: Path) -> Outcome:
        """One run, killed once or more and resumed to its end."""
        workdir = self._folder / f"run{number}"
        kills = []
        for kill in range(self._random.choice((1, 1, 2, 3))):
            # the first of every other run is meant to hit a checkpoint being written
            saving = number % 2 == 1 if kill == 0 else self._random.random() < SAVING_SHARE
            said = self.kill(workdir, when=self._moment(saving=saving))
            while said is None and not kills:  # it was faster; every run is to be killed
                shutil.rmtree(workdir)
                said = self.kill(workdir, when=self._moment(saving=saving))
            if said is None:
                break
            kills.append(said)
        self.finish(workdir)
        return Outcome(tuple(kills), tuple(differing(workdir, whole)))


def n_rows(workdir: Path) -> int:
    """Steps in the log, −1 where there is none."""
    log = workdir / "metrics.jsonl"
    return log.read_text().count("\n") if log.exists() else -1


def unfinished(workdir: Path) -> set[tuple[str, int]]:
    """Checkpoints that are being written, or were when a process was killed: names and inodes."""
    found = set()
    for path in (workdir / "checkpoints").glob(UNFINISHED):
        with contextlib.suppress(FileNotFoundError):  # it has just been finished
            found.add((path.name, path.stat().st_ino))
    return found


def differing(a: Path, b: Path) -> list[str]:
    """What is not the same bits in the last checkpoints and logs of two runs."""
    from train.watch.log import read_metrics
    from zoo.saved import orbax_read, runs

    last = runs.steps(b)[-1]

    different = []
    for item in ("training", "codec"):
        trees = [orbax_read.flat(orbax_read.read_tree(run / "checkpoints" / str(last) / item)) for run in (a, b)]
        names = sorted(trees[0].keys() | trees[1].keys())
        bits = [{name: (x.dtype, x.shape, x.tobytes()) for name, x in tree.items()} for tree in trees]
        different += [f"{item}/{name}" for name in names if bits[0].get(name) != bits[1].get(name)]
    rows: list[list[dict[str, Any]]] = [read_metrics(run / "metrics.jsonl") for run in (a, b)]
    if [row["step"] for row in rows[0]] != list(range(1, last + 1)):
        different.append(f"steps in the log: {[row['step'] for row in rows[0]]}")
    for mine, theirs in zip(*rows):
        keys = sorted((mine.keys() | theirs.keys()) - PACE)
        different += [f"log/{mine['step']}/{key}" for key in keys if mine.get(key) != theirs.get(key)]
    kept = [sorted(p.name for p in (run / "checkpoints").iterdir()) for run in (a, b)]
    return different + ([f"checkpoints kept: {kept[0]}, not {kept[1]}"] if kept[0] != kept[1] else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="a folder to keep the runs in")
    options = parser.parse_args()
    folder = Path(options.keep or tempfile.mkdtemp(prefix="kill"))
    failed = kills = saving = 0
    try:
        killer = Killer(folder, seed=options.seed)
        whole = killer.uninterrupted()
        for number in range(1, options.runs + 1):
            outcome = killer.run(number, whole)
            verdict = "DIFFERENT: " + ", ".join(outcome.differing[:5]) if outcome.differing else "identical"
            print(f"run {number}: killed {'; then '.join(outcome.kills) or 'too late'}: {verdict}", flush=True)
            failed += bool(outcome.differing)
            kills, saving = kills + len(outcome.kills), saving + outcome.saving
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{options.runs - failed} of {options.runs} runs identical after {kills} kills, {saving} of them while saving"
    )
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
