"""What is known of an edit of a clip or a test signal, and of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluate.require import Failure, Requirement
from zoo.errors import ZooError


@dataclass(frozen=True)
class EditRow:
    """One edit of one clip, pair of clips or test signal by one system; values are None where they do not apply."""

    system: str
    edit: str
    """mix, gain, eq, splice, stretch or pitch"""
    setting: float
    """weight of the first, dB, seconds of cross-fade, factor, semitones; 0 where there is but one"""
    domain: str
    """of the clips, or kind of test signal"""
    clip: str
    si_sdr_db: float | None = None
    """decoded edited latents against the edited waveforms"""
    mel: float | None = None
    own_si_sdr_db: float | None = None
    """what the codec makes of the edited waveforms, against these: no edit of latents can be expected to be better"""
    own_mel: float | None = None
    consistency_db: float | None = None
    """SI-SDR of decoded edited latents against what the codec makes of the edited waveforms"""
    consistency_mel: float | None = None
    seam_db: float | None = None
    """spectral flux at the join over that around it"""
    pitch_error_cents: float | None = None
    """absolute"""
    duration_error_ms: float | None = None
    """absolute, of the tone itself"""
    onset_f: float | None = None
    """F-measure of onsets that are found within 50 ms of where they must be"""
    attack_ms: float | None = None
    """by how much longer energy takes to rise at an onset than it did"""
    coder: str = ""
    """library of a rival with its version; empty for ours"""


VALUES = (
    "si_sdr_db", "mel", "own_si_sdr_db", "own_mel", "consistency_db", "consistency_mel", "seam_db",
    "pitch_error_cents", "duration_error_ms", "onset_f", "attack_ms",
)  # fmt: skip


@dataclass(frozen=True)
class EditMean:
    """Means over the clips of a system and an edit, at one setting or over all of them (None)."""

    system: str
    edit: str
    setting: float | None
    n_clips: int
    values: dict[str, float | None]
    """one for each of `VALUES`, None where no clip has it"""


def means(rows: Sequence[EditRow]) -> list[EditMean]:
    """For each edit and system, in order of appearance, a mean for each setting and, of several, the overall one."""
    groups: dict[tuple[str, str], list[EditRow]] = {}
    for row in rows:
        groups.setdefault((row.edit, row.system), []).append(row)
    found = []
    for (edit, system), members in groups.items():
        settings = sorted({row.setting for row in members})
        for setting in [*settings, *([None] if len(settings) > 1 else [])]:
            chosen = [row for row in members if setting in (row.setting, None)]
            found.append(EditMean(system, edit, setting, len({row.clip for row in chosen}), averages(chosen)))
    return found


def averages(rows: Sequence[EditRow]) -> dict[str, float | None]:
    """The mean of each value over the rows that have it."""
    values: dict[str, float | None] = {}
    for name in VALUES:
        known = [value for row in rows if (value := getattr(row, name)) is not None]
        values[name] = float(np.mean(known)) if known else None
    return values


def check(rows: Sequence[EditRow], requirements: Sequence[Requirement]) -> list[Failure]:
    """What each system's means over all its edits miss of requirements on `VALUES`; nan misses everything.

    Raises ZooError if no row has a value that is required.
    """
    found = []
    for system in dict.fromkeys(row.system for row in rows):
        values = averages([row for row in rows if row.system == system])
        for requirement in requirements:
            value = values[requirement.metric]
            if value is None:
                raise ZooError(f"--require: {system} has no value of {requirement.metric}")
            if not requirement.holds(value):
                found.append(Failure(system, None, requirement, value))
    return found
