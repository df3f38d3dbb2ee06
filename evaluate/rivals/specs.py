"""Rivals by name: one setting ("opus:12"), or a ladder of them that fits the format ("opus")."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evaluate.rivals.aac import Aac
from evaluate.rivals.mp3 import Mp3
from evaluate.rivals.opus import Opus, OpusCbr
from evaluate.rivals.rival import Rival
from evaluate.rivals.vorbis import Vorbis
from evaluate.systems import System
from zoo.errors import ZooError

FAMILIES: dict[str, type[Rival]] = {cls.family: cls for cls in (Opus, OpusCbr, Mp3, Aac, Vorbis)}


def create(spec: str, *, sample_rate: int, channels: int) -> Rival:
    """The rival that `spec` names, such as "opus:12" (kbps, all channels together) or "vorbis:q3", in this format.

    Raises ZooError for an unknown name, for a setting that it does not have at this sample rate (Hz) and with these
    channels, and for a library that is missing.
    """
    name, _, value = spec.partition(":")
    family = _family(name, spec)
    what = "quality" if family.letter else "bitrate in kbps"
    try:
        if not value.startswith(family.letter):
            raise ValueError
        setting = float(value.removeprefix(family.letter))
    except ValueError:
        raise ZooError(f"rival {spec!r}: give its {what}, such as {family.example}") from None
    return family(setting, sample_rate, channels)


def systems(specs: Sequence[str], *, sample_rate: int, channels: int) -> list[System]:
    """The rivals that `specs` name, each once and in order: "opus:12" is one, "opus" a ladder, "opus,mp3:64" a list.

    Ladders double for stereo. A rung that a codec does not have in this format is left out and named on standard
    error. Raises ZooError as `create` does, and for a ladder without a rung.
    """
    found: dict[Rival, None] = {}
    for spec in (part.strip() for words in specs for part in words.split(",")):
        if ":" in spec:
            found[create(spec, sample_rate=sample_rate, channels=channels)] = None
        else:
            found |= dict.fromkeys(_ladder(_family(spec, spec), sample_rate, channels))
    return list(found)


def _ladder(family: type[Rival], sample_rate: int, channels: int) -> list[Rival]:
    family.require_library()
    found, reasons = [], []
    for setting in family.ladder(sample_rate, channels):
        try:
            found.append(family(setting, sample_rate, channels))
        except ZooError as error:
            reasons.append(str(error))
    if not found:
        raise ZooError(reasons[0])
    for reason in reasons:
        print(f"left out {reason}", file=sys.stderr, flush=True)
    return found


def _family(name: str, spec: str) -> type[Rival]:
    if name not in FAMILIES:
        examples = ", ".join(family.example for family in FAMILIES.values())
        raise ZooError(f"unknown rival {spec!r}; there is {examples}; without a number, a ladder of them")
    return FAMILIES[name]
