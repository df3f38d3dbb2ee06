"""The container: exact contents, sizes, positions, and what becomes of damaged ones, against a reader of its own."""

from __future__ import annotations

import io
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from tests.zoo.bitstream import fuzz
from tests.zoo.bitstream.pipe import Pipe
from tests.zoo.reference import container as reference
from zoo import BitstreamError
from zoo.bitstream import layout
from zoo.bitstream.container import ContainerReader, ContainerWriter, Header, Packet

some = settings(max_examples=60, deadline=None, derandomize=True)
PAGE = (Path(zoo.__file__).parent / "bitstream" / "FORMAT.md").read_text(encoding="utf-8")


def some_payloads(n: int, seed: int = 0) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(rng.choice((0, 1, 30, 127, 128, 700))) for _ in range(n)]


def spans(blob: bytes) -> list[tuple[int, int]]:
    return fuzz._packets(blob)


def leniently(blob: bytes, pipe: bool = False) -> list[Packet]:
    return list(ContainerReader(Pipe(blob) if pipe else io.BytesIO(blob), lenient=True))


payload_lists = st.lists(st.binary(max_size=300), max_size=30)


@some
@given(payload_lists, st.none() | st.integers(1, 75), st.booleans(), st.booleans(), st.booleans())
def test_what_is_read_is_what_was_written(payloads, final, mid_side, pipe, lenient):
    blob = fuzz.container_of(payloads, final=final, mid_side=mid_side)
    reader = ContainerReader(Pipe(blob) if pipe else io.BytesIO(blob), lenient=lenient)
    assert reader.header == Header(bytes(range(16)), 44100, 2, 75, mid_side)
    if not pipe:
        assert (reader.n_samples, reader.n_packets) == (44100 * len(payloads), len(payloads))
    frames = [75] * len(payloads)
    if payloads and final:
        frames[-1] = final
    expected = [Packet(k, k % 5, f, p) for k, (f, p) in enumerate(zip(frames, payloads))]
    assert list(reader) == expected
    assert (reader.n_samples, reader.n_packets, reader.truncated) == (44100 * len(payloads), len(payloads), False)
    other = reference.read(blob)
    assert other.packets == [(p.level, p.n_frames, p.payload) for p in expected]
    assert (other.n_samples, other.mid_side, other.sample_rate) == (44100 * len(payloads), mid_side, 44100)


def test_the_pages_example_is_what_the_writer_writes():
    lines = re.search(r"## Example.*?```\n(.*?)```", PAGE, re.S).group(1)
    stream = io.BytesIO()
    writer = ContainerWriter(stream, Header(bytes(range(16)), 44100, 2, 75, mid_side=True))
    writer.write(3, bytes([1, 2, 3, 4]))
    writer.write(2, b"\xff", 11)
    writer.finish(50593)
    assert stream.getvalue() == bytes.fromhex(lines)
    assert writer.n_bytes == len(stream.getvalue())
    assert layout.pack_varint(300) == bytes.fromhex("ac02")
    assert reference.crc(b"123456789") == 0xCBF43926


@pytest.mark.parametrize("size", [0, 127, 128, 16383, 16384, layout.MAX_PAYLOAD])
def test_overhead_is_at_most_ten_bytes_a_packet_and_128(size):
    for n in (0, 1, 7, 9) if size > 20000 else (0, 1, 7, 9, 800):
        blob = fuzz.container_of([bytes(size)] * n, final=75)
        assert len(blob) - n * size <= 10 * n + 128
        assert len(blob) - n * size <= 61 + n * (6 + len(layout.pack_varint(size))) + 4 * -(-n // 8)


@some
@given(payload_lists.filter(len), st.none() | st.integers(1, 75), st.data())
def test_any_packet_can_be_read_alone_and_while_others_are(payloads, final, data):
    blob = b"something before it" + fuzz.container_of(payloads, final=final)
    index = data.draw(st.integers(0, len(payloads) - 1))
    for lenient in (False, True):
        stream = io.BytesIO(blob)
        stream.seek(19)
        reader = ContainerReader(stream, lenient=lenient)
        everything = iter(reader)
        first = next(everything)
        assert reader.packet(index).payload == payloads[index]
        assert [p.payload for p in reader.packets(index)] == payloads[index:]
        assert [p.payload for p in (first, *everything)] == payloads
        with pytest.raises(BitstreamError, match=f"no packet {len(payloads)}: the file has {len(payloads)}"):
            reader.packet(len(payloads))


def test_a_packet_leaves_at_once_and_is_read_without_waiting_for_more():
    stream = io.BytesIO()
    writer = ContainerWriter(stream, Header(bytes(16), 48000, 1, 50))
    sizes = []
    for payload in some_payloads(20):
        writer.write(0, payload)
        sizes.append(stream.tell())
    writer.finish(0)
    for lenient in (False, True):
        pipe = Pipe(stream.getvalue(), most=1)
        for packet, size in zip(ContainerReader(pipe, lenient=lenient), sizes):
            assert pipe.given == size, packet.index


def test_every_truncation_and_every_flipped_bit_is_refused_and_costs_one_packet_leniently():
    payloads = some_payloads(11, seed=3)
    blob = fuzz.container_of(payloads, final=9)
    where = spans(blob)
    assert len(where) == 11
    for end in range(len(blob)):
        cut = blob[:end]
        for stream in (io.BytesIO(cut), Pipe(cut, 1000)):
            with pytest.raises(BitstreamError):
                list(ContainerReader(stream))
        if end >= layout.HEADER_LENGTH:
            found = leniently(cut)
            assert [p.payload for p in found] == payloads[: sum(b <= end for _, b in where)]
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 1 << position % 8
        for stream in (io.BytesIO(damaged), Pipe(bytes(damaged), 1000)):
            with pytest.raises(BitstreamError):
                list(ContainerReader(stream))
        if position >= layout.HEADER_LENGTH:
            found = leniently(bytes(damaged), pipe=position % 2 == 0)
            hit = [k for k, (a, b) in enumerate(where) if a <= position < b]
            assert [p.index for p in found if p.damaged] == hit
            assert [p.payload for p in found if not p.damaged] == [p for k, p in enumerate(payloads) if [k] != hit]


@some
@given(st.integers(0, 2**20), st.booleans(), st.integers(1, 2000), st.booleans())
def test_bytes_lost_or_put_in_cost_only_the_packets_they_touch(seed, lost, size, pipe):
    payloads = some_payloads(40, seed)
    blob = fuzz.container_of(payloads, final=9)
    where = spans(blob)
    rng = random.Random(seed)
    a = rng.randrange(where[0][0], where[-1][1] - size)
    damaged = blob[:a] + (blob[a + size :] if lost else rng.randbytes(size) + blob[a:])
    b = a + size if lost else a
    hit = {k for k, (start, end) in enumerate(where) if (start < b and a < end) or start < a < end}
    reader = ContainerReader(Pipe(damaged) if pipe else io.BytesIO(damaged), lenient=True)
    found = list(reader)
    assert [p.index for p in found] == list(range(40))
    assert {p.index for p in found if p.damaged} <= hit  # what was put in or lost may equal what it replaces
    assert all(p.damaged or p.payload == payloads[p.index] for p in found)
    assert reader.n_samples == 44100 * 40
    if not pipe:
        assert [p.damaged for p in reader.packets(35)] == [p.damaged for p in found[35:]]


def test_after_a_long_gap_a_packet_counts_only_if_what_follows_confirms_it():
    blob = fuzz.container_of([bytes(100)] * 200, final=9)
    where = spans(blob)
    start, trailer = blob[: where[2][0]], blob[where[-1][1] :]
    rest, last = (blob[where[k][0] : where[-1][1]] for k in (70, 199))

    def intact(blob: bytes, pipe: bool = False) -> list[int]:
        return [p.index for p in leniently(blob, pipe) if not p.damaged]

    # without a trailer the number of bytes must make it possible too: 70 packets do not fit into those of two
    assert intact(start + rest) == [0, 1, *range(73, 200)]
    assert intact(start + bytes(20_000) + rest) == [0, 1, *range(70, 200)]
    assert intact(start + bytes(20_000) + last) == [0, 1]
    assert intact(start + bytes(2_000) + last + trailer) == [0, 1, 199]
    assert intact(start + rest + trailer) == [0, 1, *range(70, 200)]
    assert intact(start + bytes(20_000) + last + trailer, pipe=True) == [0, 1, 199]


def test_a_swapped_doubled_or_foreign_packet_is_noticed_though_its_own_bytes_are_intact():
    blob = fuzz.container_of([b"abc"] * 6)
    (a, b), (c, d) = spans(blob)[2:4]
    swapped = blob[:a] + blob[c:d] + blob[a:b] + blob[d:]
    with pytest.raises(BitstreamError, match=r"packet 2 \(byte 54\) is damaged: its checksum differs"):
        list(ContainerReader(io.BytesIO(swapped)))
    assert [p.damaged for p in leniently(swapped)] == [False, False, True, False, False, False]
    with pytest.raises(BitstreamError, match="bytes are missing or too many"):
        ContainerReader(io.BytesIO(blob[:b] + blob[a:]))
    assert not any(p.damaged for p in leniently(blob[:b] + blob[a:]))
    foreign = fuzz.container_of([b"abc"] * 6, sample_rate=48000)
    with pytest.raises(BitstreamError, match="packet 2"):
        list(ContainerReader(io.BytesIO(blob[:a] + foreign[a:b] + blob[b:])))


def test_what_the_model_knows_is_checked_and_times_stand_in_messages():
    blob = fuzz.container_of(some_payloads(65), final=9)

    def refusal(blob: bytes, pipe: bool = False, **known) -> str:
        reader = ContainerReader(Pipe(blob, 1000) if pipe else io.BytesIO(blob))
        try:
            reader.expect(packet_s=1.0, **known)  # refuses a file at once, but a pipe only at its end
            list(reader)
        except BitstreamError as error:
            return str(error)
        return "nothing"

    assert "packet 4 (at 0:04) has level 4; the model has 4" in refusal(blob, n_levels=4)
    for pipe in (False, True):
        assert "take 66 packets, but the trailer counts 65" in refusal(blob, pipe, n_frames=lambda n: 66 * 75)
        assert "take 4875 frames, but the file has 4809" in refusal(blob, pipe, n_frames=lambda n: 65 * 75)
    damaged = bytearray(blob)
    damaged[spans(blob)[64][1] - 1] ^= 1
    assert refusal(bytes(damaged)) == "packet 64 (at 1:04) is damaged: its checksum differs"

    reader = ContainerReader(io.BytesIO(damaged), lenient=True)
    reader.expect(n_levels=4, n_frames=lambda n: n // 44100 * 75 - 66)
    found = list(reader)
    assert [p.index for p in found if p.damaged] == [*range(4, 64, 5), 64]
    assert (found[64].n_frames, found[63].n_frames) == (9, 75)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((bytes(16), 0, 1, 75), "0 Hz: a .zac file holds 1 to 1000000"),
        ((bytes(16), 1_000_001, 1, 75), "1000001 Hz"),
        ((bytes(16), 8000, 0, 75), "0 channels"),
        ((bytes(16), 8000, 65, 75), "65 channels: a .zac file holds 1 to 64"),
        ((bytes(16), 8000, 1, 0), "0 frames to a packet"),
        ((bytes(16), 8000, 1, 4097), "4097 frames to a packet"),
        ((bytes(16), 8000, 1, 75, True), "mid/side needs 2 channels, not 1"),
        ((bytes(15), 8000, 1, 75), "16 bytes, not 15"),
    ],
)
def test_absurd_headers_are_neither_written_nor_read(fields, message):
    with pytest.raises(BitstreamError, match=re.escape(message)):
        Header(*fields)
    if len(fields[0]) == 16:
        prefix = bytes.fromhex("895a41430122") + bytes([fields[4:] == (True,)])
        data = (
            prefix + fields[0] + fields[1].to_bytes(4, "little") + bytes([fields[2]]) + fields[3].to_bytes(2, "little")
        )
        with pytest.raises(BitstreamError, match=re.escape(message)):
            ContainerReader(io.BytesIO(data + reference.crc(data).to_bytes(4, "little") + bytes(50)))


def test_versions_flags_and_later_fields_of_the_header():
    blob = fuzz.container_of([b"abc"])

    def with_header(data: bytes) -> io.BytesIO:
        header = data + reference.crc(data).to_bytes(4, "little")
        seed = layout.seed(header)
        packet = layout.pack_packet(seed, 0, 0, b"abc")
        return io.BytesIO(header + packet + layout.pack_trailer(seed, 7, 1, [len(packet)]))

    later = with_header(blob[:5] + bytes([37]) + blob[6:30] + b"new")
    assert [p.payload for p in ContainerReader(later)] == [b"abc"]
    assert reference.read(later.getvalue()).n_samples == 7
    with pytest.raises(BitstreamError, match="version 2; this program reads version 1"):
        ContainerReader(io.BytesIO(blob[:4] + b"\x02" + blob[5:]))
    with pytest.raises(BitstreamError, match="a feature that this program lacks"):
        ContainerReader(with_header(blob[:6] + b"\x02" + blob[7:30]))
    for other in (b"", b"RIFF" + bytes(100), b"\x89PNG"):
        with pytest.raises(BitstreamError, match=r"not a \.zac file"):
            ContainerReader(io.BytesIO(other))


def test_the_writer_refuses_what_does_not_fit():
    writer = ContainerWriter(io.BytesIO(), Header(bytes(16), 8000, 1, 75))
    for arguments, message in (
        ((256, b""), "levels 0 to 255"),
        ((0, bytes(layout.MAX_PAYLOAD + 1)), "packet 0 takes 2097152 bytes"),
        ((0, b"", 76), "1 to 75"),
        ((0, b"", 0), "1 to 75"),
    ):
        with pytest.raises(BitstreamError, match=message):
            writer.write(*arguments)
    writer.write(0, b"", 75)
    with pytest.raises(BitstreamError, match="no packet can follow"):
        writer.write(0, b"")


def test_hostile_lengths_and_counts_cost_neither_time_nor_years_of_silence():
    head = fuzz.container_of([])[: layout.HEADER_LENGTH]
    seed = layout.seed(head)
    started = time.process_time()
    for evil in (b"\xa5\x00\xff\xff\x3f", b"\xa5\x00\x80\x80\x04", b"\xa5\xa5\xa5\x00", layout.END_MAGIC):
        assert leniently(head + evil * (100_000 // len(evil))) == []
    assert time.process_time() - started < 10  # half a second; minutes if candidates were hashed one by one
    assert leniently(head + layout.pack_packet(seed, 1 << 31, 0, b"")) == []
    assert leniently(head + layout.pack_trailer(seed, 0, 8000, [56] * 1000)) == []


def test_mutated_files_are_refused_or_the_same():
    outcomes = fuzz.run(fuzz.container(), files=1500)
    assert all(outcomes[kind] > 100 for kind in ("refused", "accepted", "lenient refused", "lenient accepted"))


def test_the_fuzzer_finds_faults():
    target = fuzz.container()

    def careless(blob: bytes) -> list[bytes]:
        return [blob[a:b] for a, b in spans(blob)]

    with pytest.raises(fuzz.Failure, match="decodes to something else"):
        fuzz.run(fuzz.Target(target.originals, careless, careless, lambda a, b: True), files=300)

    def crashing(blob: bytes) -> int:
        return 0 if blob in target.originals else blob[2000]

    with pytest.raises(fuzz.Failure, match="raises IndexError"):
        fuzz.run(fuzz.Target(target.originals, crashing, crashing, lambda a, b: True), files=300)

    def looping(blob: bytes) -> int:
        while blob not in target.originals:
            pass
        return 0

    with pytest.raises(fuzz.Failure, match=r"takes more than 0\.1 s"):
        fuzz.run(fuzz.Target(target.originals, looping, looping, lambda a, b: True, limit_s=0.1), files=1)

    def greedy(blob: bytes) -> int:
        return len(bytearray(10_000_000)) if blob not in target.originals else 0

    with pytest.raises(fuzz.Failure, match="bytes of memory"):
        fuzz.run(fuzz.Target(target.originals, greedy, greedy, lambda a, b: True), files=300)
