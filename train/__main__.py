"""`python -m train`."""

from __future__ import annotations

import importlib
import sys

from zoo.console import extras, host_memory, interrupts, terminal

COMMANDS = {"check": "train.check", "prepare": "train.prepare", "report": "train.watch.curves"}
"""What may stand in the place of options: modules with a `main(arguments)`."""


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in COMMANDS:
        importlib.import_module(COMMANDS[sys.argv[1]]).main(sys.argv[2:])
        return
    with terminal.guarded_output(), interrupts.raising():
        _train()


def _train() -> None:
    from train import cli

    name, config = cli.parse(commands=list(COMMANDS))
    # after the arguments are known to be right: importing jax takes a second
    from zoo.errors import ZooError

    try:
        extras.require("train")
    except ZooError as error:
        cli.fail(str(error))
    from train.devices import processes
    from train.run.loop import run
    from train.run.signals import StoppedError

    try:
        run(name, config, model_overrides=cli.model_overrides())
    except StoppedError as stopped:
        processes.print_once(str(stopped))
        raise SystemExit(stopped.exit_status) from None
    except (ZooError, KeyboardInterrupt) as error:
        cli.fail(str(error) or "interrupted; --resume continues from the last checkpoint")


if __name__ == "__main__":
    host_memory.use_huge_pages(idle=COMMANDS)  # before the imports of `main`, which would be made twice
    main()
