"""What the commands of `python -m zoo` can be told; imports nothing that computes, so that --help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Input = Annotated[str, arg(metavar="INPUT")]
Output = Annotated[str, arg(metavar="OUTPUT")]
Inputs = Annotated[tuple[str, ...], arg(metavar="INPUT …")]


@dataclass(frozen=True)
class Raw:
    """PCM without a header, for pipes; all three are needed (the encoding has a default)."""

    sample_rate: int | None = None
    """Hz"""
    channels: int | None = None
    encoding: Literal["u8", "s16le", "s24le", "s32le", "f32le"] = "s16le"


@dataclass(frozen=True)
class Encode:
    """Codes audio: one file, standard input, or a whole library.

    Examples:
      python -m zoo encode song.flac song.zac                                  with the package's own codec
      python -m zoo encode song.flac song.zac --ckpt runs/vae                  with one of yours, at its default level
      python -m zoo encode song.flac song.zac --ckpt runs/vae --bitrate 12     just below 12 kbps
      python -m zoo encode --corpus DIR OUT --ckpt runs/vae --tokens           all below DIR; resumes when run again
      arecord -f cd | python -m zoo encode - live.zac --ckpt runs/vae          codes while it records
    """

    input: Positional[Input]
    """an audio file of any rate and length, - for standard input (WAV), or with --corpus a folder"""
    output: Positional[Output]
    """the .zac file, - for standard output, or with --corpus a folder"""
    ckpt: str | None = None
    """a codec of the package, run directory or checkpoint, or published model: hub id, folder, file, FAMILY:FILE; None
    = the package's codec_24khz, or where it has none the only run below runs/"""
    bitrate: float | None = None
    """kbps of payload, all channels together: its mean over the file lands just below this"""
    level: int | None = None
    """operating point of every packet, from 0 (lowest rate); None = the codec's default"""
    packet_s: float = 1.0
    """seconds to a packet: shorter ones cost more bits and less delay"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """that networks compute in; bfloat16 is for accelerators, and encodes only with codecs whose codes stay the same"""
    stereo: Literal["mid_side", "separate"] = "mid_side"
    """how a codec of one channel gets two"""
    channels: Literal["each", "mix", "first", "surround"] = "each"
    """each is coded; they are mixed to as many as the codec has (5.1 and the like by ITU-R BS.775); as many first ones
    are taken; or surround: as each, and a codec of two channels codes more than two one by one"""
    corpus: bool = False
    """code every audio file below INPUT, each to OUTPUT/same/path.zac; run again, only what is new or has changed. Exit
    status 1: some could not be coded"""
    stream: int | None = None
    """which of the audio streams of a container (a film), from 0; None = the first"""
    tokens: bool = False
    """write the codes too, as .npy (streams, frames, codes) beside each .zac, which decode takes as well"""
    force: bool = False
    """overwrite what exists"""
    raw: Raw = Raw()


@dataclass(frozen=True)
class Decode:
    """Decodes a .zac file, or its tokens, to wav, flac or ogg: with the rate, channels and length of what went in.

    Examples:
      python -m zoo decode song.zac song.wav                                   the codec is found by the file's hash
      python -m zoo decode song.zac part.wav --start 61.5 --seconds 4
      python -m zoo decode song.npy song.wav                                   what encode --tokens wrote
      arecord -f cd | python -m zoo encode - - | python -m zoo decode - - | aplay    plays what is being recorded
    """

    input: Positional[Input]
    """a .zac file, a token file (.npy), or - for standard input"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    ckpt: str | None = None
    """a run, checkpoint or published model; None = the codec of the package, or run below runs/, that the file was made
    with"""
    start: float = 0.0
    """second at which to begin; the file must not be a pipe"""
    seconds: float | None = None
    """how many seconds; None = to the end"""
    lenient: bool = False
    """a damaged packet costs its own second, which is silent and reported, instead of everything"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """that networks compute in; bfloat16 is for accelerators"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Denoise:
    """Takes the noise off a recording of any length, rate and number of channels, with a model trained to.

    Examples:
      python -m zoo denoise noisy.wav clean.wav
      python -m zoo denoise noisy.flac clean.flac --ckpt runs/denoiser --mix 0.8 --eq "200:-3,3000:+2"
      arecord -f cd | python -m zoo denoise - - --ckpt runs/denoiser_causal --chunk_s 0.5 | aplay
    """

    input: Positional[Input]
    """an audio file of any format, or - for standard input (WAV)"""
    output: Positional[Output]
    """a .wav, .flac or .ogg file, or - for standard output (WAV)"""
    ckpt: str | None = None
    """a run of `python -m train --task denoise`, or a checkpoint of one; None = the package's own denoiser"""
    mix: float = 1.0
    """how much of the result is clean, from 0 (as it was) to 1"""
    eq: str | None = None
    """bells behind it, HZ:DB or HZ:DB:Q, separated by commas"""
    chunk_s: float = 1.0
    """seconds computed at once: shorter ones cost more time and less delay"""
    stream: int | None = None
    """which of the audio streams of a container (a film), from 0; None = the first"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""
    raw: Raw = Raw()


@dataclass(frozen=True)
class Info:
    """Tells what files hold: coded ones, and audio files of every format.

    Of audio files: format and decoder, true length and that of the header, rate, channels, peak, loudness, and what is
    wrong. Of a .zac file what is known without the codec; with it, more.

    Examples:
      python -m zoo info song.zac
      python -m zoo info strange.mp3 *.m4a
    """

    input: Positional[Inputs]
    """.zac files, or audio files"""
    stream: int | None = None
    """which of the audio streams of a container, from 0; None = the first"""
    ckpt: str | None = None
    """a run, checkpoint or published model; None = the codec of the package, or run below runs/, that the file was made
    with, if it is there"""


@dataclass(frozen=True)
class List:
    """Lists the codecs that --ckpt takes: the package's, runs below runs/, published models, fetched when asked for."""


@dataclass(frozen=True)
class Export:
    """Writes a codec to a folder in the layout of the Hugging Face hub; --ckpt takes that folder as well.

    For a model of a published family the weights are those that its torch implementation loads. A folder in zoo/models
    is a codec of the package.

    Examples:
      python -m zoo export runs/vae out/vae
      python -m zoo export runs/vae out/vae --precision float16                half the bytes
      python -m zoo export facebook/encodec_24khz out/encodec
    """

    ckpt: Positional[Annotated[str, arg(metavar="CKPT")]]
    """a run directory or checkpoint, or a published model"""
    output: Positional[Output]
    """the folder"""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """of the weights of a codec trained here: rounded they are another codec, with a digest of its own"""
    licence: str | None = None
    """of these weights, such as "CC BY 4.0" """
    trained_on: str | None = None
    """what they were trained on, in a line"""
    kbps: tuple[float, float] | None = None
    """lowest and highest bitrate, measured on audio of as many channels as the codec has, for `list`"""
    discriminators: bool = False
    """the run's discriminators as well, beside the codec, for those who train it on"""
    force: bool = False
    """replace a folder of that kind"""


@dataclass(frozen=True)
class ExportOnnx:
    """Writes a codec as ONNX graphs, which run without Python or JAX; takes the extra "onnx".

    encoder.onnx and decoder.onnx, of a denoiser denoiser.onnx, take clips of any length up to `seconds`. docs/onnx.md
    says how they are used.

    Examples:
      python -m zoo export-onnx codec_24khz out/onnx --seconds 5
      python -m zoo export-onnx denoiser_48khz out/denoiser
    """

    ckpt: Positional[Annotated[str, arg(metavar="CKPT")]]
    """a codec of the package, a run or checkpoint, or a published model"""
    output: Positional[Output]
    """the folder"""
    seconds: float = 10.0
    """of audio that a graph takes at most; what is shorter takes as long"""
    level: int | None = None
    """operating point of the codes; default: the codec's"""
    batch_size: int = 1
    """clips at a time"""
    force: bool = False
    """replace a folder of that kind"""


@dataclass(frozen=True)
class Generate:
    """Makes new sounds, variations of one, continuations, or fills a gap, with a prior that was trained on such sounds.

    Examples:
      python -m zoo generate out --ckpt runs/latent_flow --seconds 10 --n 8 --label music
      python -m zoo generate out --ckpt runs/latent_flow --from in.wav --strength 0.4      variations
      python -m zoo generate out --ckpt runs/latent_flow --continue in.wav --seconds 5
      python -m zoo generate out --ckpt runs/latent_flow --fill in.wav --start 3 --seconds 1.5
      python -m zoo generate out --fill in.wav --start 3 --seconds 0.1      so short a gap needs no prior

    A recording that is continued or filled keeps its rate, its channels and, outside what is new, all its samples. New
    sounds and variations have those of the prior's codec.
    """

    output: Positional[Output]
    """a folder, which need not be there: sound_000.wav, variation_000.wav, continued_000.wav or filled_000.wav, …"""
    ckpt: str | None = None
    """a run of `python -m train --model latent_flow`, or a checkpoint of one; None = the only one below runs/"""
    codec: str | None = None
    """its codec; None = the one that the run has kept"""
    seconds: float | None = None
    """of a new sound (None = 10), what is added to one (None = 5), or the gap"""
    n: int = 1
    """how many"""
    label: str | None = None
    """a class that the prior was trained on: the name of a folder"""
    vary: Annotated[str | None, arg(name="from")] = None
    """an audio file of which variations are made"""
    strength: float = 0.5
    """how far these are from it, from 0 (as the codec has it) to 1 (a new sound)"""
    extend: Annotated[str | None, arg(name="continue")] = None
    """an audio file that goes on"""
    fill: str | None = None
    """an audio file with a gap, from --start on, of --seconds"""
    start: float | None = None
    """second at which the gap begins"""
    seed: int = 0
    """sound number i of a seed is the same, however many are made"""
    steps: int = 32
    """evaluations of the network: more are better, and slower"""
    guidance: float = 1.0
    """above 1 the label is followed more closely, and sounds are more alike; twice the time"""
    force: bool = False
    """overwrite what exists"""
