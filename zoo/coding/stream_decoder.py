"""The bytes of a `.zac` file as they come, in pieces of any size, to audio."""

from __future__ import annotations

import numpy as np

from zoo.arguments import as_bytes
from zoo.audio.resampler import Resampler
from zoo.bitstream.layout import Header
from zoo.bitstream.packets import PacketParser
from zoo.coding.decode import PacketDecoder, expect_frames
from zoo.coding.engine import Engine
from zoo.errors import BitstreamError, ZooError


class StreamDecoder:
    """The bytes of a `.zac` file, in pieces of any size, to audio that comes as soon as a packet is there.

    `sample_rate` and `channels` are known once the header is, and None before.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parser = PacketParser()
        self._header: Header | None = None
        self._fault: str | None = None
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
        BitstreamError where the bytes are not those of a file of this codec, and from then on; ZooError after `finish`.
        """
        piece = as_bytes(data)
        if self._ended and piece:
            raise ZooError("this stream is finished: another one takes a new stream_decoder")
        if self._fault is not None:
            raise BitstreamError(self._fault)
        try:
            return self._decode(piece)
        except BitstreamError as error:
            self._fault = str(error)  # to go on with a later packet would leave a gap that nobody is told of
            raise

    def finish(self) -> np.ndarray:
        """The rest, nothing when called again; raises BitstreamError if the bytes so far are no whole file."""
        if self._ended:
            return self._silence
        if self._fault is not None:
            raise BitstreamError(self._fault)
        n_samples = self._parser.finish().n_samples
        rest = self._resampler.push(self._decoder.finish(n_samples))
        self._ended = True
        return np.concatenate([rest, self._resampler.finish(n_samples)])

    def _decode(self, piece: bytes) -> np.ndarray:
        parser = self._parser
        while parser.header is None and piece:  # alone: what the codec expects of packets depends on it
            head, piece = piece[: parser.wanted], piece[parser.wanted :]
            parser.push(head)
        if parser.header is None:
            return self._silence
        if self._header is None:
            self._begin(parser.header)
        pieces = [self._silence]
        for packet in parser.push(piece):
            pieces.append(self._resampler.push(self._decoder.push(packet)))
        return np.concatenate(pieces)

    def _begin(self, header: Header) -> None:
        self._decoder = PacketDecoder(self._engine, header)
        self._resampler = Resampler(self._engine.module.sample_rate, header.sample_rate, header.channels)
        expect_frames(self._engine, header, self._parser)
        self._header = header
        self._silence.resize((0, header.channels), refcheck=False)  # in place: it may have been given out
