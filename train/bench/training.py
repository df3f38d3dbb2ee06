"""Training speed of the configurations as they are: `python -m train.bench`; or of a published one beside torch.

The step is the loop's, fed by the loop's data pipeline, for a few steps of each phase; nothing is saved of the codec.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from configs import loading
from configs.base import Config
from zoo.console.command import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    from rich.table import Table

DEFAULT_MODELS = ("autoencoder", "vae", "gan_vocoder")
DEFAULT_PUBLISHED = ("dac_44khz",)


@dataclass(frozen=True)
class StepTime:
    """One step: `wall_s` seconds from the request for its batch on, `wait_s` of them until the batch was there."""

    wall_s: float
    wait_s: float


@dataclass(frozen=True)
class Speed:
    """How fast a phase of a configuration trains; the median step decides, so that one hiccup does not."""

    model: str
    adversarial: bool
    """with discriminators"""
    batch_size: int
    segment_s: float
    steps: int
    """measured ones"""
    step_s: float
    """median wall time of a step"""
    audio_per_s: float
    """seconds of audio trained per wall second"""
    wait_share: float
    """of all measured steps' wall time, spent waiting for data"""
    first_step_s: float
    """wall time of the first step, which compiles"""


def summarise(
    model: str, adversarial: bool, batch_size: int, segment_s: float, first_step_s: float, times: Sequence[StepTime]
) -> Speed:
    """The speed that step times amount to; raises ValueError where there are none."""
    if not times:
        raise ValueError("no steps were measured")
    step_s = statistics.median(t.wall_s for t in times)
    return Speed(
        model=model,
        adversarial=adversarial,
        batch_size=batch_size,
        segment_s=segment_s,
        steps=len(times),
        step_s=step_s,
        audio_per_s=batch_size * segment_s / step_s,
        wait_share=sum(t.wait_s for t in times) / sum(t.wall_s for t in times),
        first_step_s=first_step_s,
    )


def measure(name: str, config: Config, *, steps: int) -> list[Speed]:
    """Speed of a configuration, without and (where it has a phase with them) with discriminators, over `steps` steps.

    As many steps as batches are prefetched come before and do not count: those were read while the first compiled.
    Raises ZooError for whatever is wrong with the configuration or its data.
    """
    from train import data
    from train.devices import parallel
    from train.run import start
    from train.step.tasks import make_task
    from zoo.errors import ZooError

    if steps < 1:
        raise ZooError(f"steps must be at least 1, got {steps}")
    mesh = parallel.make_mesh()
    parallel.check_batch_size(config.batch_size, mesh)
    task = make_task(config)
    source = start.make_source(task)
    segment_s = source.segment_samples / source.sample_rate
    speeds = []
    for adversarial in (False, True) if task.adversarial else (False,):
        batches = data.batches(source, batch_size=config.batch_size, data=config.data)
        times = _run_steps(task, mesh, batches, adversarial, 1 + max(config.data.prefetch, 2) + steps)
        speeds.append(
            summarise(
                name,
                adversarial,
                batch_size=config.batch_size,
                segment_s=segment_s,
                first_step_s=times[0].wall_s,
                times=times[-steps:],
            )
        )
    return speeds


def _run_steps(task: Any, mesh: Any, batches: Any, adversarial: bool, n_steps: int) -> list[StepTime]:
    import jax

    from train.devices import parallel
    from train.step.state import create_state
    from train.step.step import make_step

    state = parallel.replicate(create_state(task, task.config.seed), mesh)
    step = parallel.map_step(make_step(task, adversarial=adversarial), mesh)
    times = []
    metrics: Any = {}
    for n in range(n_steps):
        started = time.perf_counter()
        batch, wait_s = parallel.next_batch(batches, mesh, metrics)
        previous, (state, metrics) = metrics, step(state, batch)
        # as in the loop, the host is one step ahead of the device; but what compiling costs is the first step's own
        jax.block_until_ready(previous if n else metrics)
        times.append(StepTime(time.perf_counter() - started, wait_s))
    jax.block_until_ready(metrics)
    return times


def report(speeds: Sequence[Speed]) -> dict[str, Any]:
    """What is written as JSON: the device, versions, and a dictionary for each speed."""
    import jax

    devices = jax.devices()
    return {
        "device": {
            "kind": devices[0].device_kind,
            "backend": jax.default_backend(),
            "count": len(devices),
            "cpu_cores": os.cpu_count(),
        },
        "jax": jax.__version__,
        "speeds": [dataclasses.asdict(speed) for speed in speeds],
    }


def render(written: dict[str, Any]) -> Table:
    """The report as a table."""
    from rich.table import Table

    device = written["device"]
    title = f"training on {device['count']} × {device['kind']} ({device['backend']}, {device['cpu_cores']} CPU cores)"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    table.add_column("discriminators")
    for head in ("batch (s)", "audio s/s", "step (ms)", "waiting (%)", "first step (s)"):
        table.add_column(head, justify="right")
    for speed in written["speeds"]:
        table.add_row(
            speed["model"],
            "with" if speed["adversarial"] else "without",
            f"{speed['batch_size']} × {speed['segment_s']:g}",
            f"{speed['audio_per_s']:.1f}",
            f"{1000 * speed['step_s']:.0f}",
            f"{100 * speed['wait_share']:.2f}",
            f"{speed['first_step_s']:.1f}",
        )
    return table


@dataclass(frozen=True)
class Data:
    """What is trained on."""

    root: str | None = None
    """a folder of audio files; None = the embedded generator"""


@dataclass(frozen=True)
class Options:
    """Measures how many seconds of audio a configuration trains per wall second.

    It takes the loop's own step and data pipeline, without and with discriminators, after the batches that were read
    ahead are used up. With `--vs torch`, a forward and backward pass of a published generator with a mel loss instead,
    beside its implementation in torch.

    Examples:
      python -m train.bench --model vae --steps 20
      python -m train.bench --vs torch --model dac_44khz --seconds 1 --batch_size 1
    """

    model: tuple[str, ...] = ()
    """configurations to run, by default autoencoder vae gan_vocoder; beside torch, published models (dac_44khz)"""
    steps: int = 20
    """measured steps of each phase"""
    batch_size: int | None = None
    """crops per step; None = the configuration's, beside torch 1"""
    data: Data = field(default_factory=Data)
    vs: Literal["torch"] | None = None
    """compare with torch, on the CPU: needs the extra 'parity'"""
    seconds: float = 1.0
    """of audio in each clip, beside torch"""
    repeat: int = 5
    """passes beside torch, of which the median is taken"""
    output: str | None = None
    """JSON file to write; None = train_bench.json, beside torch none"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    # compiled programs from earlier runs would hide what the first step costs
    command(Options, "python -m train.bench", run, arguments, cached=False, extra="train")


def run(options: Options) -> None:
    """Measures, prints and writes; raises ZooError for input that cannot be used."""
    if options.vs:
        _run_versus(options)
    else:
        _run_speeds(options)


def _run_speeds(options: Options) -> None:
    from evaluate import cli, table

    output = options.output or "train_bench.json"
    cli.check_results_file(output)
    try:
        configs = {name: _config(loading.get(name), options) for name in options.model or DEFAULT_MODELS}
    except loading.ConfigError as error:
        raise ZooError(str(error)) from None
    speeds: list[Speed] = []
    for name, config in configs.items():
        speeds += measure(name, config, steps=options.steps)
        written = report(speeds)
        # after each model: a benchmark that is stopped has not measured for nothing
        table.write_text(Path(output), json.dumps(written, indent=2) + "\n")
    table.console().print(render(written))
    print(f"written to {output}")


def _run_versus(options: Options) -> None:
    from evaluate import cli, table
    from evaluate.bench import hardware, models
    from evaluate.bench.versus import check_torch
    from train.bench import versus

    batch_size = 1 if options.batch_size is None else options.batch_size
    if not options.seconds > 0 or options.repeat < 1 or batch_size < 1:
        raise ZooError("--seconds, --repeat and --batch_size must be positive")
    if options.data.root is not None:
        raise ZooError("--vs torch computes on noise: --data.root is for the configurations' own speed")
    cli.check_results_file(options.output)
    check_torch()
    machine, found = hardware.hardware(), []
    for model in [models.published_only(name) for name in options.model or DEFAULT_PUBLISHED]:
        found += versus.compare(model, seconds=options.seconds, batch_sizes=[batch_size], repeat=options.repeat)
        if options.output:  # after each model: a run that is stopped has not measured for nothing
            written = {"hardware": machine, "comparisons": [one.record() for one in found]}
            table.write_text(Path(options.output), json.dumps(written, indent=1) + "\n")
    console = table.console()
    console.print(versus.render(found, hardware.describe(machine)))
    console.print(versus.LEGEND, style="dim")
    apart = [f"{one.model} ({one.agreement.worst})" for one in found if not one.agreement.is_close]
    if apart:
        print(f"not what torch gives: {', '.join(apart)}", file=sys.stderr)
        raise SystemExit(1)


def _config(config: Config, options: Options) -> Config:
    return dataclasses.replace(
        config,
        batch_size=config.batch_size if options.batch_size is None else options.batch_size,
        data=dataclasses.replace(config.data, root=options.data.root or config.data.root),
    )
