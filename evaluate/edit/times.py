"""Stretching and pitch shifting of signals that are known: errors of pitch and duration, onsets that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from evaluate.edit import signals
from evaluate.edit.editors import Editor
from evaluate.edit.records import EditRow
from zoo.errors import ZooError

N_DRUMS = 4


def measure(
    editors: Sequence[Editor],
    *,
    sample_rate: int,
    factors: Sequence[float],
    semitones: Sequence[float],
    on_edit: Callable[[], None] = lambda: None,
) -> Iterator[EditRow]:
    """Rows of each editor for tones and drums, at each factor and each pitch; what was not edited is first.

    Durations and attacks are compared with those of the signal itself, measured alike, and both times as of an edit
    without any error: `factor` times as long, and as sharp. Raises ZooError for what is not finite.
    """
    drums = signals.drums(sample_rate, N_DRUMS)
    for one in drums:
        found = signals.onset_f(one.samples, sample_rate, one.onsets_s)
        yield EditRow("untouched", "stretch", 1.0, "drums", one.name, onset_f=found, attack_ms=0.0)
    for editor in editors:
        for factor in factors:
            edit = lambda samples, factor=factor: editor.stretch(samples, sample_rate, factor)  # noqa: B023, E731
            yield from _rows(editor, "stretch", factor, edit, drums, sample_rate, factor, 1.0)
            on_edit()
        for steps in semitones:
            edit = lambda samples, steps=steps: editor.pitch(samples, sample_rate, steps)  # noqa: B023, E731
            yield from _rows(editor, "pitch", steps, edit, drums, sample_rate, 1.0, 2.0 ** (steps / 12))
            on_edit()


def _rows(
    editor: Editor,
    edit: str,
    setting: float,
    function: Callable[[np.ndarray], np.ndarray],
    drums: Sequence[signals.Drums],
    sample_rate: int,
    longer: float,
    higher: float,
) -> Iterator[EditRow]:
    def edited(name: str, samples: np.ndarray) -> np.ndarray:
        result = function(samples)
        if not np.isfinite(result).all():
            raise ZooError(f"{editor.name}: gave NaN or infinity for {name} ({edit} {setting:g})")
        return result

    for tone in signals.tones(sample_rate):
        result = edited(tone.name, tone.samples)
        lasted = longer * signals.duration_s(tone.samples, sample_rate)
        yield EditRow(
            editor.name,
            edit,
            setting,
            "tones",
            tone.name,
            pitch_error_cents=signals.pitch_error_cents(result, sample_rate, higher * tone.hz, tone.n_partials),
            duration_error_ms=1000 * abs(signals.duration_s(result, sample_rate) - lasted),
            coder=editor.coder,
        )
    for one in drums:
        result = edited(one.name, one.samples)
        onsets = longer * one.onsets_s
        before = signals.attack_s(one.samples, sample_rate, one.onsets_s)
        yield EditRow(
            editor.name,
            edit,
            setting,
            "drums",
            one.name,
            onset_f=signals.onset_f(result, sample_rate, onsets),
            attack_ms=1000 * (signals.attack_s(result, sample_rate, onsets) - before),
            coder=editor.coder,
        )
