"""`.zac` → audio: packets to samples in blocks, from any second on, and around damage."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.arrays import ChannelLayout
from zoo.bitstream import layout
from zoo.bitstream.container import ContainerReader
from zoo.bitstream.layout import Header, Packet
from zoo.coding import channel_layout
from zoo.errors import BitstreamError, ZooError
from zoo.resample import Resampler, grid_hz
from zoo.stream import FrameDecoder, packets_to_warm_up

if TYPE_CHECKING:
    from zoo.ready import ReadyCodec

RESAMPLER_REACH = 4096
"""samples, at the slower of two rates, over which resampling forgets where it began"""


class DecodedAudio(NamedTuple):
    """`audio, sample_rate = codec.decompress(blob)`."""

    audio: np.ndarray
    """float32 (T, channels)"""
    sample_rate: int
    """Hz"""


class PacketDecoder:
    """Packets in their order to audio float32 (m, channels) at the codec's rate.

    `first_packet` is the number of the first one; unless that is 0, the beginning of the audio is not what decoding
    from the file's beginning gives. A damaged packet becomes silence, and its number is kept in `damaged`.
    """

    def __init__(self, codec: ReadyCodec, header: Header, first_packet: int = 0) -> None:
        """Raises BitstreamError for a header that does not belong to the codec."""
        check_weights(codec, header)
        self._layout = streams_of(codec, header)
        self._codec, self._header = codec, header
        chunks = codec.chunks(header.packet_frames)
        first_frame = first_packet * header.packet_frames
        self._frames = FrameDecoder(chunks, self._layout.n_streams, first_frame)
        self._n_frames = first_frame
        self._ended = False
        self.damaged: list[int] = []

    @property
    def position(self) -> int:
        """Number of the next sample that comes out."""
        return self._frames.position

    def push(self, packet: Packet) -> np.ndarray:
        """The audio that the next packet makes final; raises BitstreamError for one that cannot be."""
        codec, size = self._codec, self._header.packet_frames
        if self._ended:
            raise BitstreamError(f"packet {packet.index} follows one that is shorter than the others, the last")
        if packet.n_frames % codec.module.frame_multiple:
            raise BitstreamError(f"packet {packet.index}: {packet.n_frames} frames are none of this codec's lengths")
        self._ended = packet.n_frames < size
        self._n_frames += packet.n_frames
        level, payload = packet.level, packet.payload
        if packet.damaged:
            self.damaged.append(packet.index)
            level = 0
            codes = np.zeros((self._layout.n_streams, packet.n_frames, codec.symbols.n_codes(0)), np.int32)
        else:
            if level >= codec.n_levels:
                raise BitstreamError(f"packet {packet.index}: level {level}, but the codec has {codec.n_levels}")
            try:
                codes = codec.entropy.decode(
                    payload, n_streams=self._layout.n_streams, n_frames=packet.n_frames, level=level
                )
            except BitstreamError as error:
                raise BitstreamError(f"packet {packet.index}: {error}") from None
        latents = codec.dequantise(codes, level, size)
        return self._layout.join(self._frames.push(latents, lost=packet.damaged))

    def finish(self, n_samples: int | None) -> np.ndarray:
        """The rest of a file of `n_samples` at its source's rate (None: not known, all that the packets hold).

        Raises BitstreamError if the packets hold another number of frames.
        """
        if n_samples is None:
            held = max(self._codec.module.max_samples(self._n_frames), 0)
        else:
            held = _model_samples(self._codec, self._header, n_samples)
            expected = _n_frames(self._codec, self._header, n_samples)
            if expected != self._n_frames:
                raise BitstreamError(f"{n_samples} samples take {expected} frames, the packets hold {self._n_frames}")
        return self._layout.join(self._frames.finish(held))


def _model_samples(codec: ReadyCodec, header: Header, n_samples: int) -> int:
    """Samples at the codec's rate that stand for `n_samples` at the source's."""
    return -(-n_samples * codec.sample_rate // header.sample_rate)


def _n_frames(codec: ReadyCodec, header: Header, n_samples: int) -> int:
    """Frames of a file of `n_samples` at its source's rate: none for an empty one."""
    return int(codec.module.n_frames(_model_samples(codec, header, n_samples))) if n_samples else 0


def streams_of(codec: ReadyCodec, header: Header) -> ChannelLayout:
    """How a file's channels were coded; raises BitstreamError for a header that the codec cannot have written."""
    try:
        layout = channel_layout(codec, header.channels, header.packet_frames, mid_side=header.mid_side)
    except ZooError as error:
        raise BitstreamError(f"header: {error}") from None
    module = codec.module
    if header.packet_frames % module.frame_multiple or header.packet_frames < module.opening:
        raise BitstreamError(f"header: packets of {header.packet_frames} frames are none of this codec's lengths")
    if layout.mid_side != header.mid_side:
        raise BitstreamError("header: mid and side, but the codec takes both channels together")
    return layout


def check_weights(codec: ReadyCodec, header: Header) -> None:
    """Raises BitstreamError if the file was made by other weights than the codec's."""
    if header.weights_hash != codec.digest:
        ours = f"{codec.digest.hex()} ({codec.metadata.get('path', 'this codec')})"
        raise BitstreamError(f"it was made with weights {header.weights_hash.hex()}, not with {ours}")


def decode_blocks(codec: ReadyCodec, reader: ContainerReader, damaged: list[int] | None = None) -> Iterator[np.ndarray]:
    """All audio of a file as blocks (m, channels) at its source's rate; raises BitstreamError where it is damaged.

    Numbers of damaged packets, where the reader lets them pass, are appended to `damaged`.
    """
    decoder = PacketDecoder(codec, reader.header)
    resampler = Resampler(codec.sample_rate, reader.header.sample_rate, reader.header.channels)
    for packet in reader:
        yield resampler.push(decoder.push(packet))
    yield resampler.push(decoder.finish(reader.n_samples))
    yield resampler.finish(reader.n_samples)
    if damaged is not None:
        damaged += decoder.damaged


def decode_range(
    codec: ReadyCodec, reader: ContainerReader, start: int, stop: int, damaged: list[int] | None = None
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
    module, size = codec.module, header.packet_frames
    # resampling begins where samples of both rates coincide, early enough to have forgotten that by `start`
    model_step, source_step = grid_hz(codec.sample_rate, header.sample_rate)
    reach = RESAMPLER_REACH * max(1, -(-codec.sample_rate // header.sample_rate)) if model_step != source_step else 0
    model_start = max(start * codec.sample_rate // header.sample_rate - reach, 0) // model_step * model_step
    frame = (model_start + module.lead) // module.hop_length
    warm_up = packets_to_warm_up(module, size)
    first = 0 if warm_up is None else max(frame // size - warm_up, 0)
    decoder = PacketDecoder(codec, header, first)
    resampler = Resampler(codec.sample_rate, header.sample_rate, header.channels)
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


def expect(codec: ReadyCodec, reader: ContainerReader) -> None:
    """Has a reader check what only the codec knows; raises BitstreamError for a file that is none of this codec's."""
    header = reader.header
    check_weights(codec, header)
    reader.expect(
        n_levels=codec.n_levels,
        packet_s=header.packet_frames / codec.module.frame_rate_hz,
        n_frames=lambda n_samples: _n_frames(codec, header, n_samples),
    )


class StreamDecoder:
    """The bytes of a `.zac` file, in pieces of any size, to audio that comes as soon as a packet is there.

    `sample_rate` and `channels` are known once the header is, and None before.
    """

    def __init__(self, codec: ReadyCodec) -> None:
        self._codec = codec
        self._bytes = bytearray()
        self._seed = 0
        self._header: Header | None = None
        self._n_packets = 0

    @property
    def sample_rate(self) -> int | None:
        return self._header.sample_rate if self._header else None

    @property
    def channels(self) -> int | None:
        return self._header.channels if self._header else None

    def push(self, data: bytes) -> np.ndarray:
        """Audio float32 (m, channels) at the source's rate that these bytes complete; (0, 1) before the header.

        Raises BitstreamError where they are damaged.
        """
        self._bytes += data
        if self._header is None and not self._read_header():
            return np.zeros((0, 1), np.float32)
        pieces = [np.zeros((0, self._header.channels), np.float32)]  # type: ignore[union-attr]
        while (packet := self._next_packet()) is not None:
            pieces.append(self._resampler.push(self._decoder.push(packet)))
        return np.concatenate(pieces)

    def finish(self) -> np.ndarray:
        """The rest; raises BitstreamError if the bytes so far are no whole file."""
        trailer = layout.unpack_trailer(self._seed, bytes(self._bytes)) if self._header else None
        if trailer is None or trailer.n_packets != self._n_packets:
            raise BitstreamError(f"the stream ends before its trailer, after {self._n_packets} packets")
        rest = self._resampler.push(self._decoder.finish(trailer.n_samples))
        return np.concatenate([rest, self._resampler.finish(trailer.n_samples)])

    def _read_header(self) -> bool:
        if len(self._bytes) < layout.PREFIX_LENGTH:
            return False
        length = layout.header_length(bytes(self._bytes[: layout.PREFIX_LENGTH]))
        if len(self._bytes) < length:
            return False
        raw = bytes(self._bytes[:length])
        header = layout.unpack_header(raw)
        self._decoder = PacketDecoder(self._codec, header)
        self._resampler = Resampler(self._codec.sample_rate, header.sample_rate, header.channels)
        self._seed, self._header = layout.seed(raw), header
        del self._bytes[:length]
        return True

    def _next_packet(self) -> Packet | None:
        data = self._bytes
        if not data or data[0] == layout.TRAILER:
            return None
        assert self._header is not None
        head = layout.unpack_head(data, 0, self._header.packet_frames)
        if head is None:
            if len(data) >= layout.MAX_HEAD or data[0] not in (layout.PACKET, layout.FINAL_PACKET):
                raise BitstreamError(f"packet {self._n_packets}: it does not begin like one")
            return None
        if len(data) < head.checksum + 4:
            return None
        stored = int.from_bytes(data[head.checksum : head.checksum + 4], "little")
        if stored != layout.packet_checksum(self._seed, self._n_packets, bytes(data[: head.checksum])):
            raise BitstreamError(f"packet {self._n_packets}: its checksum differs")
        packet = Packet(self._n_packets, head.level, head.n_frames, bytes(data[head.payload : head.checksum]))
        del data[: head.checksum + 4]
        self._n_packets += 1
        return packet


def decompress(codec: ReadyCodec, blob: bytes) -> DecodedAudio:
    """All of a `.zac` file in memory; raises BitstreamError for anything else."""
    reader = ContainerReader(io.BytesIO(blob))
    expect(codec, reader)
    blocks = list(decode_blocks(codec, reader))
    return DecodedAudio(np.concatenate(blocks), reader.header.sample_rate)
