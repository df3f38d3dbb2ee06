"""A pipe that counts what it has given."""

from __future__ import annotations

import io
from typing import Any


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives few bytes at a time; `given` counts them."""

    def __init__(self, data: bytes, most: int = 5) -> None:
        self._data, self._most, self.given = data, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self.given : self.given + min(self._most, len(buffer))]
        buffer[: len(piece)] = piece
        self.given += len(piece)
        return len(piece)
