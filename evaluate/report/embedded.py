"""What pages hold beside text: sounds with pictures, as values for JSON, and the files they are put together from."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from concurrent.futures import Executor
from importlib import resources
from typing import Any

import numpy as np

from evaluate.report import content, sound, spectrogram

SILENT_DB = -60.0  # of a spectrogram's strongest band: a silent clip's picture is black


def versions(
    sounds: Mapping[str, np.ndarray],
    sample_rate: int,
    kbps: float,
    pool: Executor,
    *,
    gains_db: Mapping[str, float],
    reference: str | None = None,
) -> list[dict[str, Any]]:
    """Label, gain, picture and Opus file of sounds (T, C) of one length.

    Pictures are black 80 dB under the peak of the sound that `reference` names, by default of the strongest one. All
    sounds are scaled by one factor, so that none is clipped, be it played with its gain or without.
    """
    peak = max(float(np.max(np.abs(x))) * max(1.0, 10 ** (gains_db[name] / 20)) for name, x in sounds.items())
    room = np.float32(min(1.0, sound.PEAK / max(peak, 1e-9)))
    levels_db = {name: spectrogram.bands_db(x, sample_rate) for name, x in sounds.items()}
    peaks_db = {name: float(levels.max()) for name, levels in levels_db.items()}
    peak_db = max(max(peaks_db.values()) if reference is None else peaks_db[reference], SILENT_DB)
    coded = pool.map(lambda x: sound.encode(x * room, sample_rate, kbps), sounds.values())
    return [
        {
            "label": name,
            "gain_db": round(gains_db[name], 2),
            "picture": _base64(spectrogram.shaded(levels_db[name], peak_db)),
            "sound": _base64(file),
        }
        for name, file in zip(sounds, coded)
    ]


def script(i: int, name: str, domain: str, data: Mapping[str, Any]) -> str:
    """The script element that holds clip number `i` of a page."""
    quoted, group = html.escape(name, quote=True), html.escape(domain, quote=True)
    return (
        f'<script type="application/json" class="clip" id="clip{i}" data-name="{quoted}" data-domain="{group}">'
        f"{content.embed(data)}</script>\n"
    )


def filled(template: str, fills: Mapping[str, str]) -> str:
    """The template with {{names}} replaced, all at once: what is filled in is not filled again."""
    return re.sub(r"{{(\w+)}}", lambda match: fills[match[1]], template)


def asset(name: str, package: str = "evaluate.report") -> str:
    """The text of a file in a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
