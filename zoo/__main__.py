"""`python -m zoo COMMAND`: audio files to `.zac` files and back; sounds made, cleaned, edited, recognised, found."""

from __future__ import annotations

from zoo.console import host_memory

if __name__ == "__main__":
    host_memory.use_huge_pages(idle=("info", "list"))  # before the other imports, which would be made twice

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

from tyro.conf import subcommand

import zoo
from zoo.commands.editing_options import Eq, Gain, Mix, Morph, Pitch, Splice, Stretch
from zoo.commands.options import (
    Decode,
    Denoise,
    Encode,
    Export,
    ExportOnnx,
    Generate,
    Info,
    List,
)
from zoo.commands.recognise_options import Classify, Similar, TrainProbe
from zoo.commands.tokenise_options import Detokenise, Tokenise
from zoo.console.command import command

Command = (
    Annotated[Encode, subcommand("encode")]
    | Annotated[Decode, subcommand("decode")]
    | Annotated[Tokenise, subcommand("tokenise")]
    | Annotated[Detokenise, subcommand("detokenise")]
    | Annotated[Denoise, subcommand("denoise")]
    | Annotated[Mix, subcommand("mix")]
    | Annotated[Morph, subcommand("morph")]
    | Annotated[Splice, subcommand("splice")]
    | Annotated[Stretch, subcommand("stretch")]
    | Annotated[Pitch, subcommand("pitch")]
    | Annotated[Eq, subcommand("eq")]
    | Annotated[Gain, subcommand("gain")]
    | Annotated[Generate, subcommand("generate")]
    | Annotated[Info, subcommand("info")]
    | Annotated[List, subcommand("list")]
    | Annotated[Export, subcommand("export")]
    | Annotated[ExportOnnx, subcommand("export-onnx")]
    | Annotated[TrainProbe, subcommand("train-probe")]
    | Annotated[Classify, subcommand("classify")]
    | Annotated[Similar, subcommand("similar")]
)

HOME: dict[type, tuple[str, str]] = {
    Encode: ("encode", "encode"),
    Decode: ("decode", "decode"),
    Tokenise: ("tokenise", "tokenise"),
    Detokenise: ("tokenise", "detokenise"),
    Denoise: ("denoise", "denoise"),
    Mix: ("editing", "mix"),
    Morph: ("editing", "morph"),
    Splice: ("editing", "splice"),
    Stretch: ("editing", "stretch"),
    Pitch: ("editing", "pitch"),
    Eq: ("editing", "eq"),
    Gain: ("editing", "gain"),
    Generate: ("generate", "generate"),
    Info: ("info", "info"),
    List: ("models", "list_models"),
    Export: ("models", "export"),
    ExportOnnx: ("models", "export_onnx"),
    TrainProbe: ("recognise", "train_probe"),
    Classify: ("recognise", "classify"),
    Similar: ("similar", "similar"),
}
"""of each command the module of zoo.commands, and the function in it"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command, or the version; exits with status 2 and one line on standard error for input that cannot be used."""
    if (sys.argv[1:] if arguments is None else list(arguments)) == ["--version"]:
        print("codec-zoo", getattr(zoo, "__version__", "of an unknown version"))
        return
    command(Command, "python -m zoo", run, arguments)


def run(options: object) -> None:
    """Does what the options say; raises ZooError for input that cannot be used."""
    module, function = HOME[type(options)]
    if isinstance(options, Encode) and options.corpus:
        module = "corpus"
    # after the arguments are known to be right, and this command alone: importing jax takes a second
    getattr(importlib.import_module(f"zoo.commands.{module}"), function)(options)


if __name__ == "__main__":
    main()
