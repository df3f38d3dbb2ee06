"""Requests to stores: repeated, with pauses that grow, while they fail for a reason that may pass."""

from __future__ import annotations

import errno
import random
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from zoo.audio.output import describe
from zoo.errors import one_line

T = TypeVar("T")
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""between the attempts at a request to a store, each made longer by up to half"""
TOLD_S = 1.0
"""of these pauses, the one at which is said what is waited for"""
_FINAL = (
    FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, ImportError, NotImplementedError,
    ValueError, TypeError,
)  # fmt: skip
_FINAL_NAMES = ("Credential", "Forbidden", "Unauthorized", "AuthenticationError", "NoSuchBucket", "RepositoryNotFound")
"""parts of the names of errors of libraries that need not be installed, which asking again does not mend"""
_PASSING_STATUS = (408, 425, 429)
"""of HTTP: too slow, too early, too many requests"""


def retried(request: Callable[[], T], name: str) -> T:
    """What a request gives, repeated while it fails for a reason that may pass; raises its last error.

    Once the pauses are long enough to be noticed, a line on standard error says what the place `name` is waited for.
    """
    for pause in (*PAUSES_S, None):
        try:
            return request()
        except Exception as error:
            if pause is None or is_final(error):
                raise
            if pause == TOLD_S:
                print(f"{name}: {said(error)}; trying again", file=sys.stderr, flush=True)
            time.sleep(pause * random.uniform(1, 1.5))
    raise AssertionError("unreachable")


def is_final(error: BaseException) -> bool:
    """Whether asking again would give the same error."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        return is_final(error.__cause__)  # fsspec says so of a web server that cannot be reached, too
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:  # of HTTP: the request is wrong
        return status not in _PASSING_STATUS
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, _FINAL) or no_space or any(part in names for part in _FINAL_NAMES)


def said(error: BaseException) -> str:
    """What an error says, in a line, with its kind where that tells more."""
    kind = type(error).__name__
    text = describe(error) if isinstance(error, OSError) else one_line(error)
    return text if isinstance(error, OSError) or kind == text else f"{kind}: {text}"
