"""What sounds on and what strikes: a signal as the sum of a harmonic and a percussive one, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.editing.windows import OverlapAdd, Windows, hann, power_of_two

WINDOW_S = 0.046
HARMONIC_S = 0.2
"""how long a bin is looked at to tell what sounds on"""
PERCUSSIVE_HZ = 500.0
"""how wide a band is looked at to tell what strikes"""
FRAMES = 32
"""computed at once"""


@dataclass(frozen=True, eq=False)
class Parts:
    """Two signals (m, C) whose sum is what went in."""

    harmonic: np.ndarray
    percussive: np.ndarray


class Separator:
    """Median filters along time and frequency decide for each bin of an STFT which part it belongs to.

    Fitzgerald, "Harmonic/percussive separation using median filtering", 2010, with the binary masks of Driedger, Müller
    & Ewert, 2014. Channels share one mask, so that a sound stays where it is between them. The percussive part is what
    is left of the input, so that both add up to it.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        size = power_of_two(WINDOW_S * sample_rate)
        self._size, self._hop = size, size // 4
        self._half_time = max(1, round(HARMONIC_S / 2 * sample_rate / self._hop))
        self._half_band = max(1, round(PERCUSSIVE_HZ / 2 * size / sample_rate))
        self._window = hann(size)
        first = self._hop - size
        self._input = Windows(channels, before=-first)
        self._harmonic = OverlapAdd(channels, size, self._hop, self._window**2, first)
        self._first = first
        self._n_cut = 0  # frames
        self._spectra = np.zeros((0, size // 2 + 1, channels), np.complex64)
        # from half a median before the next frame that is to come out
        self._magnitudes = np.zeros((self._half_time, size // 2 + 1), np.float32)
        self._n_out = 0  # samples

    def push(self, block: np.ndarray) -> Parts:
        """The parts, as far as they are known now, of all (m, C) that came."""
        self._input.push(block)
        return self._take(flush=False)

    def finish(self) -> Parts:
        """The rest: as many samples as went in have then come out."""
        n_samples = self._input.end
        self._input.finish(n_samples + self._size + (self._half_time + FRAMES) * self._hop)
        rest = self._take(flush=True)
        n = n_samples - (self._n_out - len(rest.harmonic))
        self._n_out = n_samples
        return Parts(rest.harmonic[:n], rest.percussive[:n])

    def _take(self, *, flush: bool) -> Parts:
        done = [np.zeros((0, self._input.channels), np.float32)]
        wanted = FRAMES + self._half_time
        while True:
            self._cut(wanted - len(self._spectra))
            if len(self._spectra) < wanted:
                break
            done.append(self._harmonic.add(self._masked()))
        harmonic = np.concatenate(done)
        sum_of_both = self._input.held(self._n_out, self._n_out + len(harmonic))
        self._n_out += len(harmonic)
        self._input.forget(min(self._n_out, self._start(self._n_cut)))
        return Parts(harmonic, sum_of_both - harmonic)

    def _start(self, frame: int) -> int:
        return self._first + frame * self._hop

    def _cut(self, most: int) -> None:
        """Transforms up to `most` frames of those that have come."""
        ready = max(0, (self._input.end - self._size - self._first) // self._hop + 1 - self._n_cut)
        if not (n := min(ready, most)):
            return
        starts = self._start(self._n_cut) + self._hop * np.arange(n)
        frames = self._input.cut(starts, self._size) * self._window[:, None]
        spectra = np.fft.rfft(frames, axis=1).astype(np.complex64)
        power = np.square(spectra.real) + np.square(spectra.imag)
        self._spectra = np.concatenate([self._spectra, spectra])
        self._magnitudes = np.concatenate([self._magnitudes, np.sqrt(power.sum(axis=2))])
        self._n_cut += n

    def _masked(self) -> np.ndarray:
        """The harmonic part's windows (FRAMES, size, C)."""
        near = self._magnitudes
        along_time = medians(near, 2 * self._half_time + 1, axis=0)[:FRAMES]
        here = near[self._half_time : self._half_time + FRAMES]
        edges = np.pad(here, ((0, 0), (self._half_band, self._half_band)), mode="reflect")
        along_band = medians(edges, 2 * self._half_band + 1, axis=1)
        spectra = np.where((along_time >= along_band)[:, :, None], self._spectra[:FRAMES], 0)
        self._spectra, self._magnitudes = self._spectra[FRAMES:], self._magnitudes[FRAMES:]
        return np.fft.irfft(spectra, self._size, axis=1) * self._window[:, None]


def medians(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Medians of each `size` neighbours of a matrix along an axis, without those beyond its ends; `size` is odd."""
    from scipy.ndimage import median_filter

    # one long line is filtered several times as fast as a matrix; what mixes two lines is cut off
    lines = values if axis == 1 else values.T
    half = size // 2
    filtered = median_filter(np.ascontiguousarray(lines).reshape(-1), size).reshape(lines.shape)
    inner = filtered[:, half : lines.shape[1] - half]
    return inner if axis == 1 else inner.T
