"""Command lines as they are shown: what a shell takes, with every value quoted that has to be."""

from __future__ import annotations

import shlex


def zoo_command(name: str, *words: str, **options: object) -> str:
    """`python -m zoo NAME words --option value …`; an option that is None is left out."""
    given = [part for key, value in options.items() if value is not None for part in (f"--{key}", _text(value))]
    return shlex.join(["python", "-m", "zoo", name, *words, *given])


def generate(run: str, seed: int, of: tuple[str, ...] = (), **options: object) -> str:
    """`python -m zoo generate out --ckpt RUN …`, `of` being the recording and what is done with it."""
    return zoo_command("generate", "out", "--ckpt", run, *of, **options, seed=seed)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
