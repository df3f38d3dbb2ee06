"""What all commands share: arguments, errors, the compilation cache, progress.

Imports nothing that computes, so that --help is quick.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from zoo.console import extras, interrupts, terminal
from zoo.errors import ZooError

T = TypeVar("T")
OUTPUTS = ("output", "out", "report", "workdir")
"""options that name what is written"""
SOME_FAILED = 1
"""exit status of a command that has done its work but for some of its inputs"""
_HELP_INDENT = " " * 8
"""of help texts in what tyro complains of"""


def command(
    kind: type[T] | Any,
    program: str,
    run: Callable[[T], None],
    arguments: Sequence[str] | None = None,
    *,
    cached: bool = True,
    extra: str = "",
) -> None:
    """Parses an options dataclass (or one of several) and runs it.

    Bad input ends in one line on standard error and exit status 2, a reader that has gone as
    `terminal.guarded_output` says. Outputs are on this machine unless the dataclass names them in its `STORES`.
    With `cached`, compiled programs are kept across runs; packages of the `extra` must be installed.
    """
    with terminal.guarded_output(), interrupts.raising():
        options = parse(kind, program, arguments)
        try:
            named = getattr(options, "ckpt", None)
            if "" in ((named,) if isinstance(named, str) else named or ()):
                raise ZooError("--ckpt is empty: name a run, a checkpoint or a codec, or leave it out")
            for name in set(OUTPUTS) - set(getattr(options, "STORES", ())):
                require_local(getattr(options, name, None))
            if extra:
                extras.require(extra)
            if cached:
                use_compilation_cache()
            run(options)
        except ZooError as error:
            if isinstance(error.__cause__, BrokenPipeError) and terminal.is_reader_gone():
                raise error.__cause__ from None
            fail(str(error))
        except KeyboardInterrupt:
            fail("interrupted")


def parse(kind: type[T] | Any, program: str, arguments: Sequence[str] | None = None) -> T:
    """An options dataclass from the command line (default: this process's); exits where it is wrong."""
    import tyro

    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            options: T = tyro.cli(kind, prog=program, args=arguments, use_underscores=True)
            return options
    except SystemExit as error:
        if not error.code:
            raise
        fail(unframed(errors.getvalue()))


def unframed(text: str) -> str:
    """What tyro complains of, as one line: without colours, frame, title and help texts; suggestions by name alone."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    # where the terminal knows ASCII alone, there are no bars, and rules are of hyphens
    lines = [re.sub(r"^[│╭╰ ] ?|[│╮╯ ]+$", "", line).rstrip() for line in plain.splitlines()]
    after_title = "\n".join(lines[1:] if len(lines) > 1 else lines)
    complaint, *others = re.split(r"\n *[─-]{4,} *\n|\n\n", after_title.strip("─- \n"))
    said = [" ".join(line for line in complaint.splitlines() if not line.startswith(_HELP_INDENT))]
    for other in others:
        heading, _, rest = other.partition("\n")
        if heading.startswith("Perhaps you meant"):
            meant = re.findall(r"^ {4}(-\S+)", rest, re.MULTILINE)
            said += [f"did you mean {', '.join(dict.fromkeys(meant))}?"] if meant else []
        elif heading.startswith(("Unrecognized", "Available")):
            said.append(" ".join(other.split()))
    return "; ".join(" ".join(part.split()) for part in said)


def require_local(output: str | None) -> None:
    """Raises ZooError for a URI of a store, which would be taken for a folder `s3:` here."""
    if not output:
        return
    from zoo.audio.places import is_uri

    if is_uri(output):
        raise ZooError(f"{output}: is a URI, and this command writes to folders of this machine only")


def fail(message: str) -> NoReturn:
    """Prints one line and exits with status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def use_compilation_cache() -> None:
    """Keeps compiled programs across runs, where the user has not chosen a place for them.

    That is ~/.cache, or $XDG_CACHE_HOME; a user who has no home, or none that can be written to, does without. Small
    programs are kept as well, which JAX would compile anew each time: together they take a second.
    """
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codec-zoo" / "xla"
            cache.mkdir(parents=True, exist_ok=True)
        except (RuntimeError, OSError):
            return
        jax.config.update("jax_compilation_cache_dir", str(cache))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


@contextlib.contextmanager
def progress(total: float | None, title: str) -> Iterator[Callable[[float], None]]:
    """A bar on standard error while it is a terminal; gives the function that advances it. None = no known end."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda amount: bar.advance(task, amount)
