"""Clean clips, mixed with noise, through denoisers: how much nearer to the clean clip each brings them.

outcome = evaluate([Untouched(), CodecDenoiser(zoo.load("runs/denoiser"), "denoiser")], clips, mixing.sources(),
                   snrs_db=[0, 10], sample_rate=24_000, channels=1)
for mean in records.means(outcome.rows): print(mean.system, mean.input_snr_db, mean.values["gain_db"])
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluate import perceptual as scores
from evaluate import run as coding
from evaluate.clips import Clip, pieces
from evaluate.denoise import mixing
from evaluate.denoise.denoisers import Denoiser
from evaluate.denoise.mixing import Source
from evaluate.denoise.records import DenoisingRow, LeftOut
from evaluate.records import NOT_FINITE, SHORTEST_S
from evaluate.silence import silent
from zoo import audio
from zoo.errors import ZooError

SHORTEST_CLIP_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """Rows of all denoisers in their order, clips in theirs, input SNRs ascending; and the clips that have none."""

    rows: list[DenoisingRow]
    left_out: list[LeftOut]


@dataclass(frozen=True, eq=False)
class _Mix:
    """A clip with a noise at one ratio, float32 (T, C) both."""

    clip: Clip
    noise: str
    snr_db: float
    clean: np.ndarray
    noisy: np.ndarray


def evaluate(
    denoisers: Sequence[Denoiser],
    clips: Iterable[Clip],
    sources: Sequence[Source],
    *,
    snrs_db: Sequence[float],
    sample_rate: int,
    channels: int = 1,
    seed: int = 0,
    perceptual: Sequence[str] = (),
    on_clip: Callable[[Clip], None] | None = None,
) -> Outcome:
    """A row for each denoiser, clip and input SNR; clips are brought to `sample_rate` Hz and `channels` first.

    Every clip gets one of the noises (`mixing.assigned`), the same stretch of it at all ratios. Clips that are silent,
    or shorter than 0.1 s, are left out; so is one whose noise is silent as mixed. Raises ZooError for a clip with NaN,
    for a result of another shape, and where nothing could be measured.
    """
    rows: list[list[DenoisingRow]] = [[] for _ in denoisers]
    left_out: list[LeftOut] = []
    warm: set[int] = set()
    n_mixed = 0
    for piece in (piece for clip in clips for piece in pieces(clip)):
        clean = _prepare(piece, sample_rate, channels)
        if reason := _unusable(clean, sample_rate):
            left_out.append(LeftOut(piece.name, reason))
        else:
            source, noise = mixing.drawn(sources, n_mixed, len(clean), sample_rate, channels, seed=seed)
            n_mixed += 1
            if silent(noise).all():
                left_out.append(LeftOut(piece.name, f"its noise {source.name} is silent"))
            else:
                mixes = [_Mix(piece, source.name, snr_db, *mixing.mix(clean, noise, snr_db)) for snr_db in snrs_db]
                for found, new in zip(rows, _measure(denoisers, mixes, sample_rate, perceptual, warm)):
                    found += new
        if on_clip is not None:
            on_clip(piece)
    if not any(rows):
        why = f" ({left_out[0].clip}: {left_out[0].reason})" if left_out else ""
        raise ZooError(f"there are no clips to measure{why}")
    return Outcome([row for found in rows for row in found], left_out)


def _prepare(clip: Clip, sample_rate: int, channels: int) -> np.ndarray:
    audio.validate(clip.samples, name=clip.name)
    mixed = clip.mixed(channels)
    # before resampling, since a constant rings at its ends
    if silent(mixed).all():
        mixed = np.zeros_like(mixed)
    return audio.resample(mixed, clip.sample_rate, sample_rate)


def _unusable(clean: np.ndarray, sample_rate: int) -> str:
    """Why a clip cannot be measured; empty if it can."""
    if len(clean) < SHORTEST_CLIP_S * sample_rate:
        return f"is shorter than {SHORTEST_CLIP_S:g} s"
    return "is silent" if silent(clean).all() else ""


def _measure(
    denoisers: Sequence[Denoiser], mixes: Sequence[_Mix], sample_rate: int, perceptual: Sequence[str], warm: set[int]
) -> list[list[DenoisingRow]]:
    """Rows of each denoiser for the mixes of one clip; those in `warm`, by place, have run before."""
    before = _values(mixes, [mix.noisy for mix in mixes], sample_rate, perceptual)
    rows = []
    for place, denoiser in enumerate(denoisers):
        if place not in warm:  # what it compiles or imports is not timed
            denoiser.process(mixes[0].noisy, sample_rate)
            warm.add(place)
        estimates: list[np.ndarray] = []
        wall_s: list[float | None] = []
        for mix in mixes:
            start = time.perf_counter()
            estimate = denoiser.process(mix.noisy, sample_rate)
            wall_s.append(None if estimate is mix.noisy else max(time.perf_counter() - start, SHORTEST_S))
            if estimate.shape != mix.noisy.shape:
                raise ZooError(f"{denoiser.name}: gave {estimate.shape} for audio of shape {mix.noisy.shape}")
            estimates.append(np.asarray(estimate, np.float32))
        after = _values(mixes, estimates, sample_rate, perceptual)
        rows.append([_row(denoiser, *known, sample_rate) for known in zip(mixes, before, after, wall_s)])
    return rows


def _values(
    mixes: Sequence[_Mix], estimates: Sequence[np.ndarray], sample_rate: int, perceptual: Sequence[str]
) -> list[dict[str, float | None]]:
    """Metrics and scores of estimates against the clean clips, all nan for one that is not finite."""
    clean = [mix.clean for mix in mixes]
    found: list[dict[str, float | None]] = []
    for mix, estimate, measured in zip(mixes, estimates, coding.distances(clean, estimates, sample_rate)):
        if not np.isfinite(estimate).all():
            found.append(dict.fromkeys((*measured, *perceptual), math.nan))
        elif perceptual:
            found.append({**measured, **scores.compute(mix.clean, estimate, sample_rate, names=tuple(perceptual))})
        else:
            found.append({**measured})
    return found


def _row(
    denoiser: Denoiser,
    mix: _Mix,
    before: dict[str, float | None],
    after: dict[str, float | None],
    wall_s: float | None,
    sample_rate: int,
) -> DenoisingRow:
    seconds = len(mix.clean) / sample_rate
    names = {"si_sdr_db": "si_sdr_{}_db", "snr_db": "snr_{}_db", "mel": "mel_{}", "lsd_db": "lsd_{}_db"}
    names |= {name: f"{name}_{{}}" for name in scores.METRICS}
    pairs = (("in", before), ("out", after))
    values = {names[name].format(side): x.get(name) for side, x in pairs for name in names}
    gain_db = (after["si_sdr_db"] or 0.0) - (before["si_sdr_db"] or 0.0)
    return DenoisingRow(
        system=denoiser.name,
        input_snr_db=mix.snr_db,
        noise=mix.noise,
        domain=mix.clip.domain,
        clip=mix.clip.name,
        seconds=seconds,
        gain_db=gain_db,
        rtf=None if wall_s is None else seconds / wall_s,
        remark="" if math.isfinite(gain_db) else NOT_FINITE,
        coder=denoiser.coder,
        **values,  # type: ignore[arg-type]
    )
