"""Short windows laid closer together or further apart: for what strikes, and for noise."""

from __future__ import annotations

import numpy as np

from zoo.editing.blending import fade_gains
from zoo.editing.windows import Windows, hann, power_of_two

WINDOW_S = 0.0116
FRAMES = 256
"""computed at once"""
SEARCH_STEPS = 16
"""to a window"""


class ShortOverlapAdd:
    """A signal (T, C) in blocks to one that is `factor` times as long, round(T · factor) samples.

    Windows of 12 ms leave a stroke as sharp as it is, and repeat it within no more than that (Driedger, Müller &
    Ewert, "Improving time-scale modification of music signals using harmonic-percussive separation", 2014). Each is
    faded into the next one, over half of its length and at constant power, so that noise gets no softer. Where the
    output is shorter, windows cannot have all of the input; each then takes, from what it stands for, the loudest
    place, so that no stroke falls between two.
    """

    def __init__(self, factor: float, sample_rate: int, channels: int) -> None:
        size = power_of_two(WINDOW_S * sample_rate)
        self._factor, self._size, self._hop = factor, size, size // 2
        reach = max(0, int((self._hop / factor - self._hop) / 2))
        offsets = np.arange(-reach, reach + 1, size // SEARCH_STEPS) if reach else np.zeros(1, np.int64)
        self._offsets = offsets[np.argsort(np.abs(offsets), kind="stable")]  # the nearest of equals is the first
        self._reach = reach
        self._window = hann(size)
        self._input = Windows(channels, before=size + reach)
        self._fading = np.zeros((0, channels), np.float32)  # the second half of the last window
        self._n_frames = 0
        self._n_out = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Samples (m', C) that (m, C) makes known."""
        self._input.push(block)
        done = [np.zeros((0, self._input.channels), np.float32)]
        while self._place(self._n_frames + FRAMES - 1) + self._size + self._reach <= self._input.end:
            done.append(self._frames(FRAMES))
        self._input.forget(self._place(self._n_frames) - self._reach)
        known = np.concatenate(done)
        self._n_out += len(known)
        return known

    def finish(self) -> np.ndarray:
        """The rest."""
        total = round(self._input.end * self._factor)
        rest = [np.zeros((0, self._input.channels), np.float32)]
        while self._n_out + sum(map(len, rest)) < total:
            self._input.finish(self._place(self._n_frames + FRAMES) + self._size + self._reach)
            rest.append(self._frames(FRAMES))
        return np.concatenate(rest)[: total - self._n_out]

    def _place(self, frame: int) -> int:
        """The sample of the input at which a window begins; that of the first one has its middle on sample 0."""
        return round(frame * self._hop / self._factor) - self._size // 2

    def _frames(self, n: int) -> np.ndarray:
        places = np.array([self._place(self._n_frames + i) for i in range(n)])
        self._n_frames += n
        if self._reach:
            energies = [
                np.square(self._input.cut(places + offset, self._size) * self._window[:, None]).sum(axis=(1, 2))
                for offset in self._offsets
            ]
            places = places + self._offsets[np.argmax(energies, axis=0)]
        windows = self._input.cut(places, self._size)
        into, out = windows[:, : self._hop], windows[:, self._hop :]
        if len(self._fading):
            out_before = np.concatenate([self._fading[None], out[:-1]])
        else:
            into, out_before = into[1:], out[:-1]
        self._fading = out[-1]
        falling, rising = _gains(out_before, into)
        faded = falling[:, :, None] * out_before + rising[:, :, None] * into
        return np.asarray(faded.reshape(-1, windows.shape[2]), np.float32)


def _gains(out: np.ndarray, into: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`fade_gains` (n, hop) for each pair of (n, hop, C)."""
    shared = (out * into).sum(axis=(1, 2))
    energies = np.square(out).sum(axis=(1, 2)) * np.square(into).sum(axis=(1, 2))
    return fade_gains(out.shape[1], (shared / np.sqrt(np.maximum(energies, 1e-20)))[:, None])
