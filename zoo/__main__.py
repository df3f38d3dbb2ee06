"""`python -m zoo encode | decode | denoise | info | list | export`: files through any codec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from tyro.conf import subcommand

from zoo.commands.options import Decode, Denoise, Encode, Export, Info, List
from zoo.console.command import command

Command = (
    Annotated[Encode, subcommand("encode")]
    | Annotated[Decode, subcommand("decode")]
    | Annotated[Denoise, subcommand("denoise")]
    | Annotated[Info, subcommand("info")]
    | Annotated[List, subcommand("list")]
    | Annotated[Export, subcommand("export")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Command, "python -m zoo", run, arguments)


def run(options: Encode | Decode | Denoise | Info | List | Export) -> None:
    """Does what the options say; raises ZooError for input that cannot be used."""
    # after the arguments are known to be right: importing jax takes a second
    from zoo.commands import corpus, decode, denoise, encode, info, models

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
    else:
        models.list_models()


if __name__ == "__main__":
    main()
