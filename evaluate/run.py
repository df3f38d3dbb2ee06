"""Clips through codecs and their rivals: what each clip cost, and how close what came back is to it.

rows = evaluate(CodecSystem(zoo.load("runs/vae"), "vae"), held_out_clips(n_clips=24, clip_s=4.0, sample_rate=24_000))
for mean in records.means(rows): print(mean.domain, mean.values["kbps"], mean.values["snr_db"])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluate import metrics
from evaluate import perceptual as scores
from evaluate.cache import Cache
from evaluate.cache import key as cached_key
from evaluate.clips import Clip, pieces
from evaluate.records import NOT_FINITE, SHORTEST_S, SILENT, Row
from evaluate.silence import silent
from evaluate.systems import Coded, System
from zoo import audio
from zoo.audio.padding import padded_length
from zoo.errors import ZooError

HELD_SAMPLES = 1 << 22  # of clips in memory at a time, and of what each system makes of them
STEPS_PER_OCTAVE = 4  # lengths that batches of metrics are padded to
BATCH_SAMPLES = 1 << 20  # of a padded batch of metrics, whose spectra take some 200 bytes for each


@dataclass(frozen=True, eq=False)
class Trial:
    """A clip as the system got it and what came of it, both float32 (T, C) at the system's rate, sample on sample."""

    clip: Clip
    reference: np.ndarray
    estimate: np.ndarray
    coded: Coded
    remark: str
    """as in `Row`"""


def run(system: System, clip: Clip) -> Trial:
    """Brings a clip to the system's rate and channels, codes it, and brings the result to exactly the clip's length.

    Here alone it is decided what is compared with what. A lag of up to the system's own `max_delay_s`, by
    cross-correlation and in whole samples, is undone; codecs have none, and are measured as they come. Raises ZooError
    for a clip with NaN, and for a result of other channels.
    """
    audio.validate(clip.samples, name=clip.name)
    mixed = clip.mixed(system.channels)
    reference = audio.resample(mixed, clip.sample_rate, system.sample_rate)
    coded = system.process(reference)
    if coded.samples.ndim != 2 or coded.samples.shape[1] != system.channels:
        raise ZooError(f"{system.name}: gave {coded.samples.shape} for a clip of shape {reference.shape}")
    estimate = coded.samples
    if max_lag := math.ceil(system.max_delay_s * system.sample_rate):
        lag = audio.align(reference, estimate, max_lag=max_lag).lag
        estimate = np.pad(estimate[max(lag, 0) :], ((max(-lag, 0), 0), (0, 0)))
    estimate = audio.resample(estimate, system.sample_rate, system.sample_rate, n_samples=len(reference))
    remark = ""
    if not np.isfinite(estimate).all():
        remark = NOT_FINITE
    # before resampling, since a constant rings at its ends, and after it, since it may leave nothing
    elif silent(mixed).all() or silent(reference).all():
        remark = SILENT
    return Trial(clip, reference, estimate, coded, remark)


def evaluate(
    systems: System | Sequence[System],
    clips: Iterable[Clip],
    *,
    batch_size: int = 8,
    on_clip: Callable[[System, Clip], None] | None = None,
    cache: Cache | None = None,
    perceptual: Sequence[str] = (),
) -> list[Row]:
    """A row for each system and clip: systems in their order, clips in theirs.

    Each clip is read once and measured at each system's rate and channels. `batch_size` clips of similar lengths are
    measured together, which changes no result; `on_clip` is called after each. What is in the `cache` is not computed
    again; what is not finite is not kept there. `perceptual` names scores of evaluate.perceptual. Raises ZooError for a
    clip with NaN, if there are no clips, and if a library that a score needs is not installed.
    """
    everyone: Sequence[System] = systems if isinstance(systems, Sequence) else [systems]
    if batch_size < 1:
        raise ZooError(f"batch_size must be at least 1, got {batch_size}")
    if perceptual:
        scores.require(perceptual)
    rows: list[list[Row]] = [[] for _ in everyone]
    for window in _windows(piece for clip in clips for piece in pieces(clip)):
        for system, found in zip(everyone, rows):
            keys = [cached_key(system, clip, perceptual) if cache else "" for clip in window]
            known = [cache.find(key) if cache else None for key in keys]
            trials = []
            for clip, row in zip(window, known):
                if row is None:
                    trials.append(run(system, clip))
                if on_clip is not None:
                    on_clip(system, clip)
            fresh = iter(measure(system, trials, batch_size=batch_size, perceptual=perceptual))
            for key, row in zip(keys, known):
                found.append(next(fresh) if row is None else row)
                if cache and row is None and found[-1].remark != NOT_FINITE:
                    cache.keep(key, found[-1])
    if everyone and not rows[0]:
        raise ZooError("there are no clips to evaluate")
    return [row for found in rows for row in found]


def measure(
    system: System, trials: Sequence[Trial], *, batch_size: int = 8, perceptual: Sequence[str] = ()
) -> list[Row]:
    """Rows of finished trials, in their order; metrics in batches of similar lengths."""
    references, estimates = [trial.reference for trial in trials], [trial.estimate for trial in trials]
    values = distances(references, estimates, system.sample_rate, batch_size=batch_size)
    return [_row(system, trial, found, perceptual) for trial, found in zip(trials, values)]


def distances(
    references: Sequence[np.ndarray], estimates: Sequence[np.ndarray], sample_rate: int, *, batch_size: int = 8
) -> list[dict[str, float]]:
    """All of `metrics.METRICS` for pairs of (T, C), whose lengths may differ, in their order.

    Computed in batches of similar lengths, padded so that few shapes are compiled.
    """
    values: dict[int, dict[str, float]] = {}
    waiting = sorted(range(len(references)), key=lambda i: -len(references[i]))
    while waiting:
        channels = references[waiting[0]].shape[1]
        length = padded_length(len(references[waiting[0]]), STEPS_PER_OCTAVE)
        n = min(batch_size, len(references), max(1, BATCH_SAMPLES // (length * channels)))
        batch, waiting = waiting[:n], waiting[n:]
        lengths = np.zeros(n, np.int32)
        reference, estimate = (np.zeros((n, length, channels), np.float32) for _ in range(2))
        for place, i in enumerate(batch):
            lengths[place] = len(references[i])
            reference[place, : lengths[place]] = references[i]
            estimate[place, : lengths[place]] = estimates[i]
        found = metrics.compute(reference, estimate, lengths, sample_rate)
        values |= {i: {name: float(x[place]) for name, x in found.items()} for place, i in enumerate(batch)}
    return [values[i] for i in range(len(references))]


def _row(system: System, trial: Trial, measured: dict[str, float], perceptual: Sequence[str]) -> Row:
    seconds = len(trial.reference) / system.sample_rate
    values: dict[str, Any] = dict(measured)
    if trial.remark == NOT_FINITE:
        values = dict.fromkeys((*measured, *perceptual), math.nan)
    elif trial.remark == SILENT:
        values |= {name: None for name, metric in metrics.METRICS.items() if metric.needs_signal}
    elif perceptual:
        values |= scores.compute(trial.reference, trial.estimate, system.sample_rate, names=tuple(perceptual))
    return Row(
        system=system.name,
        level=system.level,
        domain=trial.clip.domain,
        clip=trial.clip.name,
        seconds=seconds,
        kbps=8 * trial.coded.n_bytes / seconds / 1000,
        payload_kbps=8 * trial.coded.payload_bytes / seconds / 1000,
        encode_rtf=seconds / max(trial.coded.encode_s, SHORTEST_S),
        decode_rtf=seconds / max(trial.coded.decode_s, SHORTEST_S),
        remark=trial.remark,
        coder=system.coder,
        **values,
    )


def _windows(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """Runs of clips that fit into memory together."""
    window: list[Clip] = []
    held = 0
    for clip in clips:
        if window and held + clip.samples.size > HELD_SAMPLES:
            yield window
            window, held = [], 0
        window.append(clip)
        held += clip.samples.size
    if window:
        yield window
