"""One run directory, one run: a lock that vanishes with its holder, however that ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import sys
from pathlib import Path

from zoo.errors import ZooError

NAME = ".lock"
HELD = (errno.EAGAIN, errno.EACCES)


class RunLock:
    """An exclusive lock on `workdir/.lock`, which says who holds it; a killed process holds nothing any more.

    On a file system without locks a warning takes its place.
    """

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._place = workdir / NAME
        self._file: int | None = None
        self._warned = False

    def acquire(self, *, create: bool = True) -> None:
        """Takes the lock; a no-op where this object has it, or, without `create`, where nobody ever did.

        Raises ZooError, which names the holder, where another run has it.
        """
        while self._file is None and not self._warned and (create or self._place.exists()):
            try:
                if create:
                    self._workdir.mkdir(parents=True, exist_ok=True)
                file = os.open(self._place, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise ZooError(f"{self._workdir} cannot be written to: {error.strerror}") from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = " ".join(os.pread(file, 200, 0).decode(errors="replace").split())
                os.close(file)
                if error.errno in HELD:
                    raise ZooError(
                        f"{self._workdir} is in use by another run ({holder or 'holder unknown'}): wait until it ends, "
                        "or take another --workdir"
                    ) from None
                print(
                    f"warning: {self._place} cannot be locked ({error.strerror}): nothing keeps a second run out of "
                    f"{self._workdir}",
                    file=sys.stderr,
                )
                self._warned = True
                return
            if not self._is_current(file):  # its last holder deleted it between the two calls
                os.close(file)
                continue
            self._file = file
            with contextlib.suppress(OSError):  # a full disk: then the lock is nameless
                os.ftruncate(file, 0)
                os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _is_current(self, file: int) -> bool:
        try:
            there = os.stat(self._place)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(file))

    def release(self) -> None:
        """Gives the lock back and deletes its file; may be called without having it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._place)
            os.close(self._file)
            self._file = None


def is_unused(workdir: Path) -> bool:
    """Whether a folder holds nothing but, maybe, the lock of a run that was killed before it wrote anything."""
    return not any(path.name != NAME for path in workdir.iterdir())
