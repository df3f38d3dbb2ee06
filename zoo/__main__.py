"""`python -m zoo COMMAND`: audio files to `.zac` files and back; sounds cleaned, recognised and found by a codec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from tyro.conf import subcommand

from zoo.commands.options import Classify, Decode, Denoise, Encode, Export, Info, List, Similar, TrainProbe
from zoo.console.command import command

Command = (
    Annotated[Encode, subcommand("encode")]
    | Annotated[Decode, subcommand("decode")]
    | Annotated[Denoise, subcommand("denoise")]
    | Annotated[Info, subcommand("info")]
    | Annotated[List, subcommand("list")]
    | Annotated[Export, subcommand("export")]
    | Annotated[TrainProbe, subcommand("train-probe")]
    | Annotated[Classify, subcommand("classify")]
    | Annotated[Similar, subcommand("similar")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Command, "python -m zoo", run, arguments)


def run(options: Encode | Decode | Denoise | Info | List | Export | TrainProbe | Classify | Similar) -> None:
    """Does what the options say; raises ZooError for input that cannot be used."""
    # after the arguments are known to be right: importing jax takes a second
    from zoo.commands import corpus, decode, denoise, encode, info, models, recognise, similar

    if isinstance(options, Encode):
        (corpus.encode if options.corpus else encode.encode)(options)
    elif isinstance(options, Decode):
        decode.decode(options)
    elif isinstance(options, Denoise):
        denoise.denoise(options)
    elif isinstance(options, Info):
        info.info(options)
    elif isinstance(options, Export):
        models.export(options)
    elif isinstance(options, TrainProbe):
        recognise.train_probe(options)
    elif isinstance(options, Classify):
        recognise.classify(options)
    elif isinstance(options, Similar):
        similar.similar(options)
    else:
        models.list_models()


if __name__ == "__main__":
    main()
