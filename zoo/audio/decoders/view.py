"""A file seen in pieces: some of its stretches in order, with bytes of ours between them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

Piece = bytes | tuple[int, int]
"""bytes of our own, or (offset, length) in the file"""


class View(io.RawIOBase):
    """A read-only, seekable stream of the pieces of a file, for decoders that take any stream."""

    def __init__(self, path: Path, pieces: tuple[Piece, ...]) -> None:
        """Raises OSError if the file cannot be opened."""
        self._file = path.open("rb", buffering=0)
        self._pieces, self._ends, end = pieces, [], 0
        for piece in pieces:
            end += len(piece) if isinstance(piece, bytes) else piece[1]
            self._ends.append(end)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view, done, start = memoryview(buffer).cast("B"), 0, 0
        for piece, end in zip(self._pieces, self._ends):
            if done < len(view) and start <= self._position < end:
                n = min(len(view) - done, end - self._position)
                inside = self._position - start
                if isinstance(piece, bytes):
                    view[done : done + n] = piece[inside : inside + n]
                else:
                    self._file.seek(piece[0] + inside)
                    n = self._file.readinto(view[done : done + n]) or 0
                done += n
                self._position += n
            start = end
        return done

    def close(self) -> None:
        self._file.close()
        super().close()
