"""What is known of a clip that went through a system, and of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

OVERALL = "overall"
SHORTEST_S = 1e-9  # a clock's tick may be longer than the work
SILENT = "silent"
NOT_FINITE = "not finite"


@dataclass(frozen=True)
class Row:
    """One clip through one system; the metrics are those of `metrics.METRICS`, in its order.

    None is what has no value: of a silent clip all that needs a signal, and scores that were not asked for or do not
    apply. Where the system gave NaN or infinity, all metrics and scores are NaN.
    """

    system: str
    level: int | None
    """operating point of a codec; None for a system without"""
    domain: str
    clip: str
    seconds: float
    kbps: float
    """all bits of this clip's file over its seconds"""
    payload_kbps: float
    """those of coded audio"""
    snr_db: float | None
    si_sdr_db: float | None
    segmental_snr_db: float | None
    stft: float
    mel: float
    stft_dac: float
    mel_dac: float
    lsd_db: float | None
    bandwidth_hz: float | None
    encode_rtf: float
    """seconds of audio per wall second"""
    decode_rtf: float
    visqol: float | None = None
    """perceptual scores (evaluate.perceptual)"""
    pesq: float | None = None
    stoi: float | None = None
    estoi: float | None = None
    remark: str = ""
    """`SILENT` where the clip as the system got it is silent; it is in no mean; `NOT_FINITE` where the
    system gave NaN or infinity; else empty"""
    coder: str = ""
    """libraries of a rival with their versions; empty for a codec of ours"""


VALUES = tuple(f.name for f in fields(Row))[5:-2]


@dataclass(frozen=True)
class Mean:
    """Values of a system over the clips of a domain, or over all (domain "overall"), silent ones left out."""

    system: str
    level: int | None
    domain: str
    n_clips: int
    seconds: float
    values: dict[str, float | None]
    """one for each of `VALUES`: means over the clips that have one, None if none has; rates and real-time factors are
    all bits over all seconds"""


def label(system: str, level: int | None) -> str:
    """A system with its level, if it has any."""
    return system if level is None else f"{system} level {level}"


def means(rows: Sequence[Row]) -> list[Mean]:
    """Averages rows: for each system and level, in order of appearance, a mean per domain, then the overall one."""
    groups: dict[tuple[str, int | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.system, row.level), []).append(row)
    result = []
    for (system, level), members in groups.items():
        for domain in [*sorted({row.domain for row in members}), None]:
            chosen = [row for row in members if domain in (row.domain, None) and row.remark != SILENT]
            seconds = sum(row.seconds for row in chosen)
            values: dict[str, float | None] = {}
            for name in VALUES:
                known = [value for row in chosen if (value := getattr(row, name)) is not None]
                values[name] = float(np.mean(known)) if known else None
            if chosen:
                for name in ("kbps", "payload_kbps"):
                    values[name] = sum(getattr(row, name) * row.seconds for row in chosen) / seconds
                for name in ("encode_rtf", "decode_rtf"):
                    values[name] = seconds / max(sum(row.seconds / getattr(row, name) for row in chosen), SHORTEST_S)
            result.append(
                Mean(
                    system,
                    level,
                    domain=OVERALL if domain is None else domain,
                    n_clips=len(chosen),
                    seconds=seconds,
                    values=values,
                )
            )
    return result
