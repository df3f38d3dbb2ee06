"""What a section of the gallery is: a sentence, the commands that do the same, and sounds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mark:
    """A part of a sound that is told apart in its picture, seconds from its beginning."""

    start_s: float
    stop_s: float
    text: str


@dataclass(frozen=True, eq=False)
class Version:
    """A sound float32 (T, C), and what there is to say of it in a few words."""

    label: str
    samples: np.ndarray
    about: str = ""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, eq=False)
class Example:
    """Sounds that are heard in step, at one sample rate in Hz; they may differ in length and in channels."""

    name: str
    sample_rate: int
    versions: Sequence[Version]


@dataclass(frozen=True, eq=False)
class Section:
    """What was done, in one sentence, by commands that can be copied, and what came of it."""

    title: str
    sentence: str
    commands: Sequence[str]
    examples: Sequence[Example]
