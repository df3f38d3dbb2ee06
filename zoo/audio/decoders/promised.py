"""How many bytes of samples a header promises, and how many are there: libsndfile quietly takes what there is.

Sources: Apple's AIFF-C draft (1991) and Core Audio Format specification, Sun's audio(5), Sony's Wave64, Microsoft's
RIFF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

_OPEN_ENDED = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


@dataclass(frozen=True)
class Extent:
    """Bytes of samples that a header promises, and that are in the file behind it."""

    promised: int
    present: int
    n_samples: int | None = None
    """how many samples that is, where the header says it by itself"""

    def samples(self, n_read: int) -> int:
        """How many samples are promised, of which so many were found in the bytes that are there."""
        return self.n_samples or round(n_read * self.promised / max(self.present, 1))

    @property
    def is_cut(self) -> bool:
        """Whether less is there than is promised."""
        return self.present < self.promised


@dataclass(frozen=True)
class _Layout:
    """How a format writes its chunks: where they begin, their names and sizes, and which one has the samples."""

    start: int
    name_bytes: int
    size_bytes: int
    order: Literal["big", "little"]
    wanted: bytes
    align: int
    counts_head: bool = False


_NIST_FIELD = re.compile(rb"^(\w+) -i (\d+)", re.MULTILINE)
_LAYOUTS = {
    b"FORM": _Layout(12, 4, size_bytes=4, order="big", wanted=b"SSND", align=2),
    b"RIFF": _Layout(12, 4, size_bytes=4, order="little", wanted=b"data", align=2),
    b"RIFX": _Layout(12, 4, size_bytes=4, order="big", wanted=b"data", align=2),
    b"caff": _Layout(8, 4, size_bytes=8, order="big", wanted=b"data", align=1),
    b"riff": _Layout(40, 16, size_bytes=8, order="little", wanted=_W64_DATA, align=8, counts_head=True),
}


def extent(path: Path) -> Extent | None:
    """Finds the extent of the samples of AIFF, AU, CAF, W64, VOC, NIST or RIFF; None for others and open lengths."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(1024)
        if head[:4] in (b".snd", b"dns."):
            order: Literal["big", "little"] = "big" if head[:4] == b".snd" else "little"
            found: tuple[int, int, int | None] | None = (
                int.from_bytes(head[8:12], order),
                int.from_bytes(head[4:8], order),
                None,
            )
        elif head.startswith(b"Creative Voice File\x1a"):
            start = int.from_bytes(head[20:22], "little")  # of the first block; libsndfile writes no other
            found = (int.from_bytes(head[start + 1 : start + 4], "little"), start + 4, None)
        elif head.startswith(b"NIST_1A\n"):
            found = _nist(head)
        else:
            layout = _LAYOUTS.get(head[:4])
            found = _samples(stream, size, layout) if layout else None
    if found is None or found[0] in _OPEN_ENDED:
        return None
    promised, start, n_samples = found
    return Extent(promised, max(size - start, 0), n_samples)


def _nist(head: bytes) -> tuple[int, int, int] | None:
    fields = dict(_NIST_FIELD.findall(head))
    try:
        n, n_bytes, channels = (int(fields[b]) for b in (b"sample_count", b"sample_n_bytes", b"channel_count"))
        return n * n_bytes * channels, int(head[8:16]), n
    except (KeyError, ValueError):
        return None


def _samples(stream: BinaryIO, size: int, layout: _Layout) -> tuple[int, int, int | None] | None:
    """Size and place of the chunk with the samples; their number by a chunk `fact` before it."""
    place, n_head = layout.start, layout.name_bytes + layout.size_bytes
    n_samples = None
    while place + n_head <= size:
        stream.seek(place)
        head = stream.read(n_head)
        n_bytes = int.from_bytes(head[layout.name_bytes :], layout.order) - (n_head if layout.counts_head else 0)
        if head[: layout.name_bytes] == layout.wanted:
            return n_bytes, place + n_head, n_samples
        if head[: layout.name_bytes] == b"fact" and n_bytes >= 4:
            n_samples = int.from_bytes(stream.read(4), layout.order)
        if n_bytes < 0:
            return None
        place += n_head + n_bytes
        place += -place % layout.align
    return None
