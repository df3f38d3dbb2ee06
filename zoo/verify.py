"""What every codec promises, checked on one clip: `verify_codec`, for whoever adds a family."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo import families, given
from zoo.audio.arrays import as_audio
from zoo.bitstream.entropy import Fitter
from zoo.codec import Codec
from zoo.coding.stream import FrameDecoder, FrameEncoder, packets_to_warm_up
from zoo.errors import ZooError
from zoo.random_weights import random_variables
from zoo.ready import ReadyCodec

DIFFERENT_CODES = 1e-3
"""Share of codes that may differ between two ways of computing them: what lies on a border is rounded either way."""
_BATCH = "a padded batch is not its single clips"
# each function here runs a few times, and compiling takes longer than that
_QUICK = {"xla_backend_optimization_level": 0}


def verify_codec(
    codec: ReadyCodec | Codec,
    audio: Any,
    *,
    variables: dict[str, Any] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Checks that a codec does what coding, training and evaluation rely on, whichever family it is of.

    Audio of any length comes back as long as it was; decoded codes are what the evaluation forward pass gives, at
    every level; a padded batch is its single clips, whatever lies behind them; chunks of any size, cut in any way and
    begun anywhere, are one pass over the clip; contexts are as wide as needed and no wider; streams and files hold
    the same; the bottleneck returns the losses that it names; and, of a family trained here, what is exported can be
    loaded.

    `codec` is ready for use, or a module with its `variables`, by default random ones: an untrained module hides
    faults behind layers that begin as zero. `audio` (T,) or (T, channels) is a clip of some ten frames or more at the
    codec's rate. `tolerance` is relative to the largest value that is compared. Raises ZooError, whose one line names
    the first promise that is broken.
    """
    if not isinstance(codec, Codec):
        codec = given.codec(codec)
    clip = as_audio(audio)
    clip = clip[:, None] if clip.ndim == 1 else clip
    channels = codec.module.channels if isinstance(codec, ReadyCodec) else codec.channels
    if clip.ndim != 2 or clip.shape[1] != channels:
        raise ZooError(f"a clip of this codec is (T, {channels}), got shape {clip.shape}")
    if isinstance(codec, ReadyCodec):
        ready = codec
    else:
        weights = random_variables(codec) if variables is None else variables
        ready = ReadyCodec(codec, weights, Fitter(codec.bottleneck.symbols()).fit())
    verification = _Verification(ready, clip, tolerance)
    verification.losses()
    verification.evaluation()
    verification.batches()
    verification.chunks()
    verification.lengths()
    verification.contexts()
    if verification.coded:
        verification.files()
    verification.saving()


class _Verification:
    """A codec, a clip (T, C), and what one pass over the clip makes of it; each method is a promise."""

    def __init__(self, codec: ReadyCodec, clip: np.ndarray, tolerance: float) -> None:
        self.codec, self.clip, self.tolerance = codec, clip, tolerance
        self.module, self.symbols = codec.module, codec.symbols
        self.coded = bool(self.symbols.codebook_sizes)
        self.levels = sorted({0, codec.default_level, codec.n_levels - 1})
        self.n_frames = self.module.n_frames(len(clip))

    @functools.cached_property
    def whole(self) -> dict[int, Any]:
        """For each level, the evaluation forward pass, the latent that its decoder gets, and that of its codes."""

        def evaluate(module: Codec, audio: jax.Array, level: jax.Array) -> Any:
            output = module(audio, level=level)
            latent = module.quantise(output.latent, level).latent
            return output, latent, module.dequantise(output.codes, level) if self.coded else latent

        run = jax.jit(functools.partial(self.module.apply, method=evaluate), compiler_options=_QUICK)
        levels = self.levels
        return {level: jax.device_get(run(self.codec.variables, self.clip[None], np.int32(level))) for level in levels}

    def losses(self) -> None:
        keys = jax.ShapeDtypeStruct((2,), jax.random.key(0).dtype)
        audio = jax.ShapeDtypeStruct((2, *self.clip.shape), jnp.float32)

        def train(variables: Any, audio: jax.Array, keys: jax.Array) -> Any:
            return self.module.apply(variables, audio, keys=keys)

        output = jax.eval_shape(train, self.codec.variables, audio, keys)
        bottleneck = self.module.bottleneck
        if sorted(output.losses) != sorted(bottleneck.loss_names):
            raise ZooError(f"the bottleneck names the losses {bottleneck.loss_names}, and returns {[*output.losses]}")
        for name, loss in output.losses.items():
            if loss.shape != (2,):
                raise ZooError(f"the loss {name} is not one number for each example: {loss.shape} of a batch of 2")
        for name, metric in output.metrics.items():
            if metric.shape:
                raise ZooError(f"the metric {name} is not one number: {metric.shape}")
        if (output.codebooks is None) != (bottleneck.learnt_codebooks is None):
            raise ZooError("the bottleneck's learnt_codebooks and the codebooks that it returns in training disagree")

    def evaluation(self) -> None:
        for level, (output, latent, again) in self.whole.items():
            if output.audio.shape != (1, *self.clip.shape):
                raise ZooError(f"audio of {self.clip.shape} comes back as {output.audio.shape[1:]}")
            if {output.audio.dtype, output.latent.dtype} != {np.dtype(np.float32)}:
                raise ZooError("audio and latents are float32 whatever the arithmetic is")
            if not all(np.isfinite(x).all() for x in (output.audio, output.latent)):
                raise ZooError(f"audio or latents of level {level} are not finite")
            if output.losses:
                raise ZooError(f"losses are for training, and evaluation returns {[*output.losses]}")
            most = self.symbols.n_codes(self.codec.n_levels - 1)
            if output.codes.shape != (1, self.n_frames, most):
                raise ZooError(f"codes are {output.codes.shape}, not (1, {self.n_frames}, {most}) as symbols() says")
            codes = output.codes[..., : self.symbols.n_codes(level)]
            if codes.size and not ((codes >= 0) & (codes < self.symbols.code_sizes(level))).all():
                raise ZooError(f"codes of level {level} are outside the alphabets of symbols()")
            self._close(
                again, latent, f"codes decode to something else than the evaluation forward pass at level {level}"
            )

    @functools.cached_property
    def padded(self) -> tuple[Any, int]:
        """What comes of a batch of the clip's beginning, of so many samples, and the clip, with NaN behind both."""
        length, short = len(self.clip), len(self.clip) // 3 + 1
        batch = np.full((2, length + 2 * self.module.hop_length + 1, self.module.channels), np.nan, np.float32)
        batch[0, :short], batch[1, :length] = self.clip[:short], self.clip
        levels = np.array([self.levels[0], self.codec.default_level], np.int32)

        @functools.partial(jax.jit, compiler_options=_QUICK)
        def run(variables: Any, audio: jax.Array, n_samples: jax.Array, level: jax.Array) -> Any:
            return self.module.apply(variables, audio, n_samples, level=level)

        return jax.device_get(run(self.codec.variables, batch, np.array([short, length], np.int32), levels)), short

    def batches(self) -> None:
        (together, short), alone, length = self.padded, self.whole[self.codec.default_level][0], len(self.clip)
        self._close(together.latent[1:, : self.n_frames], alone.latent, _BATCH)
        if self._same(together.codes[1:, : self.n_frames], alone.codes, _BATCH):
            self._close(together.audio[1:, :length], alone.audio, _BATCH)
        if together.audio[0, short:].any() or together.audio[1, length:].any():
            raise ZooError("a padded batch is not silent behind its clips")

    def lengths(self) -> None:
        hop = self.module.hop_length
        for n in {1, hop - 1, hop, hop + 1} - {0}:
            clip = self.clip[:n]
            if self.coded:
                decoded = self.codec.decode(self.codec.encode(clip))
            else:
                decoded = self.codec.decode_latents(self.codec.encode_latents(clip), len(clip))[0]
            if decoded.shape != clip.shape or not np.isfinite(decoded).all():
                raise ZooError(f"{len(clip)} samples come back as {decoded.shape}, or not finite")
        together, short = self.padded
        clip, n_frames = self.clip[:short], self.module.n_frames(short)
        self._close(together.latent[:1, :n_frames], self.codec.encode_latents(clip), _BATCH)
        if self.coded:
            encoded = self.codec.encode(clip, level=self.levels[0])
            if self._same(together.codes[:1, :n_frames, : encoded.codes.shape[-1]], encoded.codes, _BATCH):
                self._close(together.audio[0, :short], self.codec.decode(encoded), _BATCH)

    def chunks(self) -> None:
        for size in {self._shortest, self.codec.engine.packet_frames()}:
            self._encoder_chunks(size)
            self._decoder_chunks(size)

    def _encoder_chunks(self, size: int) -> None:
        level = self.codec.default_level
        output, chunks = self.whole[level][0], self.codec.engine.chunks(size)
        hop = self.module.hop_length

        def encoded(cuts: list[int]) -> np.ndarray:
            encoder = FrameEncoder(chunks, 1)
            pieces = [piece for part in np.split(self.clip[None], cuts, axis=1) for piece in encoder.push(part)]
            return np.concatenate(pieces + encoder.finish(), axis=1)

        latent = encoded([])
        if not np.array_equal(latent, encoded([1, hop + 1, 5 * hop // 2])):
            raise ZooError(f"latents depend on the blocks in which audio comes, in chunks of {size} frames")
        self._close(latent, output.latent, f"latents in chunks of {size} frames are not those of one pass")
        if self.coded:
            parts = self._parts(latent, size)
            codes = np.concatenate([self.codec.engine.quantise(part, level, size) for part in parts], axis=1)
            broken = f"codes in chunks of {size} frames are not those of one pass"
            self._same(codes, output.codes[..., : codes.shape[-1]], broken)

    def _decoder_chunks(self, size: int) -> None:
        level, engine = self.codec.default_level, self.codec.engine
        output, latent, _ = self.whole[level]
        parts = list(self._parts(latent, size))
        if self.coded:
            codes = output.codes[..., : self.symbols.n_codes(level)]
            parts = [engine.dequantise(part, level, size) for part in self._parts(codes, size)]
        starts = [0]
        if (warm_up := packets_to_warm_up(self.module, size)) is not None and warm_up + 2 < len(parts):
            starts.append(1)
        for first in starts:
            decoder = FrameDecoder(engine.chunks(size), 1, first * size)
            begin = decoder.position
            pieces = [decoder.push(part) for part in parts[first:]]
            audio = np.concatenate([*pieces, decoder.finish(len(self.clip))], axis=1)
            # begun in the middle, the first packets lack what was before them
            known = begin + (warm_up if first and warm_up else 0) * size * self.module.hop_length
            where = f"begun with frame {first * size} " if first else ""
            broken = f"audio {where}in chunks of {size} frames is not that of one pass"
            self._close(audio[:, known - begin :], output.audio[:, known:], broken)

    def contexts(self) -> None:
        """A frame in the middle is changed; the clip is long enough for its ends not to matter.

        With random weights: what training has made small is lost in rounding.
        """
        multiple, hop = self.module.frame_multiple, self.module.hop_length
        rng = np.random.default_rng(0)
        chunks = self.codec.engine.chunks(self._shortest).with_variables(random_variables(self.module))

        def encoded(audio: np.ndarray) -> np.ndarray:
            encoder = FrameEncoder(chunks, 1)
            return np.concatenate([*encoder.push(audio), *encoder.finish()], axis=1)

        def decoded(latent: np.ndarray) -> np.ndarray:
            decoder = FrameDecoder(chunks, 1)
            pieces = [decoder.push(part) for part in self._parts(latent, self._shortest)]
            return np.concatenate([*pieces, decoder.finish(self.module.max_samples(latent.shape[1]))], axis=1)

        latent = self.whole[self.codec.default_level][1]
        for name, run, context, width, channels, scale, lead in (
            ("encoder", encoded, self.module.encoder_context, hop, self.module.channels, 0.3, self.module.lead),
            ("decoder", decoded, self.module.decoder_context, 1, latent.shape[-1], float(latent.std()) + 1e-3, 0),
        ):
            if self.module.decodes_whole if name == "decoder" else self.module.encodes_whole:
                continue  # there is no context that would be enough
            reach = 2 * (context.before + context.after) + self._shortest
            middle = -(-reach // multiple) * multiple
            x = scale * rng.standard_normal((1, (2 * middle + multiple) * width - 2 * lead, channels))
            x = x.astype(np.float32)
            changed = x.copy()
            place = slice(middle * width - lead, (middle + multiple) * width - lead)
            changed[:, place] += scale * rng.standard_normal(changed[:, place].shape).astype(np.float32)
            steps = np.flatnonzero((run(x) != run(changed)).any(axis=(0, 2)))
            frames = steps if name == "encoder" else (steps + self.module.lead) // hop
            # in whole groups, the change reaches the frames whose context it just belongs to
            for side, distance in (("before", context.before), ("after", -context.after)):
                if (middle + distance) // multiple not in frames // multiple:
                    raise ZooError(f"the {name}'s context is wider than needed: {abs(distance)} frames {side}")

    def files(self) -> None:
        codec, clip = self.codec, self.clip
        blob = codec.compress(clip)
        audio, rate = codec.decompress(blob)
        if rate != codec.sample_rate or not np.array_equal(audio, codec.decode(codec.encode(clip))):
            raise ZooError("a file does not decode to what its codes decode to")
        encoder = codec.stream_encoder(codec.sample_rate, codec.channels)
        cuts = np.split(clip, [1, len(clip) // 2])
        if b"".join([*(encoder.push(part) for part in cuts), encoder.finish()]) != blob:
            raise ZooError("a stream in blocks has other bytes than the file of the whole clip")
        decoder, half = codec.stream_decoder(), len(blob) // 2
        pieces = [decoder.push(blob[:half]), decoder.push(blob[half:]), decoder.finish()]
        if not np.array_equal(np.concatenate([piece for piece in pieces if len(piece)]), audio):
            raise ZooError("a file in pieces decodes to other audio than the whole file")

    def saving(self) -> None:
        from zoo.published.load import export, load_published

        if self.codec.metadata.get("family") not in families.names():
            return
        with tempfile.TemporaryDirectory() as folder:
            export(self.codec, Path(folder) / "codec")
            if load_published(Path(folder) / "codec").digest != self.codec.digest:
                raise ZooError("what is exported and loaded is not the codec that it was")

    @property
    def _shortest(self) -> int:
        """Frames in the shortest packet."""
        multiple = self.module.frame_multiple
        return -(-max(multiple, self.module.min_first_frames) // multiple) * multiple

    def _parts(self, x: np.ndarray, size: int) -> Iterator[np.ndarray]:
        return (x[:, start : start + size] for start in range(0, x.shape[1], size))

    def _close(self, found: Any, wanted: Any, broken: str) -> None:
        found, wanted = np.asarray(found), np.asarray(wanted)
        if found.shape != wanted.shape:
            raise ZooError(f"{broken}: the shapes are {found.shape} and {wanted.shape}")
        largest = float(np.abs(wanted).max(initial=0.0))
        error = float(np.abs(found - wanted).max(initial=0.0))
        if not error <= self.tolerance * largest:
            raise ZooError(f"{broken}: they differ by up to {error:.2g}, where the largest value is {largest:.2g}")

    def _same(self, found: np.ndarray, wanted: np.ndarray, broken: str) -> bool:
        """Whether codes are equal; raises ZooError where more than a few are not."""
        if found.shape != wanted.shape:
            raise ZooError(f"{broken}: the shapes of the codes are {found.shape} and {wanted.shape}")
        share = float((found != wanted).mean()) if found.size else 0.0
        if share > DIFFERENT_CODES:
            raise ZooError(f"{broken}: {share:.1%} of the codes differ")
        return share == 0
