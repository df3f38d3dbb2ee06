"""What a prior puts into the gap of a recording, or behind its end; everything else stays as it was, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo import arguments, audio
from zoo.arguments import as_array
from zoo.audio.arrays import check_shape
from zoo.coding.channels import ChannelLayout
from zoo.errors import ZooError
from zoo.generating import burg, latents, steering
from zoo.generating.gaps import Gap, emptied, find_gap
from zoo.generating.operations import Sampling, as_clip, checked
from zoo.generating.ready import ReadyPrior

SEAM_S = 0.004
"""of the gap, at each of its ends, in which what is predicted goes over into what is new"""
_MARGIN_FRAMES = 8


def fill(
    prior: ReadyPrior | None,
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

    Outside the gap all samples are those of `samples`, (T,) or (T, C); what was in it is not looked at, and may be NaN.
    A gap of up to 0.2 s needs no prior. Raises ZooError for a gap that is not within the audio, and a longer one where
    there is none.
    """
    how = checked(prior, n, sampling, first, needed=False)
    array, rate = as_array(samples, "audio"), _rate(prior, sample_rate)
    check_shape(array.shape)
    gap = find_gap(len(array), rate, start_s, seconds)
    clip = as_clip(emptied(array, gap))
    found = np.repeat(clip[None], n, axis=0)
    found[:, gap.start : gap.stop] = _patches(prior, clip, rate, gap, range(first, first + n), how)
    return found


def extend(
    prior: ReadyPrior | None,
    samples: Any,
    sample_rate: int | None = None,
    *,
    seconds: float,
    n: int = 1,
    first: int = 0,
    sampling: Sampling | None = None,
) -> np.ndarray:
    """Audio (T,) or (T, C) as it is, and n ways in which it may go on for `seconds`: float32 (n, T + more, C).

    Raises ZooError for values without sense, and for what is longer than it can be without a prior.
    """
    how = checked(prior, n, sampling, first, needed=False)
    clip, rate = as_clip(samples), _rate(prior, sample_rate)
    if not 0 < arguments.number(seconds, "seconds") < 1e5 or (more := round(seconds * rate)) < 1:
        raise ZooError(f"seconds must be positive, and fewer than 100,000, got {seconds:g}")
    longer = np.pad(clip, ((0, more), (0, 0)))
    found = np.repeat(longer[None], n, axis=0)
    found[:, len(clip) :] = _patches(
        prior, longer, rate, Gap(len(clip), len(longer), len(longer)), range(first, first + n), how
    )
    return found


def _rate(prior: ReadyPrior | None, sample_rate: int | None) -> int:
    if sample_rate is not None:
        return arguments.sample_rate(sample_rate)
    if prior is None:
        raise ZooError("without a prior, sample_rate must be given")
    return prior.sample_rate


def _patches(
    prior: ReadyPrior | None, clip: np.ndarray, rate: int, gap: Gap, numbers: range, how: Sampling
) -> np.ndarray:
    """What is new in a gap, (n, length, C)."""
    generator = prior if steering.needs_generated(gap, rate) else None
    if generator is None and steering.needs_generated(gap, rate):
        raise ZooError(
            f"a gap of {gap.length / rate:g} s is too long to be filled by what is around it: it needs a prior"
        )
    beside, reach = burg.CONTEXT * burg.ORDER, round(steering.FAR_S * rate) + steering.window_size(rate)
    if generator is not None:
        module = generator.codec.module
        frame = rate / module.frame_rate_hz  # samples of the clip
        seen = module.encoder_context.before + module.encoder_context.after
        beside = max(round((generator.module.window + _MARGIN_FRAMES + seen) * frame), beside)
        reach = max(round((seen + 2) * frame), reach)
    first, last = max(0, gap.start - beside), min(gap.n_samples, gap.stop + beside)
    inner = Gap(gap.start - first, gap.stop - first, last - first)
    stretch = clip[first:last].copy()  # with nothing in the gap
    # what is new is no louder than full scale, or than what is known where that is beyond it
    limit = max(1.0, float(np.abs(stretch).max()))
    stretch[inner.start : inner.stop] = np.clip(_predicted(stretch, inner, reach), -limit, limit)
    patches = []
    for i in numbers:
        whole = None if generator is None else _generated(generator, stretch, rate, inner, how, i)
        # of all channels the same: those that are alike stay so
        noise = np.random.default_rng((how.seed, i)).standard_normal(len(stretch))
        patch = [
            steering.steer(stretch[:, c], inner, rate, noise, None if whole is None else whole[:, c])
            for c in range(stretch.shape[1])
        ]
        patches.append(np.clip(_seamless(np.stack(patch, axis=1), stretch, inner, rate), -limit, limit))
    return np.stack(patches)


def _generated(prior: ReadyPrior, stretch: np.ndarray, rate: int, gap: Gap, how: Sampling, number: int) -> np.ndarray:
    """A stretch (T, C) as the codec has it, with new latents where the gap is."""
    module, channels = prior.codec.module, stretch.shape[1]
    layout = ChannelLayout(channels, module.channels, mid_side=channels == 2 and module.channels == 1)
    streams = layout.split(audio.resample(stretch, rate, module.sample_rate))
    ratio = module.sample_rate / rate
    length = streams.shape[1]
    at_rate = Gap(int(gap.start * ratio), min(length, int(np.ceil(gap.stop * ratio))), length)
    decoded = np.stack([_regenerated(prior, stream, at_rate, how, number, s) for s, stream in enumerate(streams)])
    return audio.resample(layout.join(decoded), module.sample_rate, rate, n_samples=len(stretch))


def _predicted(stretch: np.ndarray, gap: Gap, reach: int) -> np.ndarray:
    """The gap as its surroundings go on, (length, C), from each side for `reach` samples; silence beyond.

    For as long as frames of the codec beside it depend on it, so that what the encoder makes of those is nearly what it
    would make of the whole.
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
    return out


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
    """A patch (length, C) whose ends begin as the stretch (T, C) predicts the gap, next to which something is known."""
    n = min(max(1, round(SEAM_S * rate)), gap.length // 2)
    out, predicted = patch.astype(np.float32), stretch[gap.start : gap.stop]
    falling = burg.fade(n)[::-1, None]
    if n and gap.start:
        out[:n] += falling * (predicted[:n] - out[:n])
    if n and gap.stop < gap.n_samples:
        out[-n:] += falling[::-1] * (predicted[-n:] - out[-n:])
    return out
