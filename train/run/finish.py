"""What a finished run shows: samples, the report's picture, the evaluation table, and what to type next."""

from __future__ import annotations

from pathlib import Path

import zoo
from configs import loading
from configs.base import Config, Published
from evaluate import table
from evaluate.clips import Clip
from evaluate.run import evaluate
from evaluate.systems import codec_systems
from train.watch.log import read_metrics
from train.watch.observe import HeldOut
from train.watch.picture import SamplePair, draw_report, write_samples
from zoo.ready import ReadyCodec


def finish(name: str, workdir: Path, config: Config, held_out: HeldOut) -> None:
    """Evaluates the newest checkpoint on held-out clips; leaves samples/, report.png and evaluation/ in `workdir`."""
    codec = zoo.load(workdir)
    pairs = (
        [_reconstruct(codec, clip) for clip in held_out.clips[: config.evaluation.samples]]
        if codec.symbols.codebook_sizes
        else []
    )
    write_samples(workdir, pairs)
    draw_report(workdir, pairs, read_metrics(workdir / "metrics.jsonl"), title=f"{workdir} · {config.steps} steps")
    if not pairs:
        return
    rows = evaluate(codec_systems(codec, name), held_out.clips[: config.evaluation.clips])
    table.report(rows, workdir / "evaluation", title=f"{workdir}: {held_out}")
    chosen = f"--model {name}" if name in loading.names() else f"--config {name}.py"
    anew = f"{chosen} --init {workdir}" if isinstance(config.model, Published) else chosen
    print(
        f"\nListen to {workdir}/samples, look at {workdir}/report.png. Next:\n"
        f"  python -m evaluate --ckpt {workdir} --data.root DIR\n"
        f"  python -m train {chosen} --workdir {workdir} --resume --steps {2 * config.steps}\n"
        f"  python -m train {anew} --workdir runs/mine --data.root DIR --steps {10 * config.steps}\n"
        f"or in Python:\n"
        f'  codec = zoo.load("{workdir}"); encoded = codec.encode(audio, sample_rate=44100); codec.decode(encoded)'
    )


def _reconstruct(codec: ReadyCodec, clip: Clip) -> SamplePair:
    return SamplePair(clip.name, clip.samples, codec.decode(codec.encode(clip.samples)), codec.sample_rate)
