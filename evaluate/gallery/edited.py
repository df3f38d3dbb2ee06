"""Sections of what is done to waveforms, and, where there is a codec, to its latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluate.edit.editors import Editor, Latents, Waveform
from evaluate.gallery.commands import zoo_command
from evaluate.gallery.sections import Example, Section, Version
from evaluate.gallery.sources import SAMPLE_RATE, SPEECH, Source, named
from zoo import audio, editing
from zoo.editing import aligned
from zoo.editing.blending import Weights
from zoo.editing.frames import Blend
from zoo.editing.through import LatentEditor
from zoo.ready import ReadyCodec

WEIGHTS = (0.5, 0.5)
FACTOR, SEMITONES = 1.25, 3.0


@dataclass(frozen=True, eq=False)
class Editing:
    """A codec, and the path by which commands name it."""

    codec: ReadyCodec
    run: str


def pair(sources: Sequence[Source]) -> tuple[Source, Source] | None:
    """Two recordings of one length and as many channels, speech and music if there are; None where there is but one."""
    if len(sources) < 2:
        return None
    first = named(sources, *SPEECH)
    second = named([source for source in sources if source is not first], "music")
    n = min(len(first.samples), len(second.samples))
    channels = max(first.samples.shape[1], second.samples.shape[1])
    a, b = (Source(x.name, x.path, x.domain, audio.mix_channels(x.samples[:n], channels)) for x in (first, second))
    return a, b


def mixed(through: Editing | None, a: Source, b: Source) -> Section:
    """Two recordings, their sum, and that of their latents."""
    words, weights = ("mix", a.path, b.path, "mixed.wav"), ",".join(f"{weight:g}" for weight in WEIGHTS)
    versions = [Version("mixed", editing.mix([a.samples, b.samples], WEIGHTS), "waveforms")]
    lines = [zoo_command(*words, weights=weights)]
    if through:
        versions.append(Version("latents mixed", _blended(through.codec, aligned.constant(WEIGHTS), a, b), "latents"))
        lines.append(zoo_command(*words, weights=weights, domain="latent", ckpt=through.run))
    return Section(
        "Mixed",
        f"Half of each of two recordings was added up, as waveforms{' and as latents of the codec' * bool(through)}.",
        lines,
        [_beside(a, b, versions)],
    )


def morphed(through: Editing, a: Source, b: Source) -> Section:
    """From one recording to another by latents, and a cross-fade."""
    seconds = (len(a.samples) - 1) / SAMPLE_RATE
    words = "morph", a.path, b.path, "morphed.wav"
    versions = [
        Version("morphed", _blended(through.codec, aligned.change(0.0, seconds), a, b), "latents"),
        Version("cross-faded", editing.morph(a.samples, b.samples), "waveforms"),
    ]
    return Section(
        "Morphed",
        "The latents of one recording went over into those of another from beginning to end; beside it, a cross-fade "
        "of the waveforms.",
        [zoo_command(*words, ckpt=through.run), zoo_command(*words, domain="waveform")],
        [_beside(a, b, versions)],
    )


def stretched(through: Editing | None, sources: Sequence[Source]) -> Section:
    """A recording that lasts longer at the same pitch."""
    source = named(sources, "music")

    def work(editor: Editor) -> np.ndarray:
        return editor.stretch(source.samples, SAMPLE_RATE, FACTOR)

    return Section(
        "Stretched",
        f"A recording was made {FACTOR:g} times as long at the same pitch, {_ways(through)}.",
        _lines(through, "stretch", source, "longer.wav", factor=FACTOR),
        [_one(source, "stretched", through, work)],
    )


def shifted(through: Editing | None, sources: Sequence[Source]) -> Section:
    """A recording that sounds higher and lasts as long."""
    source = named(sources, *SPEECH)

    def work(editor: Editor) -> np.ndarray:
        return editor.pitch(source.samples, SAMPLE_RATE, SEMITONES)

    return Section(
        "Pitch shifted",
        f"A recording was made {SEMITONES:g} semitones higher at the same length, {_ways(through)}.",
        _lines(through, "pitch", source, "higher.wav", semitones=SEMITONES),
        [_one(source, "shifted", through, work)],
    )


def _beside(a: Source, b: Source, versions: Sequence[Version]) -> Example:
    sources = [Version("first", a.samples, a.name), Version("second", b.samples, b.name)]
    return Example(f"{a.name} and {b.name}", SAMPLE_RATE, [*sources, *versions])


def _one(source: Source, label: str, through: Editing | None, work: Callable[[Editor], np.ndarray]) -> Example:
    versions = [Version("as it was", source.samples, source.name), Version(label, work(Waveform()), "waveform")]
    if through:
        versions.append(Version(f"latents {label}", work(Latents(through.codec, "latents")), "latents"))
    return Example(source.name, SAMPLE_RATE, versions)


def _lines(through: Editing | None, name: str, source: Source, output: str, **options: object) -> list[str]:
    lines = [zoo_command(name, source.path, output, **options)]
    if through:
        lines.append(zoo_command(name, source.path, output, **options, domain="latent", ckpt=through.run))
    return lines


def _ways(through: Editing | None) -> str:
    return "by its waveform and by latents of the codec" if through else "by its waveform"


def _blended(codec: ReadyCodec, weights: Weights, a: Source, b: Source) -> np.ndarray:
    """The sum (T, C) of latents as `python -m zoo mix --domain latent` makes it."""
    edit = Blend(weights, codec.module)
    editor = LatentEditor(codec.engine, SAMPLE_RATE, a.samples.shape[1], edit, n_inputs=2)
    return np.concatenate([editor.push([a.samples, b.samples]), editor.finish()])
