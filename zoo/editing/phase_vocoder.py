"""A phase vocoder: longer or shorter, at the same pitch."""

from __future__ import annotations

import numpy as np

from zoo.editing.windows import OverlapAdd, Windows, hann, power_of_two

WINDOW_S = 0.093
RISE = 4.0
"""of a region's energy within a hop, above which there is an onset"""
LATE = 0.15
"""of a window: where, behind the middle, the energy's centre lies while an onset is still to come. Half of what the
windows are apart is 0.125; of 0.1 to 0.25 this left the attacks of drums the shortest (measured)"""
SMEAR = 0.05
"""of the factor's distance from 1, below which windows move an onset by 2 ms at most, and it is left alone"""
FRAMES = 32
"""computed at once"""
NEIGHBOURS = 2
"""bins on either side that a peak is above"""


class PhaseVocoder:
    """A signal (T, C) in blocks to one that is `factor` times as long, round(T · factor) samples.

    Windows of the input are put out a quarter of their length apart. Each is first rotated so that it goes on where the
    one before has ended, and that is known without unwrapping any phase: in the input, too, a window ends there, a hop
    earlier (Puckette, 1995). The rotation is one for all bins around a peak (identity phase locking: Laroche & Dolson,
    "Improved phase vocoder time-scale modification of audio", 1999) and all channels, so that neither the shape of a
    partial nor its place between the channels changes; it is the one that best turns the earlier window's bins into
    those put out last.

    An onset would come too early, or late, with every window that holds it outside its middle. So a region whose energy
    rises fourfold within a hop, and lies behind the middle, is kept as soft as it was; when it has come to the middle
    it begins, with the phases of the input (Röbel, "A new approach to transient processing in the phase vocoder",
    2003).
    """

    def __init__(self, factor: float, sample_rate: int, channels: int) -> None:
        size = power_of_two(WINDOW_S * sample_rate)
        self._factor, self._size, self._hop = factor, size, size // 4
        self._window = hann(size)
        self._ramp = np.arange(size) - size / 2
        self._smears = abs(factor - 1) > SMEAR
        self._first = self._hop - size
        self._input = Windows(channels, before=size + int(size / factor))
        self._output = OverlapAdd(channels, size, self._hop, self._window**2, self._first)
        self._n_frames = 0
        self._n_out = 0
        self._last = np.zeros((size // 2 + 1, channels), np.complex128)
        self._awaited = np.zeros(size // 2 + 1, bool)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Samples (m', C) that (m, C) makes known."""
        self._input.push(block)
        return self._take()

    def finish(self) -> np.ndarray:
        """The rest."""
        total = round(self._input.end * self._factor)
        rest = [np.zeros((0, self._input.channels), np.float32)]
        while self._n_out + sum(map(len, rest)) < total:
            self._input.finish(self._place(self._n_frames + FRAMES) + self._size)
            rest.append(self._frames(FRAMES))
        return np.concatenate(rest)[: total - self._n_out]

    def _take(self) -> np.ndarray:
        done = [np.zeros((0, self._input.channels), np.float32)]
        while self._place(self._n_frames + FRAMES - 1) + self._size <= self._input.end:
            done.append(self._frames(FRAMES))
        self._input.forget(self._place(self._n_frames) - self._hop)
        known = np.concatenate(done)
        self._n_out += len(known)
        return known

    def _place(self, frame: int) -> int:
        """The sample of the input at which the window of output frame `frame` begins."""
        centre = self._first + frame * self._hop + self._size // 2
        return round(centre / self._factor) - self._size // 2

    def _frames(self, n: int) -> np.ndarray:
        places = np.array([self._place(self._n_frames + i) for i in range(n)])
        self._n_frames += n
        frames = self._input.cut(places, self._size) * self._window[:, None]
        now, later = np.fft.rfft(frames, axis=1), np.fft.rfft(frames * self._ramp[:, None], axis=1)
        before = np.fft.rfft(self._input.cut(places - self._hop, self._size) * self._window[:, None], axis=1)
        for spectrum, ramped, earlier in zip(now, later, before):
            spectrum *= self._turn(spectrum, ramped, earlier)[:, None]
            self._last = spectrum
        return self._output.add(np.fft.irfft(now, self._size, axis=1) * self._window[:, None])

    def _turn(self, spectrum: np.ndarray, ramped: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        """Complex factors, one for each bin, that let `spectrum` (K, C) go on from what was put out last.

        `ramped` is the spectrum of the window times time from its centre on, `earlier` that of a hop before.
        """
        power = _power(spectrum)
        begins = regions(power)
        sizes = np.diff(begins, append=len(power))
        moment = (spectrum.real * ramped.real + spectrum.imag * ramped.imag).sum(axis=1)
        parts = np.stack([power, _power(earlier), _power(self._last), moment, self._awaited * power])
        energy, energy_before, energy_out, moment, awaited = np.add.reduceat(parts, begins, axis=1)
        likeness = np.add.reduceat((self._last * earlier.conj()).sum(axis=1), begins)
        magnitude = np.abs(likeness)
        turn = np.where(magnitude > 0, likeness / np.where(magnitude > 0, magnitude, 1), 1)
        # Around 0 Hz and the Nyquist frequency the spectrum of a real signal is its own mirror: any other rotation than
        # by 0 and pi takes some of the level away, and for ever, since each window goes on from the last.
        ends = [0] * bool(power[0] > power[1 : 1 + NEIGHBOURS].max())
        ends += [-1] * bool(power[-1] > power[-1 - NEIGHBOURS : -1].max())
        turn[ends] = np.where(turn[ends].real < 0, -1, 1)
        awaits = (energy > RISE * energy_before) & (moment > LATE * self._size * energy) & self._smears
        turn[~awaits & (awaited > 0.5 * energy)] = 1
        turn[awaits] *= np.sqrt(np.minimum(1, energy_out[awaits] / energy[awaits]))
        self._awaited = np.repeat(awaits, sizes)
        return np.repeat(turn, sizes)


def regions(power: np.ndarray) -> np.ndarray:
    """The first bins of the regions around the peaks of a power spectrum (K,): each ends midway to the next peak."""
    padded = np.pad(power, NEIGHBOURS, constant_values=-1.0)
    is_peak = power > 0
    for lag in range(1, NEIGHBOURS + 1):
        is_peak &= power >= padded[NEIGHBOURS - lag : len(padded) - NEIGHBOURS - lag]
        is_peak &= power > padded[NEIGHBOURS + lag : len(padded) - NEIGHBOURS + lag]
    peaks = np.flatnonzero(is_peak)
    return np.concatenate([[0], (peaks[:-1] + peaks[1:] + 1) // 2]) if len(peaks) else np.zeros(1, np.int64)


def _power(spectrum: np.ndarray) -> np.ndarray:
    """Of all channels together, (K,)."""
    return np.asarray((np.square(spectrum.real) + np.square(spectrum.imag)).sum(axis=1))
