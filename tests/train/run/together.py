"""One training on several processes and devices of this machine: `python tests/train/run/together.py --steps 50`.

A tiny GAN vocoder with everything that looks at the whole batch — k-means initialisation, dead-code restarts, the
balancer, clipping by percentile — is trained with the same global batch on 1 process × 1 device, 1 × 4, 2 × 2 and
4 × 1; losses, codebooks and parameters are compared with those of the first.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from configs import loading
from configs.base import Codebooks, Config, Data, Discriminator, Distributed, LossWeights, Optim
from tests import compiler, forked
from tests.forked import Forked
from tests.train.tiny import RUN, VOCODER

ROOT = Path(__file__).parents[3]
LAYOUTS = ((1, 1), (1, 4), (2, 2), (4, 1))
"""processes × devices of each"""


def train(described: str) -> None:
    """One of the processes: the run, without an evaluation at its end; its configuration is given as JSON."""
    import jax

    from train import cli
    from train.run import loop
    from train.run.signals import StoppedError
    from zoo.errors import ZooError

    loop.finish = lambda *_: print("finished alone", jax.process_index(), flush=True)  # type: ignore[assignment]
    try:
        loop.run("tiny", loading.from_dict(json.loads(described)))
    except ZooError as error:
        cli.fail(str(error))
    except StoppedError as error:
        print(error, flush=True)


def tiny(workdir: Path, **changes: Any) -> Config:
    """The configuration: sixteen examples in each step, a checkpoint at the end."""
    sizes = {"latent_dim": 16, "encoder_width": 16, "decoder_width": 16, "codebook_size": 32, "code_dim": 4}
    config = dataclasses.replace(
        RUN,
        model=dataclasses.replace(VOCODER, n_fft=160, hop_length=80, **sizes),
        workdir=str(workdir),
        steps=50,
        batch_size=16,
        checkpoint_every=1000,
        adversarial_start=10,
        loss=LossWeights(audible_mel=15.0, codebook=1.0, commitment=0.25, adversarial=1.0, feature_matching=2.0),
        data=Data(segment_s=0.1, threads=1),
        # slowly: sooner or later a last bit decides which entry is nearest, and larger steps make more of that
        optim=Optim(
            learning_rate=1e-4,
            discriminator_learning_rate=1e-4,
            warmup_steps=5,
            balancer=True,
            clip_percentile=90.0,
        ),
        discriminator=Discriminator(periods=(2,), period_channels=2, fft_sizes=(64,), stft_channels=2, warmup_steps=2),
        codebooks=Codebooks(kmeans=True, kmeans_frames=300, restart_below=0.5, usage_decay=0.7),
    )
    return dataclasses.replace(config, **changes)


def small(workdir: Path, **changes: Any) -> Config:
    """The same with fewer layers and what compiles sooner.

    That other layers and losses are the same on several devices, tests/test_contract.py asserts of each family.
    """
    config = tiny(workdir, **changes)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, encoder_blocks=0, decoder_blocks=0),
        loss=dataclasses.replace(config.loss, audible_mel=0.0, snr=15.0),
        discriminator=dataclasses.replace(config.discriminator, fft_sizes=(), n_layers=1),
    )


def start(
    config: Config,
    processes: int,
    devices: int,
    *,
    port: int | None = None,
    places: Sequence[int] | None = None,
    folders: Sequence[Path] | None = None,
) -> list[Forked]:
    """Starts the processes of one training, or those of `places`; what each writes lies beside the run's folder.

    `folders` are what relative paths start from in each process: what several hosts have under one name may differ.
    """
    port = port or free_port()
    workdir = Path(config.workdir or "run")
    environment = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {compiler.SOONER}"}
    settings = {
        "jax_platforms": "cpu",
        "jax_disable_most_optimizations": True,
        # what they have in common is compiled once
        "jax_compilation_cache_dir": os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(workdir.parent / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    workers = []
    for place in range(processes) if places is None else places:
        together = Distributed(f"localhost:{port}", processes, place, timeout_s=120) if processes > 1 else Distributed()
        described = json.dumps(loading.to_dict(dataclasses.replace(config, distributed=together)))
        output = workdir.with_name(f"{workdir.name}-{port}-{place}.log")
        folder = folders[place] if folders else ROOT
        given = {"output": output, "environment": environment, "settings": settings, "folder": folder}
        workers.append(forked.start(train, described, **given))  # type: ignore[arg-type]
    return workers


def finish(workers: Sequence[Forked], timeout_s: float = 600) -> list[str]:
    """What each has written; raises RuntimeError if one of them failed."""
    written = []
    for status, text in ended(workers, timeout_s):
        if status:
            raise RuntimeError(f"exit status {status}:\n{text[-3000:]}")
        written.append(text)
    return written


def ended(workers: Sequence[Forked], timeout_s: float = 120) -> list[tuple[int, str]]:
    """The exit status of each, and what it has written; kills them where one goes on for longer."""
    deadline = time.monotonic() + timeout_s
    try:
        return [worker.ended(max(deadline - time.monotonic(), 0.1)) for worker in workers]
    finally:
        for worker in workers:
            worker.process.kill()


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("localhost", 0))
        port: int = chosen.getsockname()[1]
        return port


def outcome(workdir: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Curves of the logged metrics, and the arrays of the newest checkpoint."""
    from zoo.saved.orbax_read import flat, read_tree

    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    timing = ("seconds", "wait_share", "audio_per_s")
    names = sorted({name for row in rows for name in row if name not in timing})
    curves = {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}
    newest = max((workdir / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name))
    return curves, flat(read_tree(newest / "training"))


def differences(a: Any, b: Any) -> dict[str, float]:
    """By name the largest difference, relative to the largest value."""
    assert a.keys() == b.keys(), set(a) ^ set(b)
    found = {}
    for name, x in a.items():
        y = b[name]
        assert x.shape == y.shape, name
        assert (np.isnan(x) == np.isnan(y)).all(), name
        found[name] = (
            float(np.nanmax(np.abs(x.astype(np.float64) - y)) / max(np.nanmax(np.abs(x)), 1e-3)) if x.size else 0.0
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first = None
        for processes, devices in LAYOUTS:
            workdir = Path(folder) / f"{processes}x{devices}"
            finish(start(tiny(workdir, steps=arguments.steps), processes, devices))
            found = outcome(workdir)
            first = first or found
            curves, arrays = differences(first[0], found[0]), differences(first[1], found[1])
            codebooks = arrays["params/bottleneck/codebooks_tenths"]
            moved = max(value for name, value in arrays.items() if name.startswith("params/"))
            apart = np.abs(found[0]["loss"] / first[0]["loss"] - 1) > 1e-5
            equal = int(np.argmax(apart)) if apart.any() else arguments.steps
            print(
                f"{processes} × {devices}: {arguments.steps} steps, {found[0]['restarted'].sum():.0f} restarts, loss "
                f"{found[0]['loss'][-1]:.6f}; losses equal to 1e-5 for {equal} steps; differences: loss "
                f"{curves['loss']:.1e}, codebooks {codebooks:.1e}, parameters {moved:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
