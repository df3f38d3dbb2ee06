"""Targets of the fuzzer that push bytes, cut at random places, as a stream does.

    python tests/zoo/bitstream/fuzz.py --target tests.zoo.bitstream.fuzz_packets:packets

`packets` ends at packets, `streams` at the samples of a StreamDecoder. Whatever the cuts, both must give and refuse
what readers of whole files do, the one in plain Python among them.
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.zoo.bitstream import fuzz, fuzz_codec
from tests.zoo.bitstream.fuzz import Failure, Target
from tests.zoo.bitstream.pipe import Pipe
from tests.zoo.conftest import make
from tests.zoo.reference import container as reference
from zoo.bitstream.container import ContainerReader
from zoo.bitstream.layout import Packet
from zoo.bitstream.packets import PacketParser
from zoo.coding import StreamDecoder
from zoo.errors import BitstreamError

Contents = tuple[int, int, bytes]
"""level, frames, payload of a packet"""


@dataclass(frozen=True)
class Verdict:
    """What a strict reader makes of a file."""

    packets: list[Contents]
    """those before the fault, if there is one"""
    n_samples: int | None
    refusal: str | None


def packets() -> Target:
    """The push parser, and the two ways in which ContainerReader drives it."""
    return Target(fuzz.container().originals, _packets, _lenient_pipe, fuzz._is_part_of)


def streams() -> Target:
    """StreamDecoder against `decompress`; what it gives out before a fault must be the beginning of the original."""
    return Target(
        fuzz_codec._originals(), _audio, lambda blob: _streamed(blob)[0], lambda a, b: b.startswith(a), 5.0,
        fuzz_codec._memory,
    )  # fmt: skip


def pieces(blob: bytes) -> Iterator[bytes]:
    """The file cut at random places: always the same ones for the same file."""
    rng = random.Random(zlib.crc32(blob))
    most = rng.choice((1, 3, 40, 1000, 1 << 20))
    start = 0
    while start < len(blob):
        size = rng.randint(0, most)
        yield blob[start : start + size]
        start += size


def pushed(blob: bytes) -> Verdict:
    """What PacketParser makes of the pieces."""
    parser, found = PacketParser(), list[Packet]()
    try:
        for piece in pieces(blob):
            found += parser.push(piece)
        trailer = parser.finish()
    except BitstreamError as error:
        return Verdict(_contents(found), None, str(error))
    return Verdict(_contents(found), trailer.n_samples, None)


def _contents(found: list[Packet]) -> list[Contents]:
    return [(packet.level, packet.n_frames, packet.payload) for packet in found]


def _read(stream: Any) -> Verdict:
    found: list[Packet] = []
    try:
        reader = ContainerReader(stream)
        found.extend(reader)
    except BitstreamError as error:
        return Verdict(_contents(found), None, str(error))
    return Verdict(_contents(found), reader.n_samples, None)


def _packets(blob: bytes) -> reference.File:
    try:
        expected = reference.read(blob)
    except reference.Refused:
        expected = None
    file, pipe, push = _read(io.BytesIO(blob)), _read(Pipe(blob, 1 + len(blob) % 50)), pushed(blob)
    for name, verdict in (("file", file), ("pipe", pipe), ("push", push)):
        if expected is None:
            if verdict.refusal is None:
                raise Failure(f"{name}: accepted, but the reference reader refuses it")
        elif verdict != Verdict(expected.packets, expected.n_samples, None):
            raise Failure(f"{name}: refused, or read as something else than by the reference reader")
    if expected is not None:
        first = len(blob) % (len(expected.packets) + 1)
        if _contents(list(ContainerReader(io.BytesIO(blob)).packets(first))) != expected.packets[first:]:
            raise Failure(f"another file from packet {first} on")
        return expected
    if push.refusal != pipe.refusal or push.packets != pipe.packets[: len(push.packets)]:
        raise Failure(f"pushed: {push.refusal}, from a pipe: {pipe.refusal}")
    raise BitstreamError(push.refusal)


def _lenient_pipe(blob: bytes) -> dict[int, Contents]:
    reader = ContainerReader(Pipe(blob, 1 + len(blob) % 500), lenient=True)
    return {p.index: (p.level, p.n_frames, p.payload) for p in reader if not p.damaged}


def _audio(blob: bytes) -> bytes:
    try:
        expected = fuzz_codec._audio(blob)
    except BitstreamError:
        expected = None
    found, refusal = _streamed(blob)
    if (found if refusal is None else None) != expected:
        raise Failure(f"streamed: {refusal or len(found)}, as a file {expected and len(expected)}")
    if refusal is not None:
        raise refusal
    return found


def _streamed(blob: bytes) -> tuple[bytes, BitstreamError | None]:
    """The samples that come out of a StreamDecoder before it refuses the file, if it does."""
    name = "gan_vocoder" if make("gan_vocoder").digest == blob[7:23] else "vae"
    decoder, found = StreamDecoder(make(name).engine), list[np.ndarray]()
    try:
        for piece in pieces(blob):
            found.append(decoder.push(piece))
        found.append(decoder.finish())
    except BitstreamError as error:
        return np.concatenate([*found, decoder._silence]).tobytes(), error
    return np.concatenate(found).tobytes(), None
