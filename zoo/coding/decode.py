"""`.zac` files, and the tokens of one, → audio: packets to samples in blocks, from any second on, and around damage."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from zoo import shipped
from zoo.arguments import as_bytes
from zoo.audio.resampler import Resampler, grid_hz
from zoo.bitstream.container import ContainerReader
from zoo.bitstream.layout import Header, Packet
from zoo.coding.channels import ChannelLayout
from zoo.coding.codes import UNUSED, CodePacket
from zoo.coding.engine import Engine
from zoo.coding.stream import FrameDecoder, packets_to_warm_up
from zoo.errors import BitstreamError, CheckpointError, ZooError

Item = TypeVar("Item")

RESAMPLER_REACH = 4096
"""samples, at the slower of two rates, over which resampling forgets where it began"""


class DecodedAudio(NamedTuple):
    """`audio, sample_rate = codec.decompress(blob)`."""

    audio: np.ndarray
    """float32 (T, channels)"""
    sample_rate: int
    """Hz"""


class Expecting(Protocol):
    """What checks a file against what only the codec knows."""

    def expect(self, *, n_levels: int, packet_s: float, n_frames: Callable[[int], int]) -> None: ...


class Packets(Expecting, Protocol):
    """What a container and `zoo.tokens.Tokens` have in common: a file's header, and its packets in their order."""

    @property
    def header(self) -> Header: ...

    @property
    def n_samples(self) -> int | None: ...

    def packets(self, first: int = 0) -> Iterator[Packet] | Iterator[CodePacket]: ...


class PacketCodes(NamedTuple):
    """What is in a packet."""

    codes: np.ndarray
    """int32 (n_streams, n, q)"""
    level: int
    lost: bool
    """damaged: the codes mean nothing"""


class PacketDecoder:
    """Packets in their order to audio float32 (m, channels) at the codec's rate.

    `first_packet` is the number of the first one; unless that is 0, the beginning of the audio is not what decoding
    from the file's beginning gives. A damaged packet becomes silence, and its number is kept in `damaged`.
    """

    def __init__(self, engine: Engine, header: Header, first_packet: int = 0) -> None:
        """Raises BitstreamError for a header that does not belong to the codec."""
        check_weights(engine, header)
        self._layout = streams_of(engine, header)
        self._engine, self._header = engine, header
        chunks = engine.chunks(header.packet_frames)
        first_frame = first_packet * header.packet_frames
        self._frames = FrameDecoder(chunks, self._layout.n_streams, first_frame)
        self._n_frames = first_frame
        self._ended = False
        self.damaged: list[int] = []

    @property
    def position(self) -> int:
        """Number of the next sample that comes out."""
        return self._frames.position

    def push(self, packet: Packet | CodePacket) -> np.ndarray:
        """The audio that the next packet makes final; raises BitstreamError for one that cannot be."""
        return self.push_codes(self.codes_of(packet))

    def push_codes(self, found: PacketCodes) -> np.ndarray:
        """The audio that the codes of the next packet make final."""
        latents = self._engine.dequantise(found.codes, found.level, self._header.packet_frames)
        return self._layout.join(self._frames.push(latents, lost=found.lost))

    def codes_of(self, packet: Packet | CodePacket) -> PacketCodes:
        """The codes of the next packet; raises BitstreamError for one that cannot be."""
        engine, size = self._engine, self._header.packet_frames
        if self._ended:
            raise BitstreamError(f"packet {packet.index} follows one that is shorter than the others, the last")
        if packet.n_frames % engine.module.frame_multiple:
            raise BitstreamError(f"packet {packet.index}: {packet.n_frames} frames are none of this codec's lengths")
        self._ended = packet.n_frames < size
        self._n_frames += packet.n_frames
        lost = isinstance(packet, Packet) and packet.damaged
        level = 0 if lost else packet.level
        if level >= engine.symbols.n_levels:
            raise BitstreamError(f"packet {packet.index}: level {level}, but the codec has {engine.symbols.n_levels}")
        if lost:
            self.damaged.append(packet.index)
            codes = np.zeros((self._layout.n_streams, packet.n_frames, engine.symbols.n_codes(0)), np.int32)
        else:
            codes = self._codes(packet)
        return PacketCodes(codes, level, lost)

    def _codes(self, packet: Packet | CodePacket) -> np.ndarray:
        """Codes int32 (n_streams, n, q) of a packet."""
        engine, n_streams, level = self._engine, self._layout.n_streams, packet.level
        if isinstance(packet, Packet):
            try:
                return engine.entropy.decode(packet.payload, n_streams=n_streams, n_frames=packet.n_frames, level=level)
            except BitstreamError as error:
                raise BitstreamError(f"packet {packet.index}: {error}") from None
        codes, sizes = packet.codes, engine.symbols.code_sizes(level)
        if codes.shape[0] != n_streams or codes.shape[2] < len(sizes):
            wanted = f"{n_streams} streams of {len(sizes)} codes"
            raise BitstreamError(f"packet {packet.index}: {wanted} a frame, got {codes.shape[0]} of {codes.shape[2]}")
        used, rest = codes[..., : len(sizes)], codes[..., len(sizes) :]
        if (used < 0).any() or (used >= sizes).any() or (rest != UNUSED).any():
            raise BitstreamError(
                f"packet {packet.index}: level {level} has {len(sizes)} codes to a frame, each in [0, size), and "
                f"{UNUSED} beyond"
            )
        return used.astype(np.int32)

    def finish(self, n_samples: int | None) -> np.ndarray:
        """The rest of a file of `n_samples` at its source's rate (None: not known, all that the packets hold).

        Raises BitstreamError if the packets hold another number of frames.
        """
        if n_samples is None:
            held = max(self._engine.module.max_samples(self._n_frames), 0)
        else:
            held = _model_samples(self._engine, self._header, n_samples)
            expected = _n_frames(self._engine, self._header, n_samples)
            if expected != self._n_frames:
                raise BitstreamError(f"{n_samples} samples take {expected} frames, the packets hold {self._n_frames}")
        return self._layout.join(self._frames.finish(held))


def _model_samples(engine: Engine, header: Header, n_samples: int) -> int:
    """Samples at the codec's rate that stand for `n_samples` at the source's."""
    return -(-n_samples * engine.module.sample_rate // header.sample_rate)


def _n_frames(engine: Engine, header: Header, n_samples: int) -> int:
    """Frames of a file of `n_samples` at its source's rate: none for an empty one."""
    return int(engine.module.n_frames(_model_samples(engine, header, n_samples))) if n_samples else 0


def streams_of(engine: Engine, header: Header) -> ChannelLayout:
    """How a file's channels were coded; raises BitstreamError for a header that the codec cannot have written."""
    try:
        layout = engine.layout(header.channels, header.packet_frames, mid_side=header.mid_side, apart=True)
    except ZooError as error:
        raise BitstreamError(f"header: {error}") from None
    module = engine.module
    if header.packet_frames % module.frame_multiple or header.packet_frames < module.min_first_frames:
        raise BitstreamError(f"header: packets of {header.packet_frames} frames are none of this codec's lengths")
    if layout.mid_side != header.mid_side:
        raise BitstreamError("header: mid and side, but the codec takes both channels together")
    return layout


def check_weights(engine: Engine, header: Header) -> None:
    """Raises BitstreamError if the file was made by other weights than the codec's, by their name if it is known."""
    theirs = header.weights_hash
    if theirs == engine.digest:
        return
    with contextlib.suppress(CheckpointError):
        if name := shipped.named_by(theirs):
            raise BitstreamError(f"it was made with {name}, not with {engine.origin}")
    ours = f"{engine.digest.hex()} ({engine.origin})"
    raise BitstreamError(f"it was made with weights {theirs.hex()}, not with {ours}")


def decode_blocks(engine: Engine, reader: Packets, damaged: list[int] | None = None) -> Iterator[np.ndarray]:
    """All audio of a file as blocks (m, channels) at its source's rate; raises BitstreamError where it is damaged.

    Numbers of damaged packets, where the reader lets them pass, are appended to `damaged`.
    """
    decoder = PacketDecoder(engine, reader.header)
    resampler = Resampler(engine.module.sample_rate, reader.header.sample_rate, reader.header.channels)
    found = map(decoder.codes_of, reader.packets())
    # where there is a trailer, it is a file: of a pipe nothing waits for the next packet
    for codes in found if reader.n_samples is None else _ahead(found):
        yield resampler.push(decoder.push_codes(codes))
    yield resampler.push(decoder.finish(reader.n_samples))
    yield resampler.finish(reader.n_samples)
    if damaged is not None:
        damaged += decoder.damaged


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each of which is made in another thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def decode_range(
    engine: Engine, reader: Packets, start: int, stop: int, damaged: list[int] | None = None
) -> Iterator[np.ndarray]:
    """Samples [start, stop) of a seekable file at its source's rate, as decoding all of it gives them to 1e-5.

    Only the packets that they depend on are read. Raises BitstreamError where these are damaged.
    """
    header, n_samples = reader.header, reader.n_samples
    if n_samples is None:
        raise BitstreamError("the file has no trailer, so nothing can be found in it")
    start, stop = min(start, n_samples), min(stop, n_samples)
    if stop <= start:
        return
    module, size = engine.module, header.packet_frames
    # resampling begins where samples of both rates coincide, early enough to have forgotten that by `start`
    rate = module.sample_rate
    model_step, source_step = grid_hz(rate, header.sample_rate)
    reach = RESAMPLER_REACH * max(1, -(-rate // header.sample_rate)) if model_step != source_step else 0
    model_start = max(start * rate // header.sample_rate - reach, 0) // model_step * model_step
    frame = (model_start + module.lead) // module.hop_length
    warm_up = packets_to_warm_up(module, size)
    first = 0 if warm_up is None else max(frame // size - warm_up, 0)
    decoder = PacketDecoder(engine, header, first)
    resampler = Resampler(rate, header.sample_rate, header.channels)
    model_at, source_at = decoder.position, model_start // model_step * source_step

    def cut(model_block: np.ndarray, *, last: bool = False) -> np.ndarray:
        nonlocal model_at, source_at
        kept = model_block[max(model_start - model_at, 0) :]
        model_at += len(model_block)
        block = resampler.push(kept)
        if last:
            block = np.concatenate([block, resampler.finish()])
        wanted = block[max(start - source_at, 0) : max(stop - source_at, 0)]
        source_at += len(block)
        return wanted

    for packet in reader.packets(first):
        yield cut(decoder.push(packet))
        if source_at >= stop:
            break
    else:
        yield cut(decoder.finish(n_samples), last=True)
    if damaged is not None:
        damaged += decoder.damaged


def expect(engine: Engine, reader: Packets) -> None:
    """Has a reader check what only the codec knows; raises BitstreamError for a file that is none of this codec's."""
    check_weights(engine, reader.header)
    expect_frames(engine, reader.header, reader)


def expect_frames(engine: Engine, header: Header, reader: Expecting) -> None:
    """Has a reader check levels and numbers of frames, for a header that is known to be of this codec's weights."""
    reader.expect(
        n_levels=engine.symbols.n_levels,
        packet_s=header.packet_frames / engine.module.frame_rate_hz,
        n_frames=lambda n_samples: _n_frames(engine, header, n_samples),
    )


def decompress(engine: Engine, blob: bytes) -> DecodedAudio:
    """All of a `.zac` file in memory; raises BitstreamError for anything else."""
    reader = ContainerReader(io.BytesIO(as_bytes(blob)))
    return DecodedAudio(decode_all(engine, reader), reader.header.sample_rate)


def decode_all(engine: Engine, packets: Packets) -> np.ndarray:
    """Audio float32 (T, channels) at the source's rate; raises BitstreamError for what is none of this codec's."""
    expect(engine, packets)
    return np.concatenate(list(decode_blocks(engine, packets)))
