"""Rows: the codes (or latents) of a clip with all that decoding takes; a very long clip has several."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.audio.resampler import Resampler
from zoo.audio.taking import Channels, Taken
from zoo.bitstream.layout import Header
from zoo.coding.batches import Batches
from zoo.coding.encode import BLOCK_SAMPLES
from zoo.coding.engine import Engine, Precision
from zoo.errors import ZooError
from zoo.library.clips import Begin
from zoo.tokens import Tokens


@dataclass(frozen=True)
class Settings:
    """What the values of rows depend on besides the codec and the clip."""

    level: int | None
    """operating point; None = latents, not quantised"""
    channels: Channels
    mid_side: bool
    packet_frames: int
    row_bytes: int
    """of values: a clip that has more gets several rows"""
    stream: int | None = None
    """which of the audio streams of a container"""
    precision: Precision = "float32"
    """that networks compute in"""


@dataclass(frozen=True, eq=False)
class Row:
    """Codes integer, or latents float16, (streams, frames, width) of a clip, or of one of its parts in their order."""

    key: str
    """names the clip among all of an input"""
    source: str
    """the file that it is in, and its name in there"""
    part: int
    last: bool
    """whether no part of the clip follows"""
    samples: int
    """of each channel, at sample_rate, that this part stands for"""
    sample_rate: int
    """of the clip, Hz"""
    channels: int
    """that were coded"""
    source_channels: int
    layout: str
    """the loudspeakers of more than two source channels, such as "FL FR FC LFE BL BR"; else empty"""
    codec: str
    """the digest of its weights, 32 hexadecimal digits"""
    level: int
    """operating point of all frames; -1 for latents"""
    packet_frames: int
    mid_side: bool
    """whether the streams are mid and side"""
    values: np.ndarray

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.sample_rate

    def about(self) -> dict[str, Any]:
        """All of it but the values, of which it has the shape."""
        fields = {name: getattr(self, name) for name in FIELDS if name not in ("duration", "shape")}
        return {**fields, "duration": self.duration, "shape": list(self.values.shape)}

    def header(self) -> Header:
        """What decoding takes besides the values; raises BitstreamError for a row that no codec can have made."""
        try:
            weights = bytes.fromhex(self.codec)
        except ValueError:
            raise ZooError(f"{self.codec!r} is no digest of a codec") from None
        return Header(weights, self.sample_rate, self.channels, self.packet_frames, self.mid_side)


FIELDS = (
    "key", "source", "part", "last", "samples", "duration", "sample_rate", "channels", "source_channels", "layout",
    "codec", "level", "packet_frames", "mid_side", "shape",
)  # fmt: skip
"""columns of a row besides its values, in their order"""


def from_about(about: dict[str, Any], values: np.ndarray) -> Row:
    """The inverse of `Row.about`, from flat values; raises ZooError for what is none."""
    try:
        fields = {name: about[name] for name in FIELDS if name not in ("duration", "shape", "layout")}
        fields["layout"] = about.get("layout", "")  # an earlier version wrote none
        return Row(**fields, values=np.asarray(values).reshape([int(n) for n in about["shape"]]))
    except (KeyError, ValueError, TypeError) as error:
        raise ZooError(f"holds no tokens as this program writes them ({type(error).__name__}: {error})") from None


def to_tokens(parts: list[Row]) -> Tokens:
    """The codes of a whole clip from its rows in their order; raises ZooError for rows that do not go together."""
    first = parts[0]
    check_parts(parts)
    codes = np.concatenate([row.values for row in parts], axis=1)
    n_packets = -(-codes.shape[1] // first.packet_frames)
    return Tokens(codes, (first.level,) * n_packets, first.header(), sum(row.samples for row in parts))


def check_parts(parts: list[Row]) -> None:
    """Raises ZooError, naming the clip, unless these are all of its parts, one after the other, made alike."""
    first = parts[0]
    alike = all((row.header(), row.level) == (first.header(), first.level) for row in parts)
    if not alike or [row.part for row in parts] != list(range(len(parts))):
        raise ZooError(f"{first.key}: its parts {[row.part for row in parts]} do not go together")
    if not parts[-1].last:
        raise ZooError(f"{first.key}: not all of its parts are there")


def batches_for(engine: Engine, settings: Settings) -> Batches:
    """Where clips are computed with such settings, to codes or latents."""
    chunks, level = engine.chunks(settings.packet_frames), settings.level
    if level is None:
        return Batches(chunks, lambda latents, n_frames: latents)
    return Batches(chunks, lambda latents, n_frames: chunks.quantised(latents, n_frames, level))


class ClipEncoder:
    """Blocks (m, channels) of a clip to its rows, among other clips, at constant memory whatever its length."""

    def __init__(self, engine: Engine, digest: str, begin: Begin, settings: Settings, batches: Batches) -> None:
        """`batches` is what `batches_for` gives. Raises ZooError for channels that the codec cannot take."""
        self._engine, self._settings = engine, settings
        self._begin, self._digest = begin, digest
        self.taken = Taken(settings.channels, begin.channels, begin.layout, engine.module.channels)
        self._layout = engine.layout(
            self.taken.channels, settings.packet_frames, mid_side=settings.mid_side, apart=self.taken.apart
        )
        self._resampler = Resampler(begin.sample_rate, engine.module.sample_rate, self.taken.channels)
        self._batches, self._clip = batches, batches.open(self._layout.n_streams)
        self._known: deque[int] = deque()  # samples of the clip that had come in when each packet's were complete
        self._n_cut = 0
        self._all_in = self.is_done = False
        self._packets: list[np.ndarray] = []
        self._n_bytes = 0
        self._part = 0
        self._first_frame = 0
        self._first_sample = 0

    @property
    def is_waiting(self) -> bool:
        """Whether some of it could be computed."""
        return any(self._clip.waiting)

    def push(self, block: np.ndarray) -> None:
        """Takes a block of the clip's samples."""
        taken = self.taken(block)
        for start in range(0, len(taken), BLOCK_SAMPLES):
            self._push(self._resampler.push(taken[start : start + BLOCK_SAMPLES]))

    def finish(self) -> None:
        """That was all of the clip."""
        self._push(self._resampler.finish())
        self._clip.finish()
        self._note()
        self._all_in = True

    def close(self) -> None:
        """Gives the clip up."""
        self._batches.close(self._clip)

    def rows(self) -> Iterator[Row]:
        """The rows that what has been computed since completes: of a very long clip, or at its end, else none.

        Raises ZooError for latents that are too large.
        """
        for values in self._clip.take_values():
            yield from self._add(self._kept(values), self._known.popleft())
        if self._all_in and not self._known and not self.is_done:
            yield self._row(self._resampler.n_in, last=True)
            self.is_done = True

    def _push(self, part: np.ndarray) -> None:
        self._clip.push(self._layout.split(part))
        self._note()

    def _note(self) -> None:
        new = self._clip.n_cut - self._n_cut
        self._n_cut += new
        self._known.extend([self._resampler.n_in] * new)

    def _add(self, values: np.ndarray, n_samples: int) -> Iterator[Row]:
        if self._packets and self._n_bytes + values.nbytes > self._settings.row_bytes:
            yield self._row(n_samples, last=False)
        self._packets.append(values)
        self._n_bytes += values.nbytes

    def _kept(self, values: np.ndarray) -> np.ndarray:
        level = self._settings.level
        if level is not None:
            return values[..., : self._engine.symbols.n_codes(level)].astype(code_type(self._engine))
        half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise ZooError("its latents are too large for 16 bits")
        return half

    def _row(self, total: int, *, last: bool) -> Row:
        engine, begin, settings = self._engine, self._begin, self._settings
        values = np.concatenate(self._packets, axis=1)
        end_frame = self._first_frame + values.shape[1]
        end = end_frame * engine.module.hop_length * begin.sample_rate // engine.module.sample_rate
        end = total if last else min(end, total)
        row = Row(
            key=begin.clip.key,
            source=begin.clip.source,
            part=self._part,
            last=last,
            samples=end - self._first_sample,
            sample_rate=begin.sample_rate,
            channels=self.taken.channels,
            source_channels=begin.channels,
            layout=" ".join(begin.layout) if begin.channels > 2 else "",
            codec=self._digest,
            level=-1 if settings.level is None else settings.level,
            packet_frames=settings.packet_frames,
            mid_side=self._layout.mid_side,
            values=values,
        )
        self._part += 1
        self._first_frame, self._first_sample = end_frame, end
        self._packets, self._n_bytes = [], 0
        return row


def code_type(engine: Engine) -> type[np.signedinteger[Any]]:
    """The smallest type that holds all codes of a codec, and is the same for all of its shards."""
    return np.int16 if max(engine.symbols.codebook_sizes) <= 1 << 15 else np.int32
