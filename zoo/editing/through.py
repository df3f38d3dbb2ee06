"""Edits of latents on their way through a codec: audio of any rate, length and number of channels in and out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.audio.resampler import Resampler
from zoo.coding.encode import LatentEncoder
from zoo.coding.engine import Engine
from zoo.coding.stream import FrameDecoder
from zoo.editing.frames import FrameEditor
from zoo.editing.stretching import FINE

CHUNK_S = 4.0
"""seconds that are computed at once: what is computed twice, around them, is the smaller part"""


class LatentEditor:
    """Blocks of one or several inputs to blocks of the result, by way of latents; memory does not depend on the length.

        each input: blocks → resampling → encoder ┐
                                                  ├ edit of the frames → decoder → resampling → blocks
        …                                         ┘

    Latents are not quantised. However the signals are cut into blocks, the outputs together are the same.
    """

    def __init__(
        self,
        engine: Engine,
        sample_rate: int,
        channels: int,
        edit: FrameEditor,
        *,
        n_inputs: int = 1,
        factor: float = 1.0,
        speed: float = 1.0,
    ) -> None:
        """`factor` is how much longer the result is than an input; the decoded audio is played `speed` times as fast.

        Raises ZooError for channels that the model cannot take.
        """
        module = engine.module
        self._module, self._edit, self._factor = module, edit, factor
        self._size = engine.packet_frames(CHUNK_S)
        self._encoders = [
            LatentEncoder(engine, sample_rate, channels, self._size, mid_side=False) for _ in range(n_inputs)
        ]
        self._layout = self._encoders[0].layout
        self._decoder = FrameDecoder(engine.chunks(self._size), self._layout.n_streams)
        decoded_hz, out_hz = module.sample_rate, sample_rate
        if speed != 1:
            decoded_hz, out_hz = round(FINE * decoded_hz * speed), FINE * out_hz
        self._out = Resampler(decoded_hz, out_hz, channels)
        self._latents: np.ndarray | None = None  # edited, and not yet as many as a chunk has

    def push(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Samples (m', C) that a block (m, C) of each input makes known; m' may be 0."""
        # lists, since every encoder has to take in its whole block
        latents = [list(encoder.push(block)) for encoder, block in zip(self._encoders, blocks)]
        return self._out.push(self._decoded([self._edit.push(parts) for parts in zip(*latents)]))

    def finish(self) -> np.ndarray:
        """The rest: round(T · factor) samples have then come out."""
        n_samples = round(self._encoders[0].n_samples * self._factor)
        n_model = -(-n_samples * self._out.from_hz // self._out.to_hz)
        edited = [self._edit.push(parts) for parts in zip(*(encoder.finish() for encoder in self._encoders))]
        if n_model:
            edited.append(self._edit.finish(self._module.n_frames(n_model)))
        known = self._out.push(self._decoded(edited, last=True))
        rest = self._out.push(self._layout.join(self._decoder.finish(n_model)))
        return np.concatenate([known, rest, self._out.finish(n_samples)])

    def _decoded(self, parts: list[np.ndarray], *, last: bool = False) -> np.ndarray:
        """The audio (m, C), at the model's rate, that further latents (n_streams, n, D) determine."""
        done = [np.zeros((self._layout.n_streams, 0, self._module.channels), np.float32)]
        waiting = [part for part in (self._latents, *parts) if part is not None and part.shape[1]]
        if waiting:
            latents = np.concatenate(waiting, axis=1)
            while latents.shape[1] >= self._size or (last and latents.shape[1]):
                done.append(self._decoder.push(latents[:, : self._size]))
                latents = latents[:, self._size :]
            self._latents = latents
        return self._layout.join(np.concatenate(done, axis=1))
