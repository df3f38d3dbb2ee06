"""What `python -m zoo train-probe`, `classify` and `similar` take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from zoo.commands.options import Inputs


@dataclass(frozen=True)
class TrainProbe:
    """Trains a classifier of sounds on what a frozen codec makes of them; takes the extra "recognise".

    Examples:
      python -m zoo train-probe DIR --ckpt runs/vae --output animals.safetensors      DIR has a folder for each class
      python -m evaluate --task probe --ckpt runs/vae --data.root DIR                 tells beforehand how good it is
    """

    data: Positional[Annotated[str, arg(metavar="DIR")]]
    """a folder with a sub-folder of audio files for each class"""
    output: str
    """the probe, a .safetensors file"""
    ckpt: str | None = None
    """a codec of the package, run directory, checkpoint or published model; None = the package's codec_24khz, or where
    it has none the only run below runs/"""
    classifier: Literal["logistic", "svm", "dense"] = "logistic"
    """logistic regression, a linear support vector machine, or a net of two layers of 256"""
    features: tuple[str, ...] = ("layers", "mfcc")
    """what vectors are put together from: latent, layers (of the encoder), mfcc, log_mel"""
    force: bool = False
    """overwrite what exists"""


@dataclass(frozen=True)
class Classify:
    """Tells what sounds are, by a probe that train-probe made.

    Examples:
      python -m zoo classify bark.wav --probe animals.safetensors
      python -m zoo classify DIR *.flac --probe animals.safetensors --top 1 --json
    """

    input: Positional[Inputs]
    """audio files, and folders of them"""
    probe: str
    """the probe"""
    ckpt: str | None = None
    """the codec that the probe was trained on; None = where it was then, or the run with its weights"""
    top: int = 3
    """likeliest classes of each file"""
    json: bool = False
    """print a list of objects"""


@dataclass(frozen=True)
class Similar:
    """Finds the sounds below a folder that are most like one, by what a codec makes of them.

    An index of the folder is kept in it, and brought up to date at each call: only what is new is embedded.

    Examples:
      python -m zoo similar bark.wav DIR --ckpt runs/vae --top 10
    """

    query: Positional[Annotated[str, arg(metavar="QUERY")]]
    """an audio file"""
    data: Positional[Annotated[str, arg(metavar="DIR")]]
    """a folder of audio files"""
    ckpt: str | None = None
    """a codec of the package, run directory, checkpoint or published model; None = the package's codec_24khz, or where
    it has none the only run below runs/"""
    top: int = 5
    """nearest sounds"""
    index: str | None = None
    """the file to keep the index in; None = .similar.safetensors in the folder"""
    json: bool = False
    """print a list of objects"""
