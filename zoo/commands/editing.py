"""`python -m zoo mix`, `morph`, `splice`, `stretch`, `pitch`, `eq`, `gain`: sounds to another one, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo.audio.equaliser import Equaliser, parse_bands
from zoo.commands.editing_inputs import count_samples
from zoo.commands.editing_options import Eq, Gain, Mix, Morph, Pitch, Splice, Stretch
from zoo.commands.editing_run import Plain, Process, Setting, edit, edit_one, pushed
from zoo.editing import aligned, blending, equalising, frames, latent_filter, stretching
from zoo.editing.aligned import BLOCK_SAMPLES, Converted, Part
from zoo.editing.through import LatentEditor
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

LONGEST_FADE_S = 30.0
AROUND_S = 1.0
"""of a sound beyond the place at which it is spliced, for an encoder that looks around"""


def mix(options: Mix) -> None:
    """Adds sounds up; raises ZooError for input that cannot be used."""
    *inputs, output = options.files or ("",)
    if len(inputs) < 2:
        raise ZooError(
            f"mix takes two or more sounds and the file to write, got {' '.join(options.files) or 'nothing'}"
        )
    weights = blending.check_weights(parse_numbers(options.weights, "weights"), len(inputs))

    def work(setting: Setting) -> Iterator[np.ndarray]:
        return pushed(_blend(setting, aligned.constant(weights)), aligned.blocks(_converted(setting), max))

    edit(options, inputs, output, work)


def morph(options: Morph) -> None:
    """Turns one sound into another; raises ZooError for input that cannot be used."""
    amount = options.amount
    if amount is not None and not 0 <= amount <= 1:
        raise ZooError(f"--amount {amount:g} is not between 0 (the first sound) and 1 (the second)")

    def work(setting: Setting) -> Iterator[np.ndarray]:
        if amount is None:
            rate = setting.sample_rate
            # of as many samples as `aligned.blocks` gives
            shortest = min(-(-count_samples(reader) * rate // reader.sample_rate) for reader in setting.readers)
            weights = aligned.change(0.0, (shortest - 1) / rate)
        else:
            weights = aligned.constant([1 - amount, amount])
        return pushed(_blend(setting, weights), aligned.blocks(_converted(setting), min))

    edit(options, [options.a, options.b], options.output, work)


def splice(options: Splice) -> None:
    """Goes over from one sound to another; raises ZooError for input that cannot be used."""
    for name, value in (("at", options.at), ("start", options.start)):
        if not 0 <= value < 1e9:
            raise ZooError(f"--{name} {value:g} is no time")
    if not 0 <= options.fade_s <= LONGEST_FADE_S:
        raise ZooError(f"--fade_s {options.fade_s:g} is not between 0 and {LONGEST_FADE_S:g} seconds")

    def work(setting: Setting) -> Iterator[np.ndarray]:
        a, b = _converted(setting)
        rate = setting.sample_rate
        at, start, fade = (round(value * rate) for value in (options.at, options.start, options.fade_s))

        def check_a() -> None:
            if a.n_taken < at:
                raise ZooError(f"--at {options.at:g}: {a.name} ends at {a.n_taken / rate:.2f} s")

        def check_b() -> None:
            if b.n_taken <= start:
                raise ZooError(f"--start {options.start:g}: {b.name} ends at {b.n_taken / rate:.2f} s")

        if setting.codec is None:
            first, second = Part(a, longest=at), Part(b, start=start)
            yield from _all(first)
            check_a()
            out, into = a.take(fade), second.take(max(fade, 1))
            check_b()
            n = min(len(out), len(into))
            yield np.concatenate([blending.crossfade(out[:n], into[:n]), into[n:]])
            yield from _all(second)
        else:
            around = round(AROUND_S * rate)
            early = min(at, start, around)
            sources = [Part(a, longest=at + fade + around), Part(b, silence=at - early, start=start - early)]
            fade_s = max(options.fade_s, 1 / setting.codec.module.frame_rate_hz)
            editor = _blend(setting, aligned.change(at / rate, fade_s))
            yield from pushed(editor, aligned.blocks(sources, lambda lengths: lengths[1]))
            check_a()
            check_b()

    edit(options, [options.a, options.b], options.output, work)


def stretch(options: Stretch) -> None:
    """Makes a sound longer or shorter; raises ZooError for input that cannot be used."""
    factor = stretching.check_factor(options.factor)

    def latent(codec: ReadyCodec, rate: int, channels: int) -> LatentEditor:
        return LatentEditor(codec.engine, rate, channels, frames.Stretch(factor, codec.module), factor=factor)

    edit_one(options, lambda rate, channels: stretching.Stretcher(factor, rate, channels), latent)


def pitch(options: Pitch) -> None:
    """Makes a sound higher or lower; raises ZooError for input that cannot be used."""
    fast, slow = stretching.pitch_rates(options.semitones, 48_000)

    def latent(codec: ReadyCodec, rate: int, channels: int) -> LatentEditor:
        edited = frames.Stretch(fast / slow, codec.module)
        return LatentEditor(codec.engine, rate, channels, edited, speed=fast / slow)

    edit_one(options, lambda rate, channels: stretching.PitchShifter(options.semitones, rate, channels), latent)


def eq(options: Eq) -> None:
    """Puts a sound through an equaliser; raises ZooError for input that cannot be used."""
    bands = parse_bands(options.bands)

    def latent(codec: ReadyCodec, rate: int, channels: int) -> LatentEditor:
        fitted = equalising.fit_equaliser(codec, options.bands, rate)
        return LatentEditor(codec.engine, rate, channels, latent_filter.FilterFrames(fitted))

    edit_one(options, lambda rate, channels: Plain(Equaliser(bands, rate, channels).push), latent)


def gain(options: Gain) -> None:
    """Makes a sound louder or softer; raises ZooError for input that cannot be used."""
    factor = blending.gain_factor(options.db)

    def latent(codec: ReadyCodec, rate: int, channels: int) -> LatentEditor:
        scaled = frames.Blend(aligned.constant([factor]), codec.module)
        return LatentEditor(codec.engine, rate, channels, scaled)

    edit_one(options, lambda rate, channels: Plain(lambda block: np.float32(factor) * block), latent)


def parse_numbers(text: str | None, option: str) -> list[float] | None:
    """Numbers of "0.7,0.3"; raises ZooError, naming the part, for anything else."""
    if text is None:
        return None
    found = []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError:
            raise ZooError(f"--{option} {text}: {part!r} is no number") from None
    return found


def _converted(setting: Setting) -> list[Converted]:
    return [Converted(reader, setting.sample_rate, setting.channels) for reader in setting.readers]


def _blend(setting: Setting, weights: blending.Weights) -> Process | LatentEditor:
    if setting.codec is None:
        return aligned.WaveformBlend(weights, setting.sample_rate)
    edited, n = frames.Blend(weights, setting.codec.module), len(setting.readers)
    return LatentEditor(setting.codec.engine, setting.sample_rate, setting.channels, edited, n_inputs=n)


def _all(part: Part) -> Iterator[np.ndarray]:
    while len(block := part.take(BLOCK_SAMPLES)):
        yield block
