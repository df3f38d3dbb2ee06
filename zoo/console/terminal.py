"""What a command prints: it reaches terminals that know ASCII alone, and ends quietly where its reader has gone."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import signal
import sys
import unicodedata
from collections.abc import Iterator

READER_GONE = 128 + signal.SIGPIPE
"""exit status of a command whose output nobody reads any more, as the shell has it for other tools"""
_ERRORS = "zoo.spelt_out"
_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, ends of lines
_SPELT = {
    "→": "->", "↔": "<->", "·": "-", "•": "-", "×": "x", "±": "+-", "–": "-", "—": "-", "−": "-", "…": "...",
    "²": "2", "³": "3", "≤": "<=", "≥": ">=", "≈": "~", "‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ",
    "─": "-", "━": "-", "│": "|", "┃": "|", "╭": "+", "╮": "+", "╯": "+", "╰": "+", "╸": "-", "╺": "-",
}  # fmt: skip


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """Keeps what a command prints from raising UnicodeEncodeError or BrokenPipeError.

    What a stream's encoding lacks is spelt out, bytes of file names that are no text included. Where the reader of
    standard output or error has gone, as `head` does, the command ends without a word, with status READER_GONE; where
    standard output takes no more, in one line with status 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    try:
        try:
            yield
        finally:
            _flush()
    except BrokenPipeError:
        if not is_reader_gone():
            raise
        _give_up_streams()
        raise SystemExit(READER_GONE) from None


def is_reader_gone() -> bool:
    """Whether nobody reads standard output or standard error any more."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none that the system knows
            poll.register(stream.fileno(), 0)
    return bool(poll.poll(0))


def printable(text: str) -> str:
    r"""A name as text that can be shown and written anywhere: bytes that are no UTF-8, and control characters, as \xNN.

    Python has such bytes as lone surrogates, which no file, page or picture takes.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWN else c for c in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte, by the error handler "surrogateescape"
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SPELT.get(character) or _escaped(character) for character in lacking), error.end


codecs.register_error(_ERRORS, _spell_out)


def _flush() -> None:
    """Whatever is still to be written is written now: at its exit Python can only complain."""
    for stream, name in ((sys.stdout, "standard output"), (sys.stderr, "standard error")):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _give_up_streams()
            print(f"error: {name}: cannot be written ({error.strerror})", file=sys.stderr)
            raise SystemExit(2) from None


def _give_up_streams() -> None:
    """Lets go of what a stream that takes no more has not written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def report(line: str) -> None:
    """A line for the user; standard output may be carrying audio."""
    print(line, file=sys.stderr, flush=True)
