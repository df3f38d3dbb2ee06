"""The bytes of a `.zac` file as they come, in pieces of any size, to audio."""

from __future__ import annotations

import numpy as np

from zoo.arguments import as_bytes
from zoo.audio.resampler import Resampler
from zoo.bitstream import layout
from zoo.bitstream.layout import Header, Packet
from zoo.coding.decode import PacketDecoder
from zoo.coding.engine import Engine
from zoo.errors import BitstreamError, ZooError


class StreamDecoder:
    """The bytes of a `.zac` file, in pieces of any size, to audio that comes as soon as a packet is there.

    `sample_rate` and `channels` are known once the header is, and None before.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bytes = bytearray()
        self._seed = 0
        self._header: Header | None = None
        self._n_packets = 0
        self._ended = False
        self._silence = np.zeros((0, engine.module.channels), np.float32)

    @property
    def sample_rate(self) -> int | None:
        return self._header.sample_rate if self._header else None

    @property
    def channels(self) -> int | None:
        return self._header.channels if self._header else None

    def push(self, data: bytes) -> np.ndarray:
        """Audio float32 (m, channels) at the source's rate that these bytes complete, m from 0 on.

        Before the header is complete, which takes 34 bytes, nothing knows the number of channels: what is given out by
        then, an empty array, gets the right one as soon as it is known, so that all pieces can be concatenated. Raises
        BitstreamError where the bytes are damaged, ZooError after `finish`.
        """
        piece = as_bytes(data)
        if self._ended and piece:
            raise ZooError("this stream is finished: another one takes a new stream_decoder")
        self._bytes += piece
        if self._header is None and not self._read_header():
            return self._silence
        pieces = [self._silence]
        while (packet := self._next_packet()) is not None:
            pieces.append(self._resampler.push(self._decoder.push(packet)))
        return np.concatenate(pieces)

    def finish(self) -> np.ndarray:
        """The rest, nothing when called again; raises BitstreamError if the bytes so far are no whole file."""
        if self._ended:
            return self._silence
        trailer = layout.unpack_trailer(self._seed, bytes(self._bytes)) if self._header else None
        if trailer is None or trailer.n_packets != self._n_packets:
            raise BitstreamError(f"the stream ends before its trailer, after {self._n_packets} packets")
        rest = self._resampler.push(self._decoder.finish(trailer.n_samples))
        self._ended = True
        return np.concatenate([rest, self._resampler.finish(trailer.n_samples)])

    def _read_header(self) -> bool:
        if len(self._bytes) < layout.PREFIX_LENGTH:
            return False
        length = layout.header_length(bytes(self._bytes[: layout.PREFIX_LENGTH]))
        if len(self._bytes) < length:
            return False
        raw = bytes(self._bytes[:length])
        header = layout.unpack_header(raw)
        self._decoder = PacketDecoder(self._engine, header)
        self._resampler = Resampler(self._engine.module.sample_rate, header.sample_rate, header.channels)
        self._seed, self._header = layout.seed(raw), header
        self._silence.resize((0, header.channels), refcheck=False)  # in place: it may have been given out
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
