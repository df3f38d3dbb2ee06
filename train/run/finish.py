"""What a finished run shows: samples, the report's picture, the evaluation table, and what to type next."""

from __future__ import annotations

from pathlib import Path

import zoo
from configs import loading
from configs.base import Config, Published
from evaluate import table
from evaluate.denoise import mixing
from evaluate.denoise import run as denoising
from evaluate.denoise import table as denoising_table
from evaluate.denoise.denoisers import CodecDenoiser, Untouched
from evaluate.run import evaluate
from evaluate.systems import codec_systems
from train.run import finish_prior
from train.watch.latents import HeldOutLatents
from train.watch.log import read_metrics
from train.watch.observe import HeldOut
from train.watch.picture import SamplePair, draw_report, write_samples
from zoo.denoising import denoise
from zoo.ready import ReadyCodec

SNRS_DB = (0.0, 10.0, 20.0)
"""at which a model that denoises is measured"""


def finish(name: str, workdir: Path, config: Config, held_out: HeldOut | HeldOutLatents) -> None:
    """Evaluates the newest checkpoint on held-out clips; leaves samples/, report.png and evaluation/ in `workdir`."""
    if isinstance(held_out, HeldOutLatents):
        finish_prior.finish(name, workdir, config)
        return
    codec = zoo.load(workdir)
    restores = config.task == "denoise"
    pairs = [
        SamplePair(
            example.name,
            example.wanted,
            denoise(codec, example.given) if restores else codec.decode(codec.encode(example.given)),
            codec.sample_rate,
            noisy=example.given if restores else None,
        )
        for example in held_out.examples[: config.evaluation.samples]
    ]
    write_samples(workdir, pairs)
    draw_report(workdir, pairs, read_metrics(workdir / "metrics.jsonl"), title=f"{workdir} · {config.steps} steps")
    (_measure_denoising if restores else _measure_coding)(name, workdir, codec, held_out, config.evaluation.clips)
    chosen = f"--model {name}" if name in loading.names() else f"--config {name}.py"
    anew = f"{chosen} --init {workdir}" if isinstance(config.model, Published) else chosen
    task, use = (
        ("--task denoise ", "zoo.denoise(codec, audio, sample_rate=44100)")
        if restores
        else ("", "encoded = codec.encode(audio, sample_rate=44100); codec.decode(encoded)")
    )
    if restores:
        print(f"\nClean a recording: python -m zoo denoise noisy.wav clean.wav --ckpt {workdir}", end="")
    print(
        f"\nListen to {workdir}/samples, look at {workdir}/report.png. Next:\n"
        f"  python -m evaluate {task}--ckpt {workdir} --data.root DIR\n"
        f"  python -m train {chosen} --workdir {workdir} --resume --steps {2 * config.steps}\n"
        f"  python -m train {anew} {task}--workdir runs/mine --data.root DIR --steps {10 * config.steps}\n"
        f"or in Python:\n"
        f'  codec = zoo.load("{workdir}"); {use}'
    )


def _measure_coding(name: str, workdir: Path, codec: ReadyCodec, held_out: HeldOut, n_clips: int) -> None:
    rows = evaluate(codec_systems(codec, name), held_out.clips[:n_clips])
    table.report(rows, workdir / "evaluation", title=f"{workdir}: {held_out}")


def _measure_denoising(name: str, workdir: Path, codec: ReadyCodec, held_out: HeldOut, n_clips: int) -> None:
    outcome = denoising.evaluate(
        [Untouched(), CodecDenoiser(codec, name)],
        held_out.clips[:n_clips],
        mixing.sources(),
        snrs_db=SNRS_DB,
        sample_rate=codec.sample_rate,
        channels=codec.channels,
    )
    denoising_table.report(outcome, workdir / "evaluation", title=f"{workdir}: {held_out}, with noise")
