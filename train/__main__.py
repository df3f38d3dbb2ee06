"""`python -m train`."""

from __future__ import annotations

from train import cli


def main() -> None:
    name, config = cli.parse()
    # after the arguments are known to be right: importing jax takes a second
    from train.loop import run
    from zoo.errors import ZooError

    try:
        run(name, config, model_overrides=cli.model_overrides())
    except (ZooError, KeyboardInterrupt) as error:
        cli.fail(str(error) or "interrupted; --resume continues from the last checkpoint")


if __name__ == "__main__":
    main()
