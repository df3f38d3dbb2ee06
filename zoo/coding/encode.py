"""Audio → `.zac` files: blocks of samples to packets, in memory, as a stream, or at a bitrate.

    blocks → resampling → streams (channels of the model) → chunked encoder → level → entropy coder → container

At a bitrate the latents of a whole file are kept until it is known what they take.

Everything here runs at constant memory whatever the length, and gives the same bytes however the blocks are cut.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from zoo import arguments
from zoo.audio.arrays import as_block
from zoo.audio.resampler import Resampler
from zoo.bitstream.container import ContainerWriter, Header
from zoo.coding.engine import Engine
from zoo.coding.planning import StoredLatents, policy_for
from zoo.coding.rate import Constant, LevelPolicy, Reservoir
from zoo.coding.stream import FrameEncoder
from zoo.errors import ZooError

BLOCK_SAMPLES = 1 << 15
MAX_KBPS = 1e6
"""far beyond what any codec takes"""


class LatentEncoder:
    """Blocks of a source to latents (n_streams, n, D), packet by packet."""

    def __init__(
        self,
        engine: Engine,
        sample_rate: int,
        channels: int,
        packet_frames: int,
        mid_side: bool | None,
        *,
        apart: bool = False,
    ) -> None:
        """Raises ZooError where `Engine.layout` does."""
        self.layout = engine.layout(channels, packet_frames, mid_side=mid_side, apart=apart)
        self._resampler = Resampler(sample_rate, engine.module.sample_rate, channels)
        self._encoder = FrameEncoder(engine.chunks(packet_frames), self.layout.n_streams)

    @property
    def n_samples(self) -> int:
        """The samples of the source so far."""
        return self._resampler.n_in

    @property
    def n_model_samples(self) -> int:
        """The samples at the codec's rate so far."""
        return self._resampler.n_out

    def push(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """Latents of the packets that (m, channels) completes, one by one: m may be all of a long recording."""
        for start in range(0, len(block), BLOCK_SAMPLES):
            part = self._resampler.push(block[start : start + BLOCK_SAMPLES])
            yield from self._encoder.push(self.layout.split(part))

    def finish(self) -> list[np.ndarray]:
        rest = self._encoder.push(self.layout.split(self._resampler.finish()))
        return rest + self._encoder.finish()


class _Coded(NamedTuple):
    """A packet whose codes are known."""

    codes: np.ndarray
    level: int
    n_frames: int | None
    """where that is less than usual"""


class StreamEncoder:
    """Audio in blocks of any size to the bytes of a `.zac` file, which leave as soon as a packet is complete."""

    def __init__(
        self,
        engine: Engine,
        sample_rate: int,
        channels: int,
        *,
        policy: LevelPolicy,
        packet_frames: int,
        mid_side: bool | None = None,
        apart: bool = False,
        on_codes: Callable[[np.ndarray, int], None] | None = None,
        latents: LatentEncoder | None = None,
        overlapped: bool = False,
    ) -> None:
        """`latents` is one that has encoded all of the source already; its packets then go to `push_latents`.

        If `overlapped`, the entropy coder works on a packet while the next one is computed, with whose bytes its own
        leave; the policy is not told what packets cost, so it must be a constant level.
        """
        self._engine, self._policy = engine, policy
        self._ended, self._whole = False, latents is not None
        self._latents = latents or LatentEncoder(engine, sample_rate, channels, packet_frames, mid_side, apart=apart)
        self._layout = self._latents.layout
        self._packet_frames = packet_frames
        self._on_codes = on_codes
        self._pool = ThreadPoolExecutor(1) if overlapped else None
        self._pending: tuple[_Coded, Future[bytes]] | None = None
        self._out = io.BytesIO()
        self.header = Header(engine.digest, sample_rate, channels, packet_frames, self._layout.mid_side)
        self._writer = ContainerWriter(self._out, self.header)
        self.payload_bytes = 0
        self.levels: list[int] = []

    @property
    def n_samples(self) -> int:
        """The samples of the source so far."""
        return self._latents.n_samples

    @property
    def n_streams(self) -> int:
        return self._layout.n_streams

    @property
    def file_bytes(self) -> int:
        """header, packets and trailer, so far"""
        return self._writer.n_bytes

    def push(self, block: Any) -> bytes:
        """Takes samples (m,) or (m, channels) as `encode` does, m from 0 on; gives the bytes they complete, maybe none.

        Raises ZooError for other shapes and types, for NaN, and after `finish`.
        """
        if self._ended:
            raise ZooError("this stream is finished: another one takes a new stream_encoder")
        for latents in self._latents.push(as_block(block, self._layout.channels, self.n_samples)):
            self._write(latents)
        return self._drain()

    def push_latents(self, latents: np.ndarray) -> bytes:
        """Takes the next packet of latents (N, n, D); gives its bytes."""
        self._write(latents)
        return self._drain()

    def finish(self) -> bytes:
        """The last packet and the trailer; nothing when called again."""
        if self._ended:
            return b""
        self._ended = True
        for latents in [] if self._whole else self._latents.finish():
            self._write(latents)
        self._write_pending()
        if self._pool is not None:
            self._pool.shutdown()
        self._writer.finish(self.n_samples)
        return self._drain()

    def _write(self, latents: np.ndarray) -> None:
        engine, n_frames = self._engine, latents.shape[1]
        quantise = functools.cache(lambda level: engine.quantise(latents, level, self._packet_frames))
        # what has been sized is coded: most often it is at the level that is chosen
        payload = functools.cache(lambda level: engine.entropy.encode(quantise(level), level))
        level = self._policy.choose(lambda level: len(payload(level)), n_frames / engine.module.frame_rate_hz)
        coded = _Coded(quantise(level), level, n_frames if n_frames < self._packet_frames else None)
        if self._pool is None:
            self._put(coded, payload(level))
        else:
            self._write_pending()
            self._pending = coded, self._pool.submit(payload, level)

    def _write_pending(self) -> None:
        if self._pending is not None:
            coded, payload = self._pending
            self._pending = None
            self._put(coded, payload.result())

    def _put(self, coded: _Coded, payload: bytes) -> None:
        self._writer.write(coded.level, payload, coded.n_frames)
        self._policy.spent(len(payload))
        self.payload_bytes += len(payload)
        self.levels.append(coded.level)
        if self._on_codes is not None:
            self._on_codes(coded.codes, coded.level)

    def _drain(self) -> bytes:
        written = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return written


@dataclass(frozen=True)
class CodedFile:
    """A whole `.zac` file in memory."""

    data: bytes
    payload_bytes: int
    """of coded audio in it"""


def compress(
    engine: Engine,
    samples: np.ndarray,
    sample_rate: int,
    *,
    bitrate: float | None = None,
    level: int | None = None,
    packet_s: float | None = None,
) -> CodedFile:
    """Codes (T, C) at `sample_rate` Hz; raises ZooError where the codec cannot."""
    out = bytearray()
    encoder = encode_blocks(
        engine,
        [samples],
        sample_rate,
        samples.shape[1],
        write=out.extend,
        bitrate=bitrate,
        level=level,
        packet_s=packet_s,
    )
    return CodedFile(bytes(out), encoder.payload_bytes)


def encode_blocks(
    engine: Engine,
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    channels: int,
    *,
    write: Callable[[bytes], object],
    bitrate: float | None = None,
    level: int | None = None,
    packet_s: float | None = None,
    mid_side: bool | None = None,
    apart: bool = False,
    as_stream: bool = False,
    on_codes: Callable[[np.ndarray, int], None] | None = None,
) -> StreamEncoder:
    """Codes a whole source; what comes back tells its length, payload and levels.

    With a `bitrate` (kbps of payload) a source is coded when all of it is known, unless `as_stream`. `apart` is that of
    `Engine.layout`. Raises ZooError for a bitrate or level that the codec has not.
    """
    packet_frames = engine.packet_frames(packet_s)
    policy = level_policy(engine, bitrate, level)
    made = functools.partial(
        StreamEncoder,
        engine,
        sample_rate,
        channels,
        packet_frames=packet_frames,
        mid_side=mid_side,
        apart=apart,
        on_codes=on_codes,
    )
    if bitrate is None or as_stream:
        # a live stream's packets leave as soon as they are complete
        encoder = made(policy=policy, overlapped=bitrate is None and not as_stream)
        for block in blocks:
            if written := encoder.push(block):
                write(written)
    else:
        latents = LatentEncoder(engine, sample_rate, channels, packet_frames, mid_side, apart=apart)
        with StoredLatents(engine, packet_frames) as packets:
            for block in blocks:
                packets.extend(latents.push(block))
            packets.extend(latents.finish())
            seconds = latents.n_samples / sample_rate
            policy = policy_for(engine, packets, seconds=seconds, kbps=bitrate)
            encoder = made(policy=policy, latents=latents)
            for packet in packets:
                write(encoder.push_latents(packet))
    write(encoder.finish())
    return encoder


def level_policy(engine: Engine, bitrate: float | None, level: int | None) -> LevelPolicy:
    """A constant level, the codec's default one, or the reservoir of a stream at `bitrate` kbps; raises ZooError."""
    engine.check_encodes()
    if bitrate is None:
        return Constant(engine.level(level))
    if level is not None:
        raise ZooError("bitrate and level both say how much to spend: give one of them")
    if not arguments.number(bitrate, "bitrate") > 0:
        raise ZooError(f"bitrate {bitrate:g} kbps is not positive")
    if bitrate > MAX_KBPS:
        raise ZooError(f"bitrate {bitrate:g} kbps is above {MAX_KBPS:g}")
    return Reservoir(bitrate, engine.symbols.n_levels)
