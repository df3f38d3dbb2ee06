"""What a prior puts into the gap of a recording, or behind its end; everything else stays as it was, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo import arguments, audio
from zoo.coding.channels import ChannelLayout
from zoo.errors import ZooError
from zoo.generating import burg, latents
from zoo.generating.operations import Sampling, as_clip, checked
from zoo.generating.ready import ReadyPrior

SEAM_S = 0.04
"""of the gap, at each of its ends, in which what was before goes over into what is new"""
_MARGIN_FRAMES = 8


@dataclass(frozen=True)
class Gap:
    """The samples [start, stop) of a clip of `n_samples` that are to be replaced."""

    start: int
    stop: int
    n_samples: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def find_gap(n_samples: int, sample_rate: int, start_s: float, seconds: float, name: str = "audio") -> Gap:
    """The gap of `seconds` from `start_s` on; raises ZooError where it is none, or not within the clip.

    One that reaches its end is none either: nothing is known of what comes after it.
    """
    total_s = n_samples / sample_rate
    start_s, seconds = arguments.number(start_s, "start"), arguments.number(seconds, "seconds")
    if not (seconds > 0 and start_s >= 0):
        raise ZooError(f"{name}: a gap of {seconds:g} s from {start_s:g} s on is none")
    if seconds >= total_s:
        raise ZooError(f"{name}: a gap of {seconds:g} s is longer than the {total_s:.3f} s that there are")
    start, stop = round(start_s * sample_rate), round((start_s + seconds) * sample_rate)
    if stop >= n_samples:
        where = "outside" if start >= n_samples else "at the very end of"
        raise ZooError(
            f"{name}: a gap from {start_s:g} to {start_s + seconds:g} s lies {where} its {total_s:.3f} s: to go on "
            "behind an end is --continue"
        )
    if stop <= start:
        raise ZooError(f"{name}: a gap of {seconds:g} s holds no sample")
    return Gap(start, stop, n_samples)


def fill(
    prior: ReadyPrior,
    samples: Any,
    sample_rate: int | None = None,
    *,
    start_s: float,
    seconds: float,
    n: int = 1,
    first: int = 0,
    sampling: Sampling | None = None,
) -> np.ndarray:
    """Audio float32 (n, T, C) with n fillings of its gap, at its own rate and with its own channels.

    Outside the gap all samples are those of `samples`, (T,) or (T, C); what was in it is not looked at. Raises ZooError
    for a gap that is not within the audio.
    """
    how = checked(prior, n, sampling)
    clip = as_clip(samples)
    rate = prior.sample_rate if sample_rate is None else arguments.sample_rate(sample_rate)
    gap = find_gap(len(clip), rate, start_s, seconds)
    found = np.repeat(clip[None], n, axis=0)
    found[:, gap.start : gap.stop] = _patches(prior, clip, rate, gap, range(first, first + n), how)
    return found


def extend(
    prior: ReadyPrior,
    samples: Any,
    sample_rate: int | None = None,
    *,
    seconds: float,
    n: int = 1,
    first: int = 0,
    sampling: Sampling | None = None,
) -> np.ndarray:
    """Audio (T,) or (T, C) as it is, and n ways in which it may go on for `seconds`: float32 (n, T + more, C)."""
    how = checked(prior, n, sampling)
    clip = as_clip(samples)
    rate = prior.sample_rate if sample_rate is None else arguments.sample_rate(sample_rate)
    if not 0 < arguments.number(seconds, "seconds") < 1e5 or (more := round(seconds * rate)) < 1:
        raise ZooError(f"seconds must be positive, and fewer than 100,000, got {seconds:g}")
    longer = np.pad(clip, ((0, more), (0, 0)))
    found = np.repeat(longer[None], n, axis=0)
    found[:, len(clip) :] = _patches(
        prior, longer, rate, Gap(len(clip), len(longer), len(longer)), range(first, first + n), how
    )
    return found


def _patches(prior: ReadyPrior, clip: np.ndarray, rate: int, gap: Gap, numbers: range, how: Sampling) -> np.ndarray:
    """What is new in a gap, (n, length, C)."""
    module, window = prior.codec.module, prior.module.window
    frame = rate / module.frame_rate_hz  # samples of the clip
    margin = _MARGIN_FRAMES + module.encoder_context.before + module.encoder_context.after
    beside = round((window + margin) * frame)
    first, last = max(0, gap.start - beside), min(gap.n_samples, gap.stop + beside)
    inner = Gap(gap.start - first, gap.stop - first, last - first)
    stretch = clip[first:last].copy()
    reach = round((module.encoder_context.before + module.encoder_context.after + 2) * frame)
    stretch[inner.start : inner.stop] = _provisional(stretch, inner, reach)
    layout = ChannelLayout(clip.shape[1], module.channels, mid_side=clip.shape[1] == 2 and module.channels == 1)
    streams = layout.split(audio.resample(stretch, rate, module.sample_rate))
    ratio = module.sample_rate / rate
    length = streams.shape[1]
    at_rate = Gap(int(inner.start * ratio), min(length, int(np.ceil(inner.stop * ratio))), length)
    patches = []
    for i in numbers:
        decoded = np.stack([_regenerated(prior, stream, at_rate, how, i, s) for s, stream in enumerate(streams)])
        whole = audio.resample(layout.join(decoded), module.sample_rate, rate, n_samples=len(stretch))
        patches.append(_seamless(whole[inner.start : inner.stop], stretch, inner, rate))
    return np.stack(patches)


def _provisional(stretch: np.ndarray, gap: Gap, reach: int) -> np.ndarray:
    """The gap as its surroundings go on, as far as frames beside it hear of it, (length, C); silence beyond.

    So that what the encoder makes of those is nearly what it would make of the whole.
    """
    n = min(reach, gap.length)
    out = np.zeros((gap.length, stretch.shape[1]), np.float32)
    if gap.length <= 2 * reach:
        n = gap.length
    for channel in range(stretch.shape[1]):
        before, after = stretch[: gap.start, channel], stretch[gap.stop :, channel]
        if n == gap.length:
            out[:, channel] = burg.fill(before, after, n)
            continue
        decay = burg.fade(n)[::-1]
        out[:n, channel] += decay * burg.extrapolate(before, n)
        if len(after):
            out[-n:, channel] += (decay * burg.extrapolate(after[::-1], n))[::-1]
    return np.clip(out, -1, 1)


def _regenerated(prior: ReadyPrior, stream: np.ndarray, gap: Gap, how: Sampling, i: int, s: int) -> np.ndarray:
    """A stream (T, C) at the codec's rate, coded and decoded, with new latents where the gap is."""
    module, window = prior.codec.module, prior.module.window
    found = latents.encode(prior.codec, stream)
    hop, total = module.hop_length, len(found)
    # frames that hold some of the gap, and those beside them, whose own samples overlap with theirs
    lost_first = max(0, (gap.start + module.lead) // hop - 1)
    lost_last = total if gap.stop >= gap.n_samples else min(total, (gap.stop - 1 + module.lead) // hop + 2)
    lost = np.zeros(total, bool)
    lost[lost_first:lost_last] = True
    length = min(total, max(window, lost_last - lost_first + window // 2))
    begin = int(np.clip(lost_first - (length - (lost_last - lost_first)) // 2, 0, total - length))
    part = slice(begin, begin + length)
    new = prior.sample(how.key(i, s), length, context=(found[part], ~lost[part]), **how.options())
    found[part] = np.where(lost[part, None], new, found[part])
    return latents.decode(prior.codec, found, len(stream))


def _seamless(patch: np.ndarray, stretch: np.ndarray, gap: Gap, rate: int) -> np.ndarray:
    """A patch (length, C) whose ends go over into what the recording beside it would go on as."""
    n = min(max(1, round(SEAM_S * rate)), gap.length // 2)
    out = patch.astype(np.float32, copy=True)
    if not n:
        return out
    falling = burg.fade(n)[::-1]
    for channel in range(out.shape[1]):
        if len(before := stretch[: gap.start, channel]):
            out[:n, channel] += falling * (burg.extrapolate(before, n) - out[:n, channel])
        if len(after := stretch[gap.stop :, channel]):
            rising = falling[::-1]
            backwards = burg.extrapolate(after[::-1], n)[::-1]
            out[-n:, channel] += rising * (backwards - out[-n:, channel])
    return np.clip(out, -1, 1)
