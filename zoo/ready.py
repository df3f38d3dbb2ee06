"""A codec ready for use: module, weights and tables behind `encode` and `decode` of any rate, length and channels."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from zoo import arguments, coding, families
from zoo.arguments import as_array
from zoo.audio.arrays import as_audio
from zoo.bitstream.layout import Header
from zoo.coding import codes as bare_codes
from zoo.coding.clips import Encoded, from_model, to_model
from zoo.errors import ZooError
from zoo.nn.bottlenecks import SymbolFormat
from zoo.tokens import Tokens


@dataclass(frozen=True, eq=False, repr=False)
class ReadyCodec(coding.CodecParts):
    """What `zoo.load` returns; `module` and `variables` are the pure linen codec and its weights."""

    def __repr__(self) -> str:
        module = self.module
        parts = [
            str(self.metadata.get("family", "codec")),
            f"{module.sample_rate} Hz",
            f"{module.channels} channel{'s' * (module.channels > 1)}",
            f"{module.frame_rate_hz:g} frames/s of {self.symbols.n_codes(self.n_levels - 1)} codes",
            f"{self.n_levels} level{'s' * (self.n_levels > 1)}",
            f"{sum(x.size for x in jax.tree.leaves(self.variables)) / 1e6:.1f} M parameters",
        ]
        if "step" in self.metadata:
            parts.append(f"step {self.metadata['step']}")
        return f"ReadyCodec({', '.join(parts)})"

    @property
    def sample_rate(self) -> int:
        return self.module.sample_rate

    @property
    def channels(self) -> int:
        return self.module.channels

    @property
    def hop_length(self) -> int:
        return self.module.hop_length

    @functools.cached_property
    def latent_dim(self) -> int:
        """Dimensions D of the latents (N, F, D)."""
        init = functools.partial(self.module.init_with_output, method="encode")
        latents, _ = jax.eval_shape(init, jax.random.key(0), *self.module.example())
        return int(latents.shape[2])

    @functools.cached_property
    def _decoded_dim(self) -> int:
        """Dimensions of latents that codes stand for: a bitrate may be among them."""
        if not self.symbols.codebook_sizes:
            return self.latent_dim
        codes = np.zeros((1, self.module.frame_multiple, self.symbols.n_codes(0)), np.int32)
        dequantise = functools.partial(self.module.apply, level=0, method="dequantise")
        return int(jax.eval_shape(dequantise, self.variables, codes).shape[2])

    @functools.cached_property
    def engine(self) -> coding.Engine:
        """What the functions of `zoo.coding` take."""
        parts = {part.name: getattr(self, part.name) for part in dataclasses.fields(coding.CodecParts)}
        return coding.Engine(**parts)

    def with_precision(self, precision: coding.Precision) -> ReadyCodec:
        """The same codec whose networks compute in "float32" or "bfloat16", for accelerators that do this faster.

        Its digest, files and codes are the same codec's. Where bfloat16 gives more than 5 other codes in 1,000
        (`module.codes_hold`), what would encode to codes raises ZooError; decoding, and encoding to latents, is open to
        all. Raises ZooError for other precisions, and for a family that computes in float32 alone.
        """
        if precision not in get_args(coding.Precision):
            raise ZooError(f"precision {precision!r}: choose {' or '.join(get_args(coding.Precision))}")
        if precision == self.precision:
            return self
        family, model = self.metadata["family"], self.metadata["model"]
        narrow = {} if precision == "float32" else {"dtype": jnp.dtype(precision)}
        try:
            module = families.create(family, **{**model, **narrow})
        except ZooError:
            raise ZooError(f"{self.origin}: {family} computes in float32 alone") from None
        return dataclasses.replace(self, module=module, precision=precision)

    def with_batch_size(self, batch_size: int) -> ReadyCodec:
        """The same codec, which computes `batch_size` streams at once where there are as many.

        A stream is a clip of a batch, or a channel of a codec of one. Its codes are those that it has alone, but for
        ties that rounding decides. Without it a codec computes one stream at a time on a CPU, and 16 on accelerators.
        Raises ZooError for a number below 1.
        """
        return dataclasses.replace(self, batch_size=arguments.count(batch_size, "batch_size"))

    @property
    def symbols(self) -> SymbolFormat:
        return self.engine.symbols

    @property
    def n_levels(self) -> int:
        """Operating points, from 0 (lowest rate) to n_levels − 1."""
        return self.symbols.n_levels

    @property
    def default_level(self) -> int:
        level: int = self.module.bottleneck.default_level
        return level

    def encode(
        self,
        audio: Any,
        sample_rate: int | None = None,
        *,
        n_codebooks: int | None = None,
        level: int | None = None,
    ) -> Encoded:
        """The codes of audio (T,), (T, C) or (B, T, C): an array of numpy, jax or torch, or a list.

        Its samples are floats in [-1, 1], or PCM of a kind that `zoo.audio.arrays.as_samples` takes.

        `sample_rate` (Hz) is the audio's, by default the codec's own. The rate of the code is chosen by `level`, or,
        for residual vector quantisation, by `n_codebooks`. Raises ZooError for NaN, an empty or misshapen array, one
        of another order (C, T), a level that is none.
        """
        samples = as_audio(audio)
        rate = self._rate(sample_rate)
        chosen = self.engine.level(level, n_codebooks)
        model_audio = to_model(samples, rate, self.module)
        return Encoded(self.engine.encode(model_audio, chosen), chosen, rate, samples.shape, model_audio.shape[1])

    def decode(
        self, encoded: Encoded | Tokens | Any, length: int | None = None, *, level: int | None = None
    ) -> np.ndarray:
        """Audio float32 of `encoded`, shaped as what went in; or (N, length, channels) of bare codes (N, F, Q).

        Of `Tokens`, what a token file holds, it is (T, C) at the file's own rate: exactly that of the `.zac` file.

        For bare codes `length` is in samples at the codec's rate, by default all that the frames hold, and `level` the
        operating point they were made at. Where levels differ in their number of codes (residual vector quantisation)
        it may be left out: each frame then has the level of its codes, -1 standing for those it has not. Channels are
        not put together: where codes are of mid and side, so is the audio. Raises ZooError for codes that are none of
        this codec's, or whose level cannot be known.
        """
        if isinstance(encoded, Encoded | Tokens) and not (length is None and level is None):
            raise ZooError("length and level belong to bare codes; an Encoded knows its own, and so do Tokens")
        if isinstance(encoded, Tokens):
            return coding.decode_all(self.engine, encoded)
        known = isinstance(encoded, Encoded)
        self.engine.check_coded()
        codes = bare_codes.check(encoded.codes if known else encoded, self.symbols, self.module.frame_multiple)
        n_samples = encoded.model_samples if known else self._length(length, codes.shape[1])
        chosen = encoded.level if known else level
        levels = bare_codes.levels(codes, self.symbols, None if chosen is None else self.engine.level(chosen))
        decoded = self.engine.decode(codes, n_samples, levels)
        return from_model(decoded, encoded, self.module) if known else decoded

    def tokens(self, encoded: Encoded) -> Tokens:
        """The codes of one clip with all that decoding takes besides the codec, for `zoo.tokens.save`.

        A stereo clip through a codec of one channel stays left and right. Raises ZooError for a batch of clips, and for
        codes that this codec cannot have made.
        """
        self._check_encoded(encoded)
        if encoded.n_clips != 1:
            raise ZooError(f"tokens are of one clip (T,) or (T, C), got a batch of shape {encoded.shape}")
        frames = self.packet_frames()
        header = Header(self.digest, encoded.sample_rate, encoded.channels, frames, mid_side=False)
        levels = (encoded.level,) * -(-encoded.codes.shape[1] // frames)
        return Tokens(encoded.codes, levels, header, encoded.n_samples)

    def encode_latents(self, audio: Any, sample_rate: int | None = None) -> np.ndarray:
        """Latents float32 (N, F, D), not quantised, of audio as `encode` takes it; errors as there.

        N is the batch; a codec with fewer channels than the audio takes channels as clips of their own.
        """
        samples, rate = as_audio(audio), self._rate(sample_rate)
        return np.concatenate(self.engine.encode_latents(to_model(samples, rate, self.module)), axis=1)

    def decode_latents(self, latents: Any, length: int | None = None) -> np.ndarray:
        """Audio float32 (N, length, channels) at the codec's rate of latents (N, F, D), quantised or not.

        `length` is by default all that the frames hold. Raises ZooError for latents that are misshapen, not finite, or
        of another number of dimensions D than the decoder takes.
        """
        frames = as_array(latents, "latents")
        real = jnp.issubdtype(frames.dtype, jnp.floating) or jnp.issubdtype(frames.dtype, jnp.integer)
        if not real or frames.ndim != 3 or 0 in frames.shape or frames.shape[1] % self.module.frame_multiple:
            raise ZooError(
                f"latents must be (N, F, D), got {frames.dtype} {frames.shape}; they come from encode_latents"
            )
        frames = frames.astype(np.float32)
        if not np.isfinite(frames).all():
            raise ZooError("latents hold NaN or infinity")
        if frames.shape[2] not in (taken := {self.latent_dim, self._decoded_dim}):
            those = " or ".join(map(str, sorted(taken)))
            raise ZooError(f"latents have {frames.shape[2]} dimensions, this codec's have {those}")
        return self.engine.decode_latents(frames, self._length(length, frames.shape[1]))

    @property
    def digest(self) -> bytes:
        """16 bytes that stand for all that decoding takes: family, hyper-parameters, weights and tables (SHA-256)."""
        return self.engine.digest

    def compress(
        self,
        audio: Any,
        sample_rate: int | None = None,
        *,
        bitrate: float | None = None,
        level: int | None = None,
        packet_s: float | None = None,
    ) -> bytes:
        """A `.zac` file of audio (T,) or (T, C), as `encode` takes it, at any sample rate (Hz).

        The payload's mean rate lands just below `bitrate` (kbps, all channels together); or all packets get the same
        `level`, by default the codec's. Raises ZooError where the codec cannot do that.
        """
        samples, rate = as_audio(audio), self._rate(sample_rate)
        if samples.ndim == 3:
            raise ZooError(f"a file holds one clip (T,) or (T, C), got shape {samples.shape}")
        samples = samples[:, None] if samples.ndim == 1 else samples
        return coding.compress(self.engine, samples, rate, bitrate=bitrate, level=level, packet_s=packet_s).data

    def decompress(self, blob: bytes) -> coding.DecodedAudio:
        """`audio, sample_rate` of a `.zac` file: float32 (T, C) and Hz, just what `compress` was given.

        Raises BitstreamError for a file that is damaged, or not this codec's.
        """
        return coding.decompress(self.engine, blob)

    def stream_encoder(
        self,
        sample_rate: int | None = None,
        channels: int = 1,
        *,
        bitrate: float | None = None,
        level: int | None = None,
        packet_s: float | None = None,
    ) -> coding.StreamEncoder:
        """Takes blocks of any size, gives the bytes of a `.zac` file as they come: `push(block)`, then `finish()`.

        At a constant level they are those of `compress`; at a `bitrate` the future is not known, and a reservoir of
        `zoo.coding.rate.RESERVOIR_S` seconds evens it out. `sample_rate` (Hz) is by default the codec's own. Raises
        ZooError where the codec cannot do that.
        """
        rate, channels = self._rate(sample_rate), arguments.whole(channels, "channels")
        policy = coding.level_policy(self.engine, bitrate, level)
        packet_frames = self.packet_frames(packet_s)
        return coding.StreamEncoder(self.engine, rate, channels, policy=policy, packet_frames=packet_frames)

    def stream_decoder(self) -> coding.StreamDecoder:
        """Takes pieces of a `.zac` file, gives its audio as it becomes known: `push(data)`, then `finish()`."""
        return coding.StreamDecoder(self.engine)

    def stream_latency_s(self, packet_s: float | None = None) -> float:
        """Most seconds from a sample's going into a stream encoder to its coming out of a stream decoder.

        A packet, what encoder and decoder look ahead, and the end of a frame of which it is not yet known how far the
        clip fills it; resampling, where there is any, adds a few milliseconds. Infinity for a codec that encodes or
        decodes whole clips.
        """
        module = self.module
        if module.decodes_whole or module.encodes_whole:
            return math.inf
        ahead = module.encoder_context.after + max(module.decoder_context.after, module.frame_multiple)
        frames = self.packet_frames(packet_s) + ahead
        return (frames * module.hop_length + 2 * module.lead + module.tail) / self.sample_rate

    def count_bytes(self, encoded: Encoded) -> int:
        """Bytes of all codes after entropy coding, in packets as `compress` makes them, without the container.

        Raises ZooError for codes that this codec cannot have made.
        """
        self._check_encoded(encoded)
        step = self.packet_frames()
        streams = np.split(encoded.codes, encoded.n_clips)
        packets = [codes[:, i : i + step] for codes in streams for i in range(0, codes.shape[1], step)]
        return sum(len(self.entropy.encode(codes, encoded.level)) for codes in packets)

    def packet_frames(self, packet_s: float | None = None) -> int:
        """Latent frames in a packet of about `packet_s` seconds, by default one second.

        Raises ZooError where that is not a number of frames that a file may have.
        """
        return self.engine.packet_frames(packet_s)

    def _check_encoded(self, encoded: Encoded) -> None:
        """Raises ZooError for what `encode` does not return, and for codes of other numbers than this codec's."""
        if not isinstance(encoded, Encoded):
            raise ZooError(f"expected what encode returns, an Encoded, got {type(encoded).__name__}")
        self.engine.check_coded()
        codes = bare_codes.check(encoded.codes, self.symbols, self.module.frame_multiple)
        bare_codes.levels(codes, self.symbols, self.engine.level(encoded.level))

    def _rate(self, sample_rate: Any) -> int:
        return self.sample_rate if sample_rate is None else arguments.sample_rate(sample_rate)

    def _length(self, length: int | None, n_frames: int) -> int:
        longest = self.module.max_samples(n_frames)
        if length is None:
            return longest
        wanted = arguments.whole(length, "length")
        if not 0 <= wanted <= longest:
            raise ZooError(f"length {wanted} does not fit {n_frames} frames of up to {longest} samples")
        return wanted
