"""Whether latents mix as sounds do: decoded sums of latents beside sums of waveforms."""

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
    weights: Sequence[float],
    fades_s: Sequence[float] | None,
) -> Iterator[EditRow]:
    """Rows of each pair: mixes at each weight of the first one, and joins with each cross-fade (None: no joins)."""
    for a, b in found:
        for name, codec in codecs.items():
            x, y = _prepared(a, b, codec.sample_rate, codec.channels)
            yield from _mixed(name, codec, (a, b), x, y, weights)
            yield from _joined(name, codec, (a, b), x, y, fades_s or ())
        if fades_s is None:
            continue
        rate = max(a.sample_rate, b.sample_rate)
        x, y = _prepared(a, b, rate, 1)
        yield from _joined("waveform", None, (a, b), x, y, fades_s)
        at = len(x) // 2
        yield _row("cut", "splice", 0.0, (a, b), seam_db=seams.seam_db(editing.splice(x, y, at, start=at), at, rate))
        yield _row("untouched", "splice", 0.0, (a, b), seam_db=seams.seam_db(x, at, rate))


def _prepared(a: Clip, b: Clip, sample_rate: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = (
        audio.resample(audio.mix_channels(clip.samples, channels), clip.sample_rate, sample_rate) for clip in (a, b)
    )
    n = min(len(x), len(y))
    return x[:n], y[:n]


def _mixed(
    name: str, codec: ReadyCodec, clips: tuple[Clip, Clip], x: np.ndarray, y: np.ndarray, weights: Sequence[float]
) -> Iterator[EditRow]:
    latents = [codec.encode_latents(samples) for samples in (x, y)]
    for weight in weights:
        shares = [weight, 1 - weight]
        wanted = editing.mix([x, y], shares)
        own = _decoded(codec, codec.encode_latents(wanted), wanted)
        mixed = _decoded(codec, editing.mix(latents, shares), wanted)
        if not np.isfinite(mixed).all():
            raise ZooError(f"{name}: gave NaN or infinity for a mix of {clips[0].name} and {clips[1].name}")
        direct, bound, between = coding.distances([wanted, wanted, own], [mixed, own, mixed], codec.sample_rate)
        yield _row(
            name,
            "mix",
            weight,
            clips,
            mix_si_sdr_db=direct["si_sdr_db"],
            mix_mel=direct["mel"],
            own_si_sdr_db=bound["si_sdr_db"],
            own_mel=bound["mel"],
            consistency_db=between["si_sdr_db"],
            consistency_mel=between["mel"],
        )


def _joined(
    name: str,
    codec: ReadyCodec | None,
    clips: tuple[Clip, Clip],
    x: np.ndarray,
    y: np.ndarray,
    fades_s: Sequence[float],
) -> Iterator[EditRow]:
    """Rows of the first half of one sound before the second half of the other."""
    if codec is None:
        rate, at = max(clip.sample_rate for clip in clips), len(x) // 2
        for fade_s in fades_s:
            joined = editing.splice(x, y, at, fade=round(fade_s * rate), start=at)
            yield _row(name, "splice", fade_s, clips, seam_db=seams.seam_db(joined, at, rate, fade_s))
        return
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
    return EditRow(system, edit, setting, domain, f"{a.name} + {b.name}", **values)  # type: ignore[arg-type]
