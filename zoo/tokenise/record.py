"""What a unit of work came to, as its record says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shard:
    """A file of rows."""

    files: list[str]
    """one, or two of the format npy: their names below the output"""
    rows: int
    bytes: int
    sha256: str
    """of the files one after the other"""


@dataclass
class Record:
    """What a unit came to."""

    unit: int
    clips: int = 0
    rows: int = 0
    seconds: float = 0.0
    """of audio"""
    shards: list[Shard] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=dict)
    """what became of clips with more than two channels, and of how many"""

    def fail(self, key: str, source: str, reason: str) -> None:
        self.errors.append({"key": key, "source": source, "reason": reason})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
