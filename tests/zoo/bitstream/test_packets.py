"""The push parser: the same packets and refusals however the bytes are cut, in linear time and constant memory."""

from __future__ import annotations

import io
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.zoo.bitstream import fuzz, fuzz_packets
from tests.zoo.bitstream.pipe import Pipe
from tests.zoo.reference import container as reference
from zoo import BitstreamError
from zoo.bitstream import layout
from zoo.bitstream.container import ContainerReader, Header
from zoo.bitstream.packets import PacketParser

HEADER = layout.pack_header(Header(bytes(range(16)), 44100, 2, 75))
SEED = layout.seed(HEADER)
some = settings(max_examples=60, deadline=None, derandomize=True)


def packed(n: int, *, final: dict[int, int] | None = None) -> list[bytes]:
    """Packets that grow, so that no two groups of eight are of a length; those in `final` are marked as the last."""
    return [layout.pack_packet(SEED, k, k % 3, bytes(k), (final or {}).get(k)) for k in range(n)]


def groups(packets: list[bytes]) -> list[int]:
    return [sum(map(len, packets[k : k + 8])) for k in range(0, len(packets), 8)]


def trailer(packets: list[bytes], *, n_packets: int | None = None, table: list[int] | None = None) -> bytes:
    counted = len(packets) if n_packets is None else n_packets
    return layout.pack_trailer(SEED, 700, counted, groups(packets) if table is None else table)


def refitted(
    trailer: bytes, *, table: bytes | None = None, length: int | None = None, end: bytes = b"CAZ\x89"
) -> bytes:
    """A trailer with some of its parts replaced, and a checksum that fits."""
    data = trailer[:13] + (trailer[13:-12] if table is None else table)
    data += (len(data) + 12 if length is None else length).to_bytes(4, "little")
    return data + reference.crc(HEADER[-4:] + data).to_bytes(4, "little") + end


def long_varint(value: int) -> bytes:
    """Of two bytes where three are written."""
    return bytes((value & 0x7F | 0x80, value >> 7 | 0x80, 0))


whole = packed(19, final={18: 7})
many = packed(19)
FAULTS = {
    "a packet after the final one": (
        [*packed(19, final={4: 75}), trailer(packed(19, final={4: 75}))],
        "packet 4 says that it is the last one, but more follows",
    ),
    "a short packet before the last": (
        [*packed(19, final={4: 7}), trailer(packed(19, final={4: 7}))],
        "packet 4 says that it is the last one, but more follows",
    ),
    "two final packets": (
        [*packed(3, final={1: 75, 2: 7}), trailer(packed(3, final={1: 75, 2: 7}))],
        "packet 1 says that it is the last one, but more follows",
    ),
    "a final packet of no frames": ([*packed(2, final={1: 0}), trailer(whole[:2])], "packet 1 .* does not begin as"),
    "one of too many frames": ([*packed(2, final={1: 76}), trailer(whole[:2])], "packet 1 .* does not begin as"),
    "a marker that is none": ([*many[:9], b"\xa6", *many[9:], trailer(many)], "packet 9 .* does not begin as"),
    "another one at the end": ([*many, b"\x5b", trailer(many)], "packet 19 .* does not begin as"),
    "a packet left out": ([*many[:3], *many[4:], trailer(many)], "packet 3 .* its checksum differs"),
    "a group left out": ([*many[:16], trailer(many)], "the trailer counts 19 packets, but there are 16"),
    "a packet not counted": ([*many, trailer(many, n_packets=18)], "the trailer counts 18 packets, but there are 19"),
    "entries swapped": ([*many, trailer(many, table=[*groups(many)[1::-1], groups(many)[2]])], "seek table"),
    "an entry too large": ([*many, trailer(many, table=[*groups(many)[:2], groups(many)[2] + 1])], "seek table"),
    "an entry too small": ([*many, trailer(many, table=[groups(many)[0] - 1, *groups(many)[1:]])], "seek table"),
    "bytes moved between entries": (
        [*many, trailer(many, table=[a + b for a, b in zip(groups(many), (1, -1, 0))])],
        "seek table",
    ),
    "an entry missing": ([*many, trailer(many, table=groups(many)[:2])], "seek table"),
    "an entry in excess": ([*many, trailer(many, table=[*groups(many), 56])], "checksum or end differs"),
    "an entry longer than it need be": (
        [*many, refitted(trailer(many), table=b"".join(map(long_varint, groups(many))))],
        "seek table",
    ),
    "another length of the trailer": ([*many, refitted(trailer(many), length=30)], "checksum or end differs"),
    "another end": ([*many, refitted(trailer(many), end=b"CAZ\x88")], "checksum or end differs"),
    "a byte after the trailer": ([*whole, trailer(whole), b"\0"], "the trailer is followed by other bytes"),
    "another file after the trailer": ([*whole, trailer(whole), HEADER, trailer([])], "followed by other bytes"),
    "no trailer": (whole, r"the file ends before packet 19 \(byte \d+\), without a trailer"),
    "half a trailer": ([*whole, trailer(whole)[:20]], "the file ends inside its trailer"),
    "half a packet": ([*whole[:-1], whole[-1][:-1]], r"the file ends inside packet 18 \(byte \d+\)"),
}


def cuts(blob: bytes, size: int) -> list[bytes]:
    return [blob[k : k + size] for k in range(0, len(blob), size)]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_format_has_a_reader_refuse_is_refused_however_it_comes(fault):
    parts, message = FAULTS[fault]
    blob = HEADER + b"".join(parts)
    with pytest.raises(reference.Refused):
        reference.read(blob)
    with pytest.raises(BitstreamError):
        list(ContainerReader(io.BytesIO(blob)))
    with pytest.raises(BitstreamError, match=message):
        list(ContainerReader(Pipe(blob, 9)))
    for size in (1, 5, len(blob)):
        parser = PacketParser()
        with pytest.raises(BitstreamError, match=message):  # noqa: PT012  # at some byte, or at the end
            for piece in cuts(blob, size):
                parser.push(piece)
            parser.finish()
        with pytest.raises(BitstreamError, match=message):  # and it stays so
            parser.finish()


def test_the_faults_above_are_the_only_ones_in_their_files():
    for packets in (whole, many):
        blob = HEADER + b"".join(packets) + trailer(packets)
        assert len(reference.read(blob).packets) == 19
        assert refitted(trailer(packets)) == trailer(packets)
        parser = PacketParser()
        assert len(parser.push(blob)) == 19
        assert parser.finish() == parser.finish() == parser.trailer


@some
@given(st.lists(st.binary(max_size=300), max_size=30), st.none() | st.integers(1, 75), st.data())
def test_packets_come_with_their_last_byte_whatever_the_pieces(payloads, final, data):
    blob = fuzz.container_of(payloads, final=final)
    ends = [end for _, end in fuzz._packets(blob)]
    parser, given, found = PacketParser(), 0, []
    while given < len(blob):
        size = data.draw(st.sampled_from([1, 2, 7, 33, 100, 2000]))
        found += parser.push(blob[given : given + size])
        given = min(given + size, len(blob))
        assert len(found) == parser.n_packets == sum(end <= given for end in ends)
        assert (parser.header is not None) == (given >= layout.HEADER_LENGTH)
        assert (parser.trailer is not None) == (given == len(blob))
    assert found == list(ContainerReader(io.BytesIO(blob)))
    assert parser.finish().n_samples == 44100 * len(payloads)


@some
@given(st.lists(st.binary(max_size=300), max_size=30), st.none() | st.integers(1, 75))
def test_as_many_bytes_are_wanted_as_the_next_packet_takes(payloads, final):
    blob = fuzz.container_of(payloads, final=final)
    ends = [end for _, end in fuzz._packets(blob)]
    parser, given, reads = PacketParser(), 0, 0
    while parser.wanted:
        size, reads = parser.wanted, reads + 1
        found = parser.push(blob[given : given + size])
        given += size
        assert bool(found) == (given in ends)  # no packet waits for bytes of the next
    assert given == len(blob)
    assert reads <= 2 + 2 * len(payloads) + 4  # header, packets, trailer


def test_a_parser_goes_on_at_any_packet_of_a_file_whose_trailer_is_known():
    blob = HEADER + b"".join(whole) + trailer(whole)
    spans = fuzz._packets(blob)
    parser = PacketParser()
    expected = parser.push(blob)
    known = parser.finish()
    for first, (start, _) in enumerate(spans):
        later = parser.at(known, first, start)
        assert later.push(blob[start : spans[-1][1]]) == expected[first:]
        assert (later.wanted, later.finish()) == (0, known)
        with pytest.raises(BitstreamError, match=r"its checksum differs|does not begin as a packet"):
            parser.at(known, first, start).push(blob[start + 1 :])
    with pytest.raises(BitstreamError, match=r"packet 8 .* is not where the seek table says"):
        parser.at(known, 8, spans[8][0] + 1)
    early = packed(19, final={4: 7})
    reader = ContainerReader(io.BytesIO(HEADER + b"".join(early) + trailer(early)))
    with pytest.raises(BitstreamError, match="packet 4 says that it is the last one, but more follows"):
        reader.packet(4)
    with pytest.raises(BitstreamError, match="the file ends before packet 3"):
        parser.at(known, 3, spans[3][0]).finish()
    with pytest.raises(BitstreamError, match="more packets than the 4294967295"):
        parser.at(known, 2**32 - 1, spans[3][0]).push(blob[spans[3][0] :])


def test_what_only_the_model_knows_is_checked_as_it_comes():
    blob = HEADER + b"".join(whole) + trailer(whole)

    def refusal(size: int, **known) -> str:
        parser = PacketParser()
        parser.expect(packet_s=1.0, **known)
        try:
            for piece in cuts(blob, size):
                parser.push(piece)
        except BitstreamError as error:
            return str(error)
        return "nothing"

    for size in (1, len(blob)):
        assert refusal(size) == "nothing"
        assert refusal(size, n_levels=2) == "packet 2 (at 0:02) has level 2; the model has 2"
        assert refusal(size, n_frames=lambda n: 75 * 18 + n // 100) == "nothing"
        assert "take 20 packets, but the trailer counts 19" in refusal(size, n_frames=lambda n: 20 * 75)
        assert "take 1358 frames, but the file has 1357" in refusal(size, n_frames=lambda n: 75 * 18 + 8)


def test_time_is_linear_and_memory_constant_however_small_the_pieces():
    payload = bytes(400_000)
    one = fuzz.container_of([payload])
    started = time.process_time()
    parser = PacketParser()
    assert sum(len(parser.push(one[k : k + 1])) for k in range(len(one))) == 1
    assert time.process_time() - started < 5  # 0.2 s; minutes if each push looked at, or moved, all that is there

    packets = [layout.pack_packet(SEED, k, 0, bytes(10)) for k in range(30_000)]
    parser = PacketParser()
    parser.push(HEADER)
    tracemalloc.start()
    try:
        for packet in packets:
            parser.push(packet[:9])
            parser.push(packet[9:])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000  # a list of the packets' lengths would take half a megabyte
    assert parser.push(layout.pack_trailer(SEED, 1, 30_000, groups(packets))) == []
    assert parser.finish().n_packets == 30_000


def test_a_length_that_is_a_lie_takes_no_memory():
    lie = HEADER + b"\xa5\x00\xff\xff\x7f" + bytes(10)
    parser = PacketParser()
    tracemalloc.start()
    try:
        assert parser.push(lie) == []
        with pytest.raises(BitstreamError, match="ends inside packet 0"):
            list(ContainerReader(Pipe(lie, 1000)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert parser.wanted > 2_000_000 > 200_000 > peak


def test_mutated_files_get_the_same_verdict_pushed_piped_and_read():
    # for as many files as one likes: python tests/zoo/bitstream/fuzz.py --target ...fuzz_packets:packets
    outcomes = fuzz.run(fuzz_packets.packets(), files=500)
    assert min(outcomes["refused"], outcomes["accepted"]) > 20
