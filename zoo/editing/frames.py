"""What is done to latents in time, frame after frame: stretching, weighted sums, and filters that were fitted.

Latents are (N, F, D) float32. The centre of frame f lies `offset` + f frames after a clip's first sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

from zoo import arguments
from zoo.arguments import as_array
from zoo.codec import Codec
from zoo.editing.blending import Weights
from zoo.editing.stretching import check_factor
from zoo.errors import ZooError

Interpolation = Literal["linear", "cubic"]


class FrameEditor(Protocol):
    """What makes of the latents of one or several inputs, which come together, those of the result."""

    def push(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Latents (N, m, D) that the next ones (N, n, D) of each input make known."""

    def finish(self, n_frames: int) -> np.ndarray:
        """The rest of `n_frames` in all, no fewer than have come out already."""


class Blend:
    """The sum of all inputs, with weights at the centres of their frames."""

    def __init__(self, weights: Weights, module: Codec) -> None:
        self._weights, self._offset, self._frame_s = weights, frame_offset(module), 1 / module.frame_rate_hz
        self._n_frames = 0

    def push(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Latents (N, n, D) of as many of each input."""
        n = inputs[0].shape[1]
        instants = (self._n_frames + self._offset + np.arange(n)) * self._frame_s
        self._n_frames += n
        weights = self._weights(instants).astype(np.float32)
        return np.asarray(sum(weight[None, :, None] * latents for weight, latents in zip(weights, inputs)))

    def finish(self, n_frames: int) -> np.ndarray:
        """Nothing: what came is out."""
        return np.zeros((0, 0, 0), np.float32)


class Stretch:
    """Latents interpolated between frames: `factor` times as many."""

    def __init__(self, factor: float, module: Codec, interpolation: Interpolation = "linear") -> None:
        self._factor, self._offset, self._interpolation = check_factor(factor), frame_offset(module), interpolation
        self._held: np.ndarray | None = None
        self._first = 0  # number of the first frame that is held
        self._n_out = 0

    def push(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Latents (N, m, D) that the next ones (N, n, D) make known."""
        (latents,) = inputs
        self._held = latents if self._held is None else np.concatenate([self._held, latents], axis=1)
        return self._until(int((self._first + self._held.shape[1] - 3 + self._offset) * self._factor - self._offset))

    def finish(self, n_frames: int) -> np.ndarray:
        """The rest of `n_frames` in all."""
        return np.zeros((0, 0, 0), np.float32) if self._held is None else self._until(n_frames)

    def _until(self, stop: int) -> np.ndarray:
        """Output frames from where they stand to `stop`."""
        assert self._held is not None
        places = _places(np.arange(self._n_out, max(stop, self._n_out)), self._factor, self._offset)
        self._n_out += len(places)
        done = _between(self._held, places - self._first, self._interpolation)
        needed = int(_places(np.array([self._n_out]), self._factor, self._offset)[0]) - 2 - self._first
        # the last ones are needed where the clip ends
        dropped = max(0, min(needed, self._held.shape[1] - 4))
        self._held, self._first = self._held[:, dropped:], self._first + dropped
        return done


def stretch_latents(
    latents: Any,
    factor: float,
    *,
    offset: float = 0.0,
    n_frames: int | None = None,
    interpolation: Interpolation = "linear",
) -> np.ndarray:
    """Latents (N, round(F · factor), D), or `n_frames` of them, float32, interpolated between those of (N, F, D).

    `offset` is `frame_offset` of the codec, if instants are to be met exactly. Beyond the first and the last frame
    these are repeated. Raises ZooError for misshapen latents, and for a factor outside `stretching.FACTORS`.
    """
    frames = np.asarray(as_array(latents, "latents"), np.float32)
    if frames.ndim != 3 or 0 in frames.shape:
        raise ZooError(f"latents must be (N, F, D) and not empty, got shape {frames.shape}")
    n = round(frames.shape[1] * check_factor(factor)) if n_frames is None else n_frames
    return _between(frames, _places(np.arange(n), factor, offset), interpolation)


def frame_offset(module: Codec) -> float:
    """Where the centre of a clip's first frame lies, in frames after its first sample; `module` is `codec.module`."""
    module = arguments.instance(module, Codec, "module", "codec.module")
    return 0.5 - module.lead / module.hop_length


def _places(frames: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """Where in the input output frames lie, in its frames."""
    return (frames + offset) / factor - offset


def _between(frames: np.ndarray, places: np.ndarray, interpolation: Interpolation) -> np.ndarray:
    """Latents (N, n, D) at places (n,) among (N, F, D); a cubic is Catmull and Rom's."""
    last = frames.shape[1] - 1
    places = np.clip(places, 0, last)
    below = np.minimum(places.astype(np.int64), max(last - 1, 0))
    t = (places - below).astype(np.float32)[None, :, None]

    def at(lag: int) -> np.ndarray:
        return frames[:, np.clip(below + lag, 0, last)]

    if interpolation == "linear":
        return (1 - t) * at(0) + t * at(1)
    if interpolation != "cubic":
        raise ZooError(f"unknown interpolation {interpolation!r}: choose linear or cubic")
    p, q, r, s = at(-1), at(0), at(1), at(2)
    return np.asarray(q + 0.5 * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p))))
