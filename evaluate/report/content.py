"""What the page shows of the rows: means, curves and BD-rates, as plain values for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evaluate import statistics, table
from evaluate.records import OVERALL, VALUES, label, means
from evaluate.remarks import remarks

if TYPE_CHECKING:
    from evaluate.records import Row

COSTS = ("kbps", "payload_kbps", "encode_rtf", "decode_rtf")
FIRST = ("mel", "stft", "si_sdr_db", "visqol")
"""metrics that stand first, and are drawn unless others are asked for"""
BESIDE = ("payload_kbps", "kbps", *FIRST)
"""values that stand beside each version of a clip"""
MEANING = {
    "payload_kbps": "entropy-coded audio, without container",
    "kbps": "the whole file",
    "snr_db": "signal-to-noise ratio of the waveform",
    "si_sdr_db": "scale-invariant signal-to-distortion ratio of the waveform",
    "segmental_snr_db": "mean of the SNR over segments of 20 ms",
    "stft": "distance of spectrograms, windows of 2048 and 512",
    "mel": "distance of mel spectrograms, closer to hearing",
    "stft_dac": "STFT distance with the clamp of published tables",
    "mel_dac": "mel distance with the clamp of published tables",
    "lsd_db": "log-spectral distance",
    "bandwidth_hz": "retained bandwidth",
    "encode_rtf": "seconds of audio coded in a second",
    "decode_rtf": "seconds of audio decoded in a second",
    "visqol": "ViSQOL: predicted opinion of listeners, 1 to 5",
    "pesq": "wide-band PESQ: predicted opinion of listeners, for speech, 1 to 4.64",
    "stoi": "short-time objective intelligibility, for speech, 0 to 1",
    "estoi": "extended STOI, 0 to 1",
}
SPELLED = {"visqol": "ViSQOL", "pesq": "PESQ", "stoi": "STOI", "estoi": "ESTOI"}


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """All that the page shows before its first example: columns, means, curves, BD-rates."""
    measured = [name for name in VALUES if name not in COSTS and any(_finite(row, name) for row in rows)]
    metrics = sorted(measured, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    found = sorted(means(rows), key=lambda mean: mean.domain != OVERALL)  # stable: overall first
    place = {(mean.system, mean.level, mean.domain): i for i, mean in enumerate(found)}
    domains = list(dict.fromkeys(mean.domain for mean in found))
    if len(domains) == 2:  # overall and the only one there is
        domains = domains[:1]
    return {
        "columns": [column(name) for name in (*COSTS[1::-1], *metrics, *COSTS[2:])],
        "remarks": remarks(rows),
        "metrics": metrics,
        "n_first": sum(name in FIRST for name in metrics) or min(3, len(metrics)),
        "domains": domains,
        "families": [
            {"name": name, "classic": all(level is None for _, level in members)}
            for name, members in statistics.families(rows).items()
        ],
        "means": [
            {
                "label": label(mean.system, mean.level),
                "family": statistics.family(mean.system, mean.level),
                "domain": mean.domain,
                "clips": mean.n_clips,
                "values": {name: _plain(mean.values[name]) for name in (*COSTS, *metrics)},
            }
            for mean in found
            if mean.domain in domains
        ],
        "curves": {name: {domain: _curves(rows, name, domain, place) for domain in domains} for name in metrics},
        "bd": {name: _bd_rates(rows, name) for name in metrics},
    }


def column(name: str) -> dict[str, Any]:
    """How a value is shown, and which direction is the better one: 1, -1, or 0 for neither."""
    known = table.COLUMNS.get(name) or table.Column(SPELLED.get(name, name), "", 2)
    better = 1 if statistics.higher_is_better(name) else -1
    return {
        "name": name,
        "title": known.title.replace("-\n", "").replace("\n", " "),
        "unit": known.unit,
        "decimals": known.decimals,
        "scale": known.scale,
        "better": better,
        "meaning": MEANING.get(name, ""),
    }


def beside(row: Row | None) -> dict[str, Any]:
    """What stands beside one version of a clip, of which nothing is known if there is no row."""
    values = {name: _plain(getattr(row, name)) for name in BESIDE if row is not None and _finite(row, name)}
    return {"values": values, "remark": "" if row is None else row.remark}


def embed(value: Any) -> str:
    """JSON that may stand inside a script element of a page."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _curves(
    rows: Sequence[Row], metric: str, domain: str, place: dict[tuple[str, int | None, str], int]
) -> dict[str, list[list[float | None]]]:
    """{family: [[index of the mean, lower and upper limit of the metric], ...]}."""
    chosen = [row for row in rows if domain in (row.domain, OVERALL)]
    return {
        name: [[place[point.system, point.level, domain], _plain(point.low), _plain(point.high)] for point in points]
        for name, points in statistics.curves(chosen, metric).items()
    }


def _bd_rates(rows: Sequence[Row], metric: str) -> list[dict[str, Any]]:
    return [
        {
            "anchor": anchor,
            "test": test,
            "percent": _plain(found.percent),
            "low": _plain(found.low),
            "high": _plain(found.high),
            "remark": found.remark,
        }
        for (anchor, test), found in statistics.bd_rates(rows, metric).items()
    ]


def _finite(row: Row, name: str) -> bool:
    return _plain(getattr(row, name, None)) is not None


def _plain(value: float | None) -> float | None:
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
