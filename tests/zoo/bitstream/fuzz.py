"""Mutated files against a decoder: `python tests/zoo/bitstream/fuzz.py --files 200000 --seed 0`.

File k of a seed is always the same; `--first k --files 1` repeats one. What is decoded is a `Target`, by default the
container alone; `--target module:function` names a function without arguments that returns another. A mutated file must
either be refused by BitstreamError with one line, or give what the original gives; one that was crafted, with checksums
that fit, may give anything, but in time and within memory that its bytes justify. Memory is measured for one in eight.
"""

from __future__ import annotations

import argparse
import importlib
import io
import random
import signal
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.zoo.reference import container as reference
from zoo.bitstream import layout
from zoo.bitstream.container import ContainerReader, ContainerWriter, Header
from zoo.errors import BitstreamError


@dataclass(frozen=True)
class Target:
    """Something that decodes files; results of `strict` are compared by ==."""

    originals: Sequence[bytes]
    strict: Callable[[bytes], Any]
    """of a file, or raises BitstreamError"""
    lenient: Callable[[bytes], Any]
    """of a file that may be damaged, or raises BitstreamError"""
    is_part_of: Callable[[Any, Any], bool]
    """whether a lenient result equals the original's strict one (given second) but for what it declares damaged"""
    limit_s: float = 1.0
    """of processor time for a file"""
    memory: Callable[[int], int] = lambda n_bytes: (1 << 18) + 96 * n_bytes
    """bytes that a file of so many may take at most while it is decoded"""


class Failure(AssertionError):
    """A file that broke the rules."""


class _Hang(BaseException):
    pass


def container() -> Target:
    """The container alone: files of 0 to 40 packets, and the reference reader must agree on each mutation."""
    rng = random.Random(1)
    originals = []
    for n_packets in (0, 1, 2, 3, 8, 9, 17, 40):
        payloads = [rng.randbytes(rng.choice((0, 1, 9, 60, 127, 128, 300))) for _ in range(n_packets)]
        # headers differ, or a packet of one file would fit into another's same place
        originals.append(
            container_of(
                payloads, final=rng.choice((None, 5)), mid_side=n_packets % 2 == 0, sample_rate=8000 + n_packets
            )
        )
    return Target(originals, _strict, _lenient, _is_part_of)


def container_of(
    payloads: Sequence[bytes], *, final: int | None = None, mid_side: bool = False, sample_rate: int = 44100
) -> bytes:
    """A file of these payloads, the last packet marked as the final one where its number of frames is given."""
    stream = io.BytesIO()
    writer = ContainerWriter(stream, Header(bytes(range(16)), sample_rate, 2, 75, mid_side))
    for index, payload in enumerate(payloads):
        writer.write(index % 5, payload, final if index == len(payloads) - 1 else None)
    writer.finish(44100 * len(payloads))
    return stream.getvalue()


def _strict(blob: bytes) -> reference.File:
    try:
        expected = reference.read(blob)
    except reference.Refused:
        expected = None
    reader = None
    try:
        reader = ContainerReader(io.BytesIO(blob))
        packets = [(p.level, p.n_frames, p.payload) for p in reader]
    except BitstreamError:
        if expected is not None:
            raise Failure("refused, but accepted by the reference reader") from None
        raise
    header = reader.header
    assert reader.n_samples is not None
    found = reference.File(**vars(header), n_samples=reader.n_samples, packets=packets)
    if found != expected:
        raise Failure("accepted, but the reference reader refuses it or reads something else")
    return found


def _lenient(blob: bytes) -> dict[int, tuple[int, int, bytes]]:
    packets = list(ContainerReader(io.BytesIO(blob), lenient=True))
    if [p.index for p in packets] != list(range(len(packets))):
        raise Failure("packets are not numbered in order")
    return {p.index: (p.level, p.n_frames, p.payload) for p in packets if not p.damaged}


def _is_part_of(found: dict[int, tuple[int, int, bytes]], original: reference.File) -> bool:
    return all(index < len(original.packets) and original.packets[index] == p for index, p in found.items())


def mutate(blob: bytes, other: bytes, rng: random.Random) -> bytes:
    """A file with one to three faults of the kinds that disks, networks and people make."""
    data = bytearray(blob)
    for _ in range(rng.choice((1, 1, 2, 3))):
        a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        b = min(b, a + rng.choice((1, 4, 64, 4096)))
        piece = bytes(data[a:b])
        kind = rng.randrange(9)
        if kind <= 1 and a < len(data):
            data[a] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[a:b] = rng.randbytes(b - a)
        elif kind == 3:
            del data[a:b]
        elif kind == 4:
            data[a:a] = rng.choice((rng.randbytes(b - a), bytes(b - a), piece, layout.END_MAGIC, b"\xa5", b"\x5a"))
        elif kind == 5:
            del data[a:]
        elif kind == 6:  # a part of another file, in its place
            data[a:b] = other[a:b]
        elif kind == 7:  # two neighbouring parts swapped
            middle = (a + b) // 2
            data[a:b] = data[middle:b] + data[a:middle]
        elif kind == 8 and (packets := _packets(bytes(data))):  # whole packets swapped, doubled or dropped
            first, last = rng.choice(packets), rng.choice(packets)
            where = slice(*first)
            data[where] = rng.choice((data[slice(*last)], data[where] * 2, b""))
    return bytes(data)


def _packets(data: bytes) -> list[tuple[int, int]]:
    found, position = [], layout.HEADER_LENGTH
    while (head := layout.unpack_head(data, position, layout.MAX_PACKET_FRAMES)) is not None:
        found.append((position, head.checksum + 4))
        position = head.checksum + 4
    return found


def craft(blob: bytes, rng: random.Random) -> bytes:
    """A file whose checksums fit, but with wild values in it: what someone makes who knows the format."""

    def wild(*usual: int, bits: int) -> int:
        return rng.choice((*usual, *usual, 0, 1, rng.getrandbits(bits), (1 << bits) - 1)) & (1 << bits) - 1

    header = bytearray(blob[: layout.HEADER_LENGTH - 4])
    if rng.random() < 0.3:
        header[4] = wild(1, bits=8)
        header[6] = wild(0, 1, bits=8)
        header[23:27] = wild(8000, 44100, bits=32).to_bytes(4, "little")
        header[27] = wild(1, 2, bits=8)
        header[28:30] = wild(75, bits=16).to_bytes(2, "little")
    if rng.random() < 0.3:
        header += rng.randbytes(rng.choice((0, 1, 7, 100)))
        header[5] = len(header) + 4 if rng.random() < 0.9 else wild(34, bits=8)
    data = bytearray(header) + crc_of(header)
    seed = layout.seed(bytes(data))
    groups: list[int] = []
    n_packets = rng.choice((0, 1, 3, 8, 9, 30))
    for k in range(n_packets):
        index = k if rng.random() < 0.95 else wild(k + 1, bits=32)
        payload = rng.randbytes(rng.choice((0, 1, 20, 200)))
        if rng.random() < 0.1:  # a packet inside a packet
            payload += layout.pack_packet(seed, wild(k, k + 1, bits=32), 0, b"inside") + payload
        final = rng.choice((75, 1, wild(5, bits=12))) if k == n_packets - 1 or rng.random() < 0.03 else None
        packet = layout.pack_packet(seed, index, wild(0, bits=8), payload, final)
        if rng.random() < 0.05:  # a length that is no shortest one, or far too large
            packet = packet[:2] + rng.choice((b"\x80\x00", b"\xff\xff\x7f", b"\xff\xff\xff\x7f")) + packet[3:-4]
            packet += layout.packet_checksum(seed, index, packet).to_bytes(4, "little")
        data += packet
        groups[-1:] = [groups[-1] + len(packet)] if k % layout.GROUP else [*groups[-1:], len(packet)]
    if groups and rng.random() < 0.1:
        groups[rng.randrange(len(groups))] = wild(0, bits=28)
    n_counted = n_packets if rng.random() < 0.85 else wild(n_packets + 1, bits=32)
    if rng.random() < 0.05:
        groups = [7 * layout.GROUP] * rng.choice((1, 1000))
    data += layout.pack_trailer(seed, wild(44100, bits=64), n_counted, groups)
    if rng.random() < 0.1:
        data += rng.choice((b"\0", layout.END_MAGIC, bytes(data[-40:])))
    return bytes(data)


def crc_of(data: bytes | bytearray) -> bytes:
    return reference.crc(bytes(data)).to_bytes(4, "little")


def run(target: Target, *, files: int, seed: int = 0, first: int = 0, progress: bool = False) -> Counter[str]:
    """Decodes that many mutated files and counts what became of them; raises Failure, which names the file."""
    expected = [target.strict(blob) for blob in target.originals]
    for blob, result in zip(target.originals, expected):
        if not target.is_part_of(target.lenient(blob), result):
            raise Failure("an undamaged file differs when it is read leniently")
    outcomes: Counter[str] = Counter()
    started = time.monotonic()
    for k in range(first, first + files):
        rng = random.Random(f"{seed}/{k}")
        which = rng.randrange(len(target.originals))
        original, crafted = target.originals[which], rng.random() < 0.25
        blob = craft(original, rng) if crafted else mutate(original, rng.choice(target.originals), rng)
        # an intact file of other contents comes out when faults cancel, or replace all of it
        is_other = crafted or blob in target.originals
        try:
            result = _guarded(target.strict, blob, target, measure=k % 8 == 0)
            if not is_other and not isinstance(result, BitstreamError) and result != expected[which]:
                raise Failure("decodes to something else without an error")
            outcomes["refused" if isinstance(result, BitstreamError) else "accepted"] += 1
            found = _guarded(target.lenient, blob, target, measure=k % 8 == 0)
            is_foreign = is_other or blob[: layout.HEADER_LENGTH] != original[: layout.HEADER_LENGTH]
            if (
                not is_foreign
                and not isinstance(found, BitstreamError)
                and not target.is_part_of(found, expected[which])
            ):
                raise Failure("lenient: decodes to something else without saying so")
            outcomes["lenient refused" if isinstance(found, BitstreamError) else "lenient accepted"] += 1
        except Failure as failure:
            raise Failure(f"file {k} of seed {seed} ({len(blob)} bytes): {failure}") from failure.__cause__
        if progress and (k + 1 - first) % 10_000 == 0:
            print(f"{k + 1 - first} files, {time.monotonic() - started:.0f} s: {dict(outcomes)}", flush=True)
    return outcomes


def _guarded(decode: Callable[[bytes], Any], blob: bytes, target: Target, *, measure: bool) -> Any:
    """What `decode` returns, or the BitstreamError that it raises; any other end is a Failure."""

    def stop(*_: Any) -> None:
        raise _Hang

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, target.limit_s)
    if measure:
        tracemalloc.start()
    try:
        result: Any = decode(blob)
    except BitstreamError as error:
        result = error
        if "\n" in str(error) or not str(error):
            raise Failure(f"not a one-line message: {str(error)!r}") from None
    except _Hang:
        raise Failure(f"takes more than {target.limit_s} s") from None
    except Failure:
        raise
    except Exception as error:
        raise Failure(f"raises {type(error).__name__}: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        peak = tracemalloc.get_traced_memory()[1]  # 0 where nothing is traced
        tracemalloc.stop()
    if peak > target.memory(len(blob)):
        raise Failure(f"takes {peak} bytes of memory")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument(
        "--target", default="tests.zoo.bitstream.fuzz:container", help="module:function that returns a Target"
    )
    arguments = parser.parse_args()
    module, function = arguments.target.split(":")
    target = getattr(importlib.import_module(module), function)()
    try:
        outcomes = run(target, files=arguments.files, seed=arguments.seed, first=arguments.first, progress=True)
    except AssertionError as failure:
        sys.exit(f"failed: {failure}")
    print(f"{arguments.files} files, none failed: {dict(outcomes)}")


if __name__ == "__main__":
    # as the module that targets import, whose Failure this script's own would not be
    importlib.import_module("tests.zoo.bitstream.fuzz").main()
