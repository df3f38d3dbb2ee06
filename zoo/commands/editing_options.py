"""What the commands that edit can be told; imports nothing that computes, so that --help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from zoo.commands.options import Input, Output

Domain = Literal["waveform", "latent"]


@dataclass(frozen=True)
class Mix:
    """Adds sounds up, each with a weight; the result is as long as the longest of them.

    Examples:
      python -m zoo mix voice.wav music.flac out.wav --weights 0.7,0.3
      python -m zoo mix a.wav b.wav c.wav out.wav                              a third of each
    """

    files: Positional[Annotated[tuple[str, ...], arg(metavar="INPUT … OUTPUT")]]
    """two or more sounds (audio files, .zac files), and last the .wav, .flac or .ogg file to write, - for standard
    output. The result has the highest of their sample rates and the most of their channels"""
    weights: str | None = None
    """a number for each sound, separated by commas; None = the same for all, 1 together"""
    domain: Domain = "waveform"
    """what is added up: samples, or a codec's latents"""
    ckpt: str | None = None
    """the codec: one of the package, a run directory, checkpoint or published model; None = the package's codec_24khz,
    or where it has none the only run below runs/. For waveforms it is needed by .zac files alone, and None = the one
    that they were made with"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Morph:
    """Turns one sound into another over what is common to both, in a codec's latents.

    Examples:
      python -m zoo morph dog.wav cat.wav out.wav --ckpt runs/vae              from the one to the other
      python -m zoo morph dog.wav cat.wav out.wav --ckpt runs/vae --amount 0.5 half-way all the time
    """

    a: Positional[Annotated[str, arg(metavar="A")]]
    """an audio or .zac file"""
    b: Positional[Annotated[str, arg(metavar="B")]]
    """an audio or .zac file; the result has the higher sample rate and the more channels of both"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    amount: float | None = None
    """how much of b, from 0 to 1; None = from 0 at the beginning to 1 at the end"""
    domain: Domain = "latent"
    """what is between both: latents, or samples (a cross-fade)"""
    ckpt: str | None = None
    """the codec: one of the package, a run directory, checkpoint or published model; None = the package's codec_24khz,
    or where it has none the only run below runs/"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Splice:
    """Goes over from one sound to another at an instant, with a short cross-fade.

    Examples:
      python -m zoo splice a.wav b.wav out.wav --at 4.2                        b from its beginning
      python -m zoo splice take1.wav take2.wav out.wav --at 4.2 --start 4.2    the same piece, from another take
    """

    a: Positional[Annotated[str, arg(metavar="A")]]
    """an audio or .zac file"""
    b: Positional[Annotated[str, arg(metavar="B")]]
    """an audio or .zac file; the result has the higher sample rate and the more channels of both"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    at: float
    """second of a, and of the result, at which b comes in"""
    start: float = 0.0
    """second of b that is there"""
    fade_s: float = 0.02
    """seconds in which a still fades out"""
    domain: Domain = "waveform"
    """what is joined: samples, or a codec's latents"""
    ckpt: str | None = None
    """the codec, as of mix"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Stretch:
    """Makes a sound longer or shorter, at the same pitch; the result has round(samples · factor) samples.

    Examples:
      python -m zoo stretch song.flac slow.flac --factor 1.25
    """

    input: Positional[Input]
    """an audio or .zac file, or - for standard input (WAV)"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    factor: float
    """how many times as long, from 0.1 to 10"""
    domain: Domain = "waveform"
    """how: harmonic and percussive parts of the waveform, or interpolated latents of a codec"""
    ckpt: str | None = None
    """the codec, as of mix"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Pitch:
    """Makes a sound higher or lower; the result is as long as it was.

    Examples:
      python -m zoo pitch song.flac higher.flac --semitones 3
      python -m zoo pitch song.flac lower.flac --semitones -0.5
    """

    input: Positional[Input]
    """an audio or .zac file, or - for standard input (WAV)"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    semitones: float
    """from -36 to 36, or a fraction"""
    domain: Domain = "waveform"
    """how the time that resampling takes is given back: as of stretch"""
    ckpt: str | None = None
    """the codec, as of mix"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Eq:
    """Puts a sound through an equaliser of bells.

    Examples:
      python -m zoo eq song.flac out.flac "200:-3,3000:+2"
    """

    input: Positional[Input]
    """an audio or .zac file, or - for standard input (WAV)"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    bands: Positional[Annotated[str, arg(metavar="BANDS")]]
    """HZ:DB, an octave wide, or HZ:DB:Q, separated by commas"""
    domain: Domain = "waveform"
    """what is filtered: samples, or a codec's latents by a matrix that is fitted first"""
    ckpt: str | None = None
    """the codec, as of mix"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Gain:
    """Makes a sound louder or softer.

    Examples:
      python -m zoo gain song.flac out.flac --db -6
    """

    input: Positional[Input]
    """an audio or .zac file, or - for standard input (WAV)"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    db: float
    """decibels"""
    domain: Domain = "waveform"
    """what is scaled: samples, or a codec's latents"""
    ckpt: str | None = None
    """the codec, as of mix"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


Edit = Mix | Morph | Splice | Stretch | Pitch | Eq | Gain
