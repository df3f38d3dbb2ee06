"""What coding takes of a codec: module, weights and entropy coder, with the compiled functions of its chunks."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np

from zoo import arguments
from zoo.bitstream.entropy import EntropyModel
from zoo.bitstream.layout import MAX_PACKET_FRAMES
from zoo.codec import Codec
from zoo.coding import codes as bare_codes
from zoo.coding.channels import ChannelLayout
from zoo.coding.chunks import Chunks
from zoo.coding.stream import FrameDecoder, FrameEncoder
from zoo.errors import ZooError
from zoo.nn.bottlenecks import SymbolFormat

Precision = Literal["float32", "bfloat16"]
"""that networks compute in; parameters, spectra and quantisation are float32 always"""
PACKET_S = 1.0
"""seconds to a packet, and to a chunk, where nobody asks for another length"""
ACCELERATOR_BATCH = 16
"""streams whose chunks are computed at once on accelerators, where nobody asks for another number"""
MAX_PACKET_CODES = 1 << 20
"""so that a few bytes that claim to be a packet cannot ask for much memory"""


def denoises(metadata: Mapping[str, Any]) -> bool:
    """Whether a codec with these metadata was trained to restore its input, not to give it back."""
    return "denoise" in (metadata.get("task"), metadata.get("config", {}).get("task"))


@dataclass(frozen=True, eq=False, repr=False)
class CodecParts:
    """What a codec that is ready for use consists of; what is made of it, such as compiled programs, is not pickled."""

    module: Codec
    variables: dict[str, Any]
    entropy: EntropyModel
    """coder of the codes, with the integer tables that were fitted to them"""
    metadata: dict[str, Any] = field(default_factory=dict)
    """family and hyper-parameters, which the digest covers, and the path for error texts"""
    precision: Precision = "float32"
    """that networks compute in"""
    batch_size: int | None = None
    """streams whose chunks are computed at once, where there are as many; None: 1 on a CPU, 16 on accelerators"""

    @property
    def origin(self) -> str:
        """What it was loaded from, for error texts."""
        return str(self.metadata.get("path", "this codec"))

    @property
    def denoises(self) -> bool:
        """Whether it was trained to restore its input, not to give it back."""
        return denoises(self.metadata)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was compiled for them is made again where a copy, or another process, needs it."""
        return {part.name: getattr(self, part.name) for part in dataclasses.fields(self)}


@dataclass(frozen=True, eq=False, repr=False)
class Engine(CodecParts):
    """A codec as encoder, decoder and streams use it; all arrays at its own rate and number of channels.

    Shapes: audio (N, T, channels), latents (N, F, D), codes int32 (N, F, Q); N are the streams, coded each by itself.
    """

    @functools.cached_property
    def symbols(self) -> SymbolFormat:
        """What the entropy coder knows of the codes."""
        symbols: SymbolFormat = self.module.bottleneck.symbols()
        return symbols

    @functools.cached_property
    def digest(self) -> bytes:
        """16 bytes that stand for all that decoding takes: family, hyper-parameters, weights and tables (SHA-256)."""
        model = json.dumps([self.metadata.get("family"), self.metadata.get("model")], sort_keys=True, default=str)
        content = hashlib.sha256(model.encode())
        leaves = jax.tree_util.tree_leaves_with_path({"variables": self.variables, "entropy": self.entropy.arrays})
        for path, leaf in leaves:  # in the order of sorted names
            array = np.asarray(leaf)
            content.update(f"{jax.tree_util.keystr(path)} {array.dtype.name} {array.shape}".encode())
            content.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        return content.digest()[:16]

    def level(self, level: int | None = None, n_codebooks: int | None = None) -> int:
        """The operating point asked for, by default the codec's; raises ZooError for one that it does not have."""
        self.check_coded()
        return bare_codes.operating_point(self.symbols, self.module.bottleneck.default_level, level, n_codebooks)

    def check_coded(self, instead: str | None = None) -> None:
        """Raises ZooError for a codec whose latents are not quantised, which names what there is `instead` of codes."""
        if not self.symbols.codebook_sizes:
            what, there_is = "its latents are continuous", "see encode_latents, decode_latents"
            if self.denoises:
                what, there_is = "it is a denoiser", "see python -m zoo denoise"
            raise ZooError(f"{self.origin} has no codes, {what}: {instead or there_is}")

    def check_encodes(self) -> None:
        """Raises ZooError where networks compute in a precision that gives other codes than float32."""
        if self.precision != "float32" and not self.module.codes_hold:
            raise ZooError(
                f"{self.origin}: in {self.precision} more than 5 of 1,000 codes would be others than in float32; only "
                f"decoding, and latents, may be computed in it"
            )

    def packet_frames(self, packet_s: float | None = None, *, what: str = "packets") -> int:
        """Latent frames in a packet (and chunk) of about `packet_s` seconds, by default one second.

        Raises ZooError, of `what` there would be, where that is not a number of frames that a file may have.
        """
        wanted = PACKET_S if packet_s is None else arguments.number(packet_s, "packet_s")
        module, multiple = self.module, self.module.frame_multiple
        shortest = max(multiple, module.min_first_frames)
        frames = round(wanted * module.frame_rate_hz / multiple) * multiple if 0 < wanted < 1e6 else 0
        if packet_s is None:
            frames = max(frames, shortest)  # of a codec whose frames are long
        if not shortest <= frames <= MAX_PACKET_FRAMES:
            shortest_s, longest_s = (n / module.frame_rate_hz for n in (shortest, MAX_PACKET_FRAMES))
            raise ZooError(f"{what} of {wanted:g} s: choose {shortest_s:.3f} to {longest_s:.1f} s")
        return frames

    def layout(
        self, channels: int, packet_frames: int, *, mid_side: bool | None = None, apart: bool = False
    ) -> ChannelLayout:
        """How a source of so many channels is coded; two channels go as mid and side through a mono codec.

        With `apart`, a codec of several channels takes more of them one by one.
        Raises ZooError if the codec cannot take them, or a packet of them would be larger than MAX_PACKET_CODES.
        """
        possible = channels == 2 and self.module.channels == 1
        rotated = possible if mid_side is None else mid_side and possible
        layout = ChannelLayout(channels, self.module.channels, rotated, apart)
        n_codes = layout.n_streams * packet_frames * self.symbols.n_codes(self.symbols.n_levels - 1)
        if n_codes > MAX_PACKET_CODES:
            raise ZooError(f"packets of {packet_frames} frames of {channels} channels hold {n_codes} codes, too many")
        return layout

    def chunks(self, packet_frames: int) -> Chunks:
        """Compiled functions for chunks of so many frames; the same ones at every call."""
        cache = self._chunks
        if packet_frames not in cache:
            size = self.batch_size or (1 if jax.default_backend() == "cpu" else ACCELERATOR_BATCH)
            cache[packet_frames] = Chunks(self.module, self._placed, packet_frames, size)
        return cache[packet_frames]

    @functools.cached_property
    def _placed(self) -> dict[str, Any]:
        """The variables on a device: arrays of numpy would be taken there at each call."""
        placed: dict[str, Any] = jax.device_put(self.variables)
        return placed

    @functools.cached_property
    def _chunks(self) -> dict[int, Chunks]:
        return {}

    def quantise(self, latents: np.ndarray, level: int, packet_frames: int) -> np.ndarray:
        """Codes int32 (N, n, q) at a level of the latents (N, n, D) of one packet, n up to packet_frames."""
        return self.chunks(packet_frames).quantise(latents, level)[..., : self.symbols.n_codes(level)]

    def contents(self, latents: np.ndarray, packet_frames: int) -> np.ndarray:
        """About how many bits the latents (N, n, D) of one packet take at each level, (n_levels,), up to a factor."""
        symbols, n_frames = self.symbols, latents.shape[1]
        if not symbols.ordered:
            return np.array([n_frames * np.log2(symbols.code_sizes(k)).sum() for k in range(symbols.n_levels)])
        padded = np.pad(latents, ((0, 0), (0, packet_frames - n_frames), (0, 0)))
        chunks = self.chunks(packet_frames)
        return np.sum([chunks.contents(stream, n_frames) for stream in padded], axis=0)

    def dequantise(self, codes: np.ndarray, level: int, packet_frames: int) -> np.ndarray:
        """Latents (N, n, D) of the codes (N, n, q) of one packet."""
        return self.chunks(packet_frames).dequantise(codes, level)

    def encode_latents(self, audio: np.ndarray) -> list[np.ndarray]:
        """Latents (N, n, D) of each packet of audio (N, T, channels)."""
        encoder = FrameEncoder(self.chunks(self.packet_frames()), len(audio))
        return encoder.push(audio) + encoder.finish()

    def decode_latents(self, latents: np.ndarray, n_samples: int) -> np.ndarray:
        """Audio float32 (N, n_samples, channels) of latents (N, F, D), of which the frames hold at least as much."""
        size = self.packet_frames()
        decoder = FrameDecoder(self.chunks(size), len(latents))
        pieces = [decoder.push(latents[:, start : start + size]) for start in range(0, latents.shape[1], size)]
        return np.concatenate([*pieces, decoder.finish(n_samples)], axis=1)

    def encode(self, audio: np.ndarray, level: int) -> np.ndarray:
        """Codes (N, F, q) of audio (N, T, channels) at a level; raises ZooError as `check_encodes`."""
        self.check_encodes()
        size = self.packet_frames()
        return np.concatenate([self.quantise(part, level, size) for part in self.encode_latents(audio)], axis=1)

    def decode(self, codes: np.ndarray, n_samples: int, levels: np.ndarray) -> np.ndarray:
        """Audio (N, n_samples, channels) of codes (N, F, q) whose frames have the levels (N, F)."""
        size = self.packet_frames()
        dequantise = functools.partial(self.dequantise, packet_frames=size)
        latents = [
            bare_codes.dequantised(
                codes[:, start : start + size], levels[:, start : start + size], self.symbols, dequantise
            )
            for start in range(0, codes.shape[1], size)
        ]
        return self.decode_latents(np.concatenate(latents, axis=1), n_samples)

    def packet_bytes(self, codes: np.ndarray, level: int) -> float:
        """An upper bound of the payload's bytes of a packet with these codes: the coder ends on whole bytes."""
        return self.entropy.bits(codes, level) / 8 + 1
