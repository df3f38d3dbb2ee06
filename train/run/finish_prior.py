"""What a finished run of a model of latents shows: sounds, the curves, and what to type next."""

from __future__ import annotations

import re
from pathlib import Path

from configs import loading
from configs.base import Config
from train.watch.log import read_metrics
from train.watch.picture import draw_report
from zoo import audio, generating
from zoo.generating import Sampling


def finish(name: str, workdir: Path, config: Config) -> None:
    """Leaves new sounds of the newest checkpoint in samples/, of each label in turn, and report.png in `workdir`."""
    prior = generating.load(workdir)
    folder = workdir / "samples"
    folder.mkdir(exist_ok=True)
    for i in range(config.evaluation.samples):
        label = prior.labels[i % len(prior.labels)] if prior.labels else None
        found = generating.generate(prior, seconds=config.evaluation.clip_s, first=i, sampling=Sampling(label))
        spelt = re.sub(r"[^\w.-]+", "_", label or "sound")[:100]
        audio.write(folder / f"{i:03d}_{spelt}.wav", found[0], prior.sample_rate)
    draw_report(workdir, [], read_metrics(workdir / "metrics.jsonl"), title=f"{workdir} · {config.steps} steps")
    chosen = f"--model {name}" if name in loading.names() else f"--config {name}.py"
    label = f" --label {prior.labels[0]}" if prior.labels else ""
    print(
        f"\nListen to {workdir}/samples, look at {workdir}/report.png. Next:\n"
        f"  python -m zoo generate out --ckpt {workdir} --seconds 10 --n 8{label}\n"
        f"  python -m evaluate --task generate --ckpt {workdir} --data.root DIR\n"
        f"  python -m train {chosen} --workdir {workdir} --resume --steps {2 * config.steps}\n"
        f"or in Python:\n"
        f'  prior = zoo.generating.load("{workdir}"); zoo.generate(prior, seconds=10)'
    )
