"""How loud audio is to a listener: integrated loudness by ITU-R BS.1770-5 (2023), block by block."""

from __future__ import annotations

import functools

import numpy as np

ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0
# tables 1 and 2: numerators and denominators at 48 kHz
SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
_STEP_S = 0.1  # a block of 0.4 s begins at each
_STEPS = 4
_RINGING_S = 0.1  # after which the weighting has died away
_CHUNK_STEPS = 14  # weighted at once


class LoudnessMeter:
    """Integrated loudness in LUFS of audio (T, C) that comes in blocks; memory grows by 10 numbers a second.

    K-weighting is applied as the standard's response at 48 kHz, by Fourier transform, without its phase, which matters
    to no energy. Six channels are left, right, centre, low frequencies (which do not count) and two surrounds (which
    count 1.5 dB more); all others count alike. A clip shorter than a block of 0.4 s is one block.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._rate, self._channels = sample_rate, channels
        self._step = max(round(_STEP_S * sample_rate), 1)
        self._margin = round(_RINGING_S * sample_rate)
        self._weights = np.asarray((1, 1, 1, 0, 1.41, 1.41) if channels == 6 else (1,) * channels)
        # from the margin before the next step on
        self._pending = np.zeros((self._margin, channels), np.float32)
        self._energies: list[float] = []
        self._n = 0

    def push(self, block: np.ndarray) -> None:
        """Takes the next samples (m, C)."""
        self._n += len(block)
        self._pending = np.concatenate([self._pending, block]) if len(block) else self._pending
        size = _CHUNK_STEPS * self._step
        while len(self._pending) >= size + 2 * self._margin:
            self._measure(self._pending[: size + 2 * self._margin], size)
            self._pending = self._pending[size:]

    def integrated_lufs(self) -> float:
        """The loudness of all that came so far; −inf for silence. What comes later counts in the next answer."""
        left = len(self._pending) - self._margin
        energies = self._energies
        if left > 0:
            padded = np.pad(self._pending, ((0, self._margin), (0, 0)))
            self._energies = list(energies)
            self._measure(padded, left)
            energies, self._energies = self._energies, energies
        if not energies:
            return -np.inf
        n_steps = self._n // self._step  # the last of `energies` is of a shorter step, if that is more
        if n_steps < _STEPS:
            blocks = np.asarray([sum(energies) / self._n])
        else:
            sums = np.concatenate([[0.0], np.cumsum(energies[:n_steps])])
            blocks = (sums[_STEPS:] - sums[:-_STEPS]) / (_STEPS * self._step)
        loud = blocks[blocks > 10 ** ((ABSOLUTE_GATE_LUFS + 0.691) / 10)]
        if not len(loud):
            return -np.inf
        loud = loud[loud > np.mean(loud) * 10 ** (RELATIVE_GATE_LU / 10)]
        return float(-0.691 + 10 * np.log10(np.mean(loud)))

    def _measure(self, samples: np.ndarray, n: int) -> None:
        """Energies of the steps of the n samples that have a margin on each side."""
        size = _fast_size(len(samples))
        spectrum = np.fft.rfft(samples.T.astype(np.float32), size) * _response(size, self._rate)
        weighted = np.fft.irfft(spectrum, size)[:, self._margin : self._margin + n]
        power = self._weights @ np.square(weighted, dtype=np.float64)
        self._energies += np.add.reduceat(power, np.arange(0, n, self._step)).tolist()


def loudness_lufs(samples: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness in LUFS of (T, C); −inf for silence. See `LoudnessMeter`."""
    meter = LoudnessMeter(sample_rate, samples.shape[1])
    meter.push(samples)
    return meter.integrated_lufs()


@functools.cache
def _response(size: int, sample_rate: int) -> np.ndarray:
    """Gain of the weighting at each frequency of a transform of `size`; above 24 kHz that at 24 kHz."""
    z = np.exp(-2j * np.pi * np.minimum(np.fft.rfftfreq(size, 1 / sample_rate), 24_000) / 48_000)
    response = np.ones(len(z))
    for numerator, denominator in (SHELF, HIGH_PASS):
        response *= np.abs(np.polyval(numerator[::-1], z) / np.polyval(denominator[::-1], z))
    return response.astype(np.float32)


def _fast_size(n: int) -> int:
    """The next number with no prime factor above 5, for which transforms are quick."""
    best = 1 << (n - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            size = three << max((-(-n // three) - 1).bit_length(), 0)
            best = min(best, size)
            three *= 3
        five *= 5
    return best
