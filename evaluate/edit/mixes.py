"""What is done to latents beside what is done to waveforms: mixes, gain, bells, and joins, of clips in pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from evaluate import run as coding
from evaluate.clips import Clip, pieces
from evaluate.edit import seams
from evaluate.edit.records import EditRow
from evaluate.silence import silent
from zoo import audio, editing
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

LONGEST_S = 10.0
SHORTEST_S = 0.5
GAIN_DB = -6.0
BELLS = "200:-6,3000:+6"
"""what clips are equalised with"""


def pairs(clips: Iterable[Clip], on_left_out: Callable[[str, str], None]) -> Iterator[tuple[Clip, Clip]]:
    """Each clip with the next one, and the last with the first, both cut to the length of the shorter, 10 s at most.

    Silent and very short ones are left out, and `on_left_out` is told their name and why. Raises ZooError for NaN.
    """
    first: Clip | None = None
    before: Clip | None = None
    for clip in (piece for whole in clips for piece in pieces(whole, LONGEST_S)):
        audio.validate(clip.samples, name=clip.name)
        if len(clip.samples) < SHORTEST_S * clip.sample_rate:
            on_left_out(clip.name, f"is shorter than {SHORTEST_S:g} s")
        elif silent(clip.samples).all():
            on_left_out(clip.name, "is silent")
        elif before is None:
            first = before = clip
        else:
            yield before, clip
            before = clip
    if before is not None and first is not None and before is not first:
        yield before, first


def measure(
    codecs: Mapping[str, ReadyCodec],
    found: Iterable[tuple[Clip, Clip]],
    *,
    edits: Sequence[str],
    weights: Sequence[float],
    fades_s: Sequence[float],
) -> Iterator[EditRow]:
    """Rows of each pair: mixes at each weight of the first, gain and bells on it, and joins with each cross-fade."""
    filters = {name: editing.fit_equaliser(codec, BELLS) for name, codec in codecs.items() if "eq" in edits}
    for a, b in found:
        for name, codec in codecs.items():
            x, y = _prepared(a, b, codec.sample_rate, codec.channels)
            if "mix" in edits:
                yield from _mixed(name, codec, (a, b), x, y, weights)
            if "gain" in edits:
                louder = editing.gain(codec.encode_latents(x), GAIN_DB)
                yield _compared(name, codec, "gain", GAIN_DB, (a, a), editing.gain(x, GAIN_DB), louder)
            if "eq" in edits:
                wanted = editing.equalise(x, codec.sample_rate, BELLS)
                yield _compared(name, codec, "eq", 0.0, (a, a), wanted, filters[name](codec.encode_latents(x)))
            if "splice" in edits:
                yield from _joined(name, codec, (a, b), x, y, fades_s)
        if "splice" not in edits:
            continue
        # what is above a codec's band must not count for the others
        rate = min((codec.sample_rate for codec in codecs.values()), default=max(a.sample_rate, b.sample_rate))
        x, y = _prepared(a, b, rate, 1)
        at = len(x) // 2
        for fade_s in fades_s:
            joined = editing.splice(x, y, at, fade=round(fade_s * rate), start=at)
            yield _row("waveform", "splice", fade_s, (a, b), seam_db=seams.seam_db(joined, at, rate, fade_s))
        yield _row("cut", "splice", 0.0, (a, b), seam_db=seams.seam_db(editing.splice(x, y, at, start=at), at, rate))
        yield _row("untouched", "splice", 0.0, (a, b), seam_db=seams.seam_db(x, at, rate))


def _prepared(a: Clip, b: Clip, sample_rate: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = (audio.resample(clip.mixed(channels), clip.sample_rate, sample_rate) for clip in (a, b))
    n = min(len(x), len(y))
    return x[:n], y[:n]


def _mixed(
    name: str, codec: ReadyCodec, clips: tuple[Clip, Clip], x: np.ndarray, y: np.ndarray, weights: Sequence[float]
) -> Iterator[EditRow]:
    latents = [codec.encode_latents(samples) for samples in (x, y)]
    for weight in weights:
        shares = [weight, 1 - weight]
        yield _compared(name, codec, "mix", weight, clips, editing.mix([x, y], shares), editing.mix(latents, shares))


def _compared(
    name: str,
    codec: ReadyCodec,
    edit: str,
    setting: float,
    clips: tuple[Clip, Clip],
    wanted: np.ndarray,
    latents: np.ndarray,
) -> EditRow:
    """The row of edited latents, beside the edited waveform (T, C) and what the codec makes of that."""
    own = _decoded(codec, codec.encode_latents(wanted), wanted)
    edited = _decoded(codec, latents, wanted)
    if not np.isfinite(edited).all():
        raise ZooError(f"{name}: gave NaN or infinity for {clips[0].name} ({edit})")
    direct, bound, between = coding.distances([wanted, wanted, own], [edited, own, edited], codec.sample_rate)
    return _row(
        name,
        edit,
        setting,
        clips,
        si_sdr_db=direct["si_sdr_db"],
        mel=direct["mel"],
        own_si_sdr_db=bound["si_sdr_db"],
        own_mel=bound["mel"],
        consistency_db=between["si_sdr_db"],
        consistency_mel=between["mel"],
    )


def _joined(
    name: str,
    codec: ReadyCodec,
    clips: tuple[Clip, Clip],
    x: np.ndarray,
    y: np.ndarray,
    fades_s: Sequence[float],
) -> Iterator[EditRow]:
    """Rows of the first half of one sound before the second half of the other, in latents."""
    hop, rate = codec.hop_length, codec.sample_rate
    a, b = (codec.encode_latents(samples) for samples in (x, y))
    frame = a.shape[1] // 2
    at = max(0, frame * hop - codec.module.lead)
    for fade_s in fades_s:
        joined = editing.splice(a, b, frame, fade=math.ceil(fade_s * rate / hop), start=frame)
        decoded = _decoded(codec, joined, x)
        yield _row(name, "splice", fade_s, clips, seam_db=seams.seam_db(decoded, at, rate, fade_s))


def _decoded(codec: ReadyCodec, latents: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Audio (T, C) of latents, of the shape of `like`; a codec of more channels has them mixed."""
    decoded = codec.decode_latents(latents, len(like))
    return decoded[0] if decoded.shape[2] == like.shape[1] else decoded[..., 0].T


def _row(system: str, edit: str, setting: float, clips: tuple[Clip, Clip], **values: float | None) -> EditRow:
    a, b = clips
    domain = a.domain if a.domain == b.domain else f"{a.domain} and {b.domain}"
    name = a.name if a is b else f"{a.name} + {b.name}"
    return EditRow(system, edit, setting, domain, name, **values)  # type: ignore[arg-type]
