"""Requests to stores: repeated, with pauses that grow, while they fail for a reason that may pass."""

from __future__ import annotations

import errno
import random
import socket
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
UNREACHED_S = 5.0
"""after which a place that has never answered and cannot be connected to is given up: its address is wrong"""
_FINAL = (
    FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, ImportError, NotImplementedError,
    ValueError, TypeError,
)  # fmt: skip
_FINAL_NAMES = (
    "Credential", "Forbidden", "Unauthorized", "AuthenticationError", "NoSuchBucket", "RepositoryNotFound",
    "OfflineMode",
)  # fmt: skip
"""parts of the names of errors of libraries that need not be installed, which asking again does not mend"""
_UNREACHED_NAMES = ("EndpointConnection", "ClientConnector", "ConnectError", "ConnectTimeout", "ConnectionTimeout")
"""parts of the names of errors (of botocore, aiohttp, httpx) of requests that nobody took"""
_PASSING_STATUS = (408, 409, 412, 425, 429)
"""of HTTP: too slow, others wrote just then (two), too early, too many requests"""


def retried(request: Callable[[], T], name: str, *, has_answered: bool = True) -> T:
    """What a request gives, repeated while it fails for a reason that may pass; raises its last error.

    Of a place that has not answered before, and now cannot be connected to, the error comes after some seconds.
    Once the pauses are long enough to be noticed, a line on standard error says what the place `name` is waited for.
    """
    begin = time.monotonic()
    for pause in (*PAUSES_S, None):
        try:
            return request()
        except Exception as error:
            if pause is None or is_final(error):
                raise
            # libraries of stores have repeated it already, with pauses of their own
            if not has_answered and is_unreached(error) and time.monotonic() - begin + pause > UNREACHED_S:
                raise
            if pause == TOLD_S:
                print(f"{name}: {said(_underlying(error))}; trying again", file=sys.stderr, flush=True)
            time.sleep(pause * random.uniform(1, 1.5))
    raise AssertionError("unreachable")


def is_final(error: BaseException) -> bool:
    """Whether asking again would give the same error."""
    if (underlying := _underlying(error)) is not error:
        return is_final(underlying)
    status = _status(error)
    if status is not None and 400 <= status < 500:  # of HTTP: the request is wrong
        return status not in _PASSING_STATUS
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, _FINAL) or no_space or any(part in names for part in _FINAL_NAMES)


def _underlying(error: BaseException) -> BaseException:
    """What lies behind an error: of a web server that cannot be reached, fsspec says that the file is not there."""
    return error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error


def is_unreached(error: BaseException) -> bool:
    """Whether an error says that no connection was made, so that the place may not exist."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConnectionRefusedError, socket.gaierror)):
            return True
        if any(part in type(cause).__name__ for part in _UNREACHED_NAMES):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _status(error: BaseException) -> int | None:
    """The status of HTTP that an error stands for, in the ways of aiohttp, gcsfs and httpx."""
    response = getattr(error, "response", None)
    for found in (getattr(error, "status", None), getattr(error, "code", None), getattr(response, "status_code", None)):
        if isinstance(found, int):
            return found
    return None


def said(error: BaseException) -> str:
    """What an error says, in a line, with its kind where that tells more."""
    kind = type(error).__name__
    text = describe(error) if isinstance(error, OSError) else one_line(error)
    return text if isinstance(error, OSError) or kind == text else f"{kind}: {text}"
