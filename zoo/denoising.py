"""Noise off: audio of any length, rate and number of channels through a model that was trained to restore.

    blocks → resampling → streams (channels of the model) → encoder, bottleneck, decoder in chunks → resampling → mix

That is any codec: the family `denoiser` masks the spectrum, one with a bottleneck codes at its highest rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from zoo import arguments, given
from zoo.audio.arrays import as_audio, as_block
from zoo.audio.equaliser import Equaliser, parse_bands
from zoo.audio.resampler import Resampler
from zoo.coding.clips import as_batch
from zoo.coding.encode import LatentEncoder
from zoo.coding.engine import Engine
from zoo.coding.stream import FrameDecoder
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

CHUNK_S = 1.0
"""seconds that are computed at once"""


class StreamDenoiser:
    """Audio in blocks of any size to audio without noise; memory does not depend on the length.

    What has gone in comes out later, at the latest by `finish`, as many samples in all, however the blocks were cut.
    """

    def __init__(
        self,
        engine: Engine,
        sample_rate: int,
        channels: int,
        *,
        mix: float = 1.0,
        eq: str | None = None,
        chunk_s: float = CHUNK_S,
    ) -> None:
        """Takes the share `mix` of what is clean, in [0, 1], and the rest as it was; `eq` as `parse_bands` takes it.

        Raises ZooError for values without sense, and for channels that the model cannot take.
        """
        engine = arguments.instance(engine, Engine, "engine", "codec.engine")
        sample_rate, channels = arguments.sample_rate(sample_rate), arguments.whole(channels, "channels")
        share = arguments.number(mix, "mix")
        if not 0 <= share <= 1:
            raise ZooError(f"mix {share:g} is not between 0 (as it was) and 1 (clean)")
        module = engine.module
        self._engine, self._share = engine, np.float32(share)
        self._frames = engine.packet_frames(chunk_s, what="chunks")
        self._encoder = LatentEncoder(engine, sample_rate, channels, self._frames, mid_side=False)
        self._layout = self._encoder.layout
        self._decoder = FrameDecoder(engine.chunks(self._frames), self._layout.n_streams)
        self._out = Resampler(module.sample_rate, sample_rate, channels)
        self._equaliser = Equaliser(parse_bands(eq) if eq else (), sample_rate, channels)
        self._coded = bool(engine.symbols.codebook_sizes)
        # what has gone in and whose clean counterpart has not come out yet
        self._waiting = np.zeros((0, channels), np.float32)

    def push(self, block: Any) -> np.ndarray:
        """Clean samples (m', C) that (m, C), or (m,) of one channel, makes known; m' may be 0.

        Raises ZooError for other shapes and types, and for NaN.
        """
        samples = as_block(block, self._layout.channels)
        self._waiting = np.concatenate([self._waiting, samples])
        return self._mixed(self._out.push(self._decoded(self._encoder.push(samples))))

    def finish(self) -> np.ndarray:
        """The rest: as many samples as have gone in have then come out."""
        known = self._out.push(self._decoded(self._encoder.finish()))
        last = self._out.push(self._layout.join(self._decoder.finish(self._encoder.n_model_samples)))
        rest = self._out.finish(self._encoder.n_samples)
        return self._mixed(np.concatenate([known, last, rest]))

    def _decoded(self, latents: Iterable[np.ndarray]) -> np.ndarray:
        """The audio (m, C), at the model's rate, that latents (n_streams, n, D) of the next chunks determine."""
        blocks = [self._decoder.push(self._quantised(part)) for part in latents]
        none = np.zeros((self._layout.n_streams, 0, self._engine.module.channels), np.float32)
        return self._layout.join(np.concatenate([none, *blocks], axis=1))

    def _quantised(self, latents: np.ndarray) -> np.ndarray:
        if not self._coded:
            return latents
        level = self._engine.symbols.n_levels - 1
        return self._engine.dequantise(self._engine.quantise(latents, level, self._frames), level, self._frames)

    def _mixed(self, clean: np.ndarray) -> np.ndarray:
        noisy, self._waiting = self._waiting[: len(clean)], self._waiting[len(clean) :]
        mixed = clean if self._share == 1 else noisy + self._share * (clean - noisy)
        return self._equaliser.push(mixed)


def denoise(
    codec: ReadyCodec, audio: Any, sample_rate: int | None = None, *, mix: float = 1.0, eq: str | None = None
) -> np.ndarray:
    """Audio without its noise, float32 of the same shape, of audio (T,), (T, C) or (B, T, C).

    `codec` was trained by `--task denoise`; another one gives back what it gets. `sample_rate` (Hz) is the audio's, by
    default the codec's own; what lies above half of the codec's rate is lost. `mix` in [0, 1] is the share of the
    clean sound in the result, `eq` an equaliser behind it, such as "200:-3,3000:+2" (Hz and dB). Raises ZooError for
    audio that `ReadyCodec.encode` does not take, and for other values.
    """
    codec, samples = given.codec(codec), as_audio(audio)
    rate = codec.sample_rate if sample_rate is None else arguments.sample_rate(sample_rate)
    done = []
    for clip in as_batch(samples):
        stream = StreamDenoiser(codec.engine, rate, clip.shape[1], mix=mix, eq=eq)
        done.append(np.concatenate([stream.push(clip), stream.finish()]))
    return np.stack(done).reshape(samples.shape)
