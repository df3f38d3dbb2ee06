"""Token files: the codes of a `.zac` file as an array, with all that decoding takes besides the codec.

    codes = numpy.load("song.npy")           # integers (streams, frames, codes)
    tokens = zoo.tokens.load("song.npy")     # the same, and how they were made
    audio = codec.decode(tokens)             # that of decoding song.zac, bit for bit

A token file holds two arrays, one after the other as `numpy.save` appends them to a file: the codes, which is what
`numpy.load` gives, and the bytes of a JSON object. So what a file says of its codes cannot get lost beside it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo import arguments
from zoo.arguments import as_path
from zoo.bitstream.layout import Header
from zoo.coding import StreamEncoder
from zoo.coding.codes import UNUSED, CodePacket
from zoo.errors import BitstreamError, ZooError, one_line

MAGIC = b"\x93NUMPY"
_FORMAT = "codec-zoo tokens"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Tokens:
    """All codes of a file, and how they were made; raises ZooError for parts that do not go together.

    Streams are channels, or mid and side, or all channels together, as `header` says and the codec has it.
    """

    codes: np.ndarray
    """integers (streams, frames, codes); −1 for a code that the level of a frame's packet has not"""
    levels: tuple[int, ...]
    """operating point of each packet of header.packet_frames frames, of which the last may hold fewer"""
    header: Header
    """weights, rate and channels of the audio that went in, packets, mid and side"""
    n_samples: int
    """of each channel of the audio that went in"""

    def __post_init__(self) -> None:
        codes = self.codes
        if codes.ndim != 3 or codes.dtype.kind not in "iu":
            raise ZooError(f"tokens must be integers (streams, frames, codes), got {codes.dtype} {codes.shape}")
        if self.n_samples < 0 or min(self.levels, default=0) < 0:
            raise ZooError(f"tokens: neither {self.n_samples} samples nor levels {set(self.levels)} may be negative")
        size = self.header.packet_frames
        if -(-codes.shape[1] // size) != len(self.levels):
            raise ZooError(f"tokens: {codes.shape[1]} frames in packets of {size}, but {len(self.levels)} levels")

    @property
    def sample_rate(self) -> int:
        """The sample rate of the audio that went in, Hz."""
        return self.header.sample_rate

    def packets(self, first: int = 0) -> Iterator[CodePacket]:
        """The packets in order from number `first` on."""
        size = self.header.packet_frames
        for index in range(first, len(self.levels)):
            yield CodePacket(index, self.levels[index], self.codes[:, index * size : (index + 1) * size])

    def expect(self, *, n_frames: Callable[[int], int], **_: Any) -> None:
        """Checks that all frames are n_frames(n_samples), as that of a `.zac` file does; raises BitstreamError."""
        wanted = n_frames(self.n_samples)
        if wanted != self.codes.shape[1]:
            raise BitstreamError(f"{self.n_samples} samples take {wanted} frames, the tokens are {self.codes.shape[1]}")


def of(encoder: StreamEncoder, packets: list[np.ndarray]) -> Tokens:
    """Tokens of a finished encoder and the codes (streams, n, q) of its packets, in the smallest type."""
    width = max((packet.shape[2] for packet in packets), default=0)
    largest = max((int(packet.max(initial=0)) for packet in packets), default=0)
    kind = np.int16 if largest < 1 << 15 else np.int32
    padded = [
        np.pad(packet.astype(kind), ((0, 0), (0, 0), (0, width - packet.shape[2])), constant_values=UNUSED)
        for packet in packets
    ]
    codes = np.concatenate(padded, axis=1) if padded else np.zeros((encoder.n_streams, 0, 0), kind)
    return Tokens(codes, tuple(encoder.levels), encoder.header, encoder.n_samples)


def save(path: str | Path, tokens: Tokens, *, force: bool = False) -> None:
    """Writes a token file; raises ZooError where it is there already, unless `force`, or cannot be written."""
    from zoo.audio import open_output

    if not isinstance(tokens, Tokens):
        raise ZooError(f"expected Tokens, which codec.tokens(encoded) makes, got {type(tokens).__name__}")
    header = tokens.header
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "weights": header.weights_hash.hex(),
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "samples": tokens.n_samples,
        "mid_side": header.mid_side,
        "packet_frames": header.packet_frames,
        "levels": list(tokens.levels),
    }
    with open_output(as_path(path), force=force) as stream:
        np.save(stream, tokens.codes)
        np.save(stream, np.frombuffer(json.dumps(about).encode(), np.uint8))


def load(path: str | Path) -> Tokens:
    """What a token file holds; raises ZooError, naming it, for a file that is none or holds codes alone."""
    place = as_path(path)
    try:
        with open(place, "rb") as stream:
            return read(stream)
    except OSError as error:
        raise ZooError(f"{place}: cannot be read ({error.strerror})") from None
    except ZooError as error:
        raise ZooError(f"{place}: {error}") from None


def read(stream: BinaryIO) -> Tokens:
    """Reads an open token file as `load` does; its errors name no file."""
    codes = _array(stream)
    if not (rest := stream.read()):
        raise ZooError(
            "holds codes alone, and not how they were made (level, channels, rate, length): write it with "
            "zoo.tokens.save, or encode with --tokens again"
        )
    try:
        about = json.loads(_array(io.BytesIO(rest)).tobytes())
        if about["format"] != _FORMAT:
            raise ValueError(f"its format is {about['format']!r}")
        if about["version"] != _VERSION:
            raise ZooError(f"is a token file of version {about['version']}; this program reads version {_VERSION}")
        names = ("sample_rate", "channels", "packet_frames", "samples")
        sample_rate, channels, packet_frames, n_samples = (arguments.whole(about[name], name) for name in names)
        levels = tuple(arguments.whole(level, "level") for level in about["levels"])
        weights = bytes.fromhex(about["weights"])
        header = Header(weights, sample_rate, channels, packet_frames, mid_side=about["mid_side"] is True)
    except (ValueError, KeyError, TypeError) as error:
        raise ZooError(f"is a damaged token file: {type(error).__name__} {error}") from None
    return Tokens(codes, levels, header, n_samples)


def _array(stream: BinaryIO) -> np.ndarray:
    try:
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    except Exception as error:  # numpy's parser raises many kinds
        raise ZooError(f"is no array that can be read ({one_line(error)})") from None
    return array
