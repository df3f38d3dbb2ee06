"""What extrapolation loses in a gap is given back: noise, as loud as the gap's surroundings.

An autoregressive extrapolation is a mean: tones go on, and of all else it dies away. So each cell of a short-time
Fourier transform in which it is softer than the gap's surroundings is raised, and a signal with such magnitudes is
looked for that goes on from what is known (Griffin and Lim, 1984). Far from both ends of a gap a generated sound takes
over.
"""

from __future__ import annotations

import numpy as np

from zoo.generating.gaps import Gap

WINDOW_S = 256 / 24_000
OVERLAP = 4
CONTEXT = 8
"""hops, besides a window, of each side, from whose mean power the gap's is found"""
MEDIAN = float(np.log(2.0))
"""of the power of noise, where its mean is 1: as often too loud as too soft"""
ITERATIONS = 15
NEAR_S, FAR_S = 0.1, 0.2
"""from the nearest known sample: up to here there is nothing of the generated sound, and from here on nothing else"""
_TINY = 1e-12


def window_size(sample_rate: float) -> int:
    """Samples of a window, a multiple of `OVERLAP`."""
    return OVERLAP * max(4, round(WINDOW_S * sample_rate / OVERLAP))


def known_sides(gap: Gap, sample_rate: float) -> tuple[bool, bool]:
    """Whether enough is known before and after a gap to say how loud it was."""
    n = window_size(sample_rate)
    return gap.start >= n + n // OVERLAP, gap.n_samples - gap.stop >= n + n // OVERLAP


def needs_generated(gap: Gap, sample_rate: float) -> bool:
    """Whether `steer` asks for a generated sound: some of the gap is far from what is known."""
    return gap.length > max(1, sum(known_sides(gap, sample_rate))) * NEAR_S * sample_rate


def steer(
    predicted: np.ndarray, gap: Gap, sample_rate: float, noise: np.ndarray, generated: np.ndarray | None = None
) -> np.ndarray:
    """What may have been in a gap, float64 (length,), of a signal (T,) that holds what is predicted there.

    `noise` (T,) is white, and `generated` (T,) the signal as it is generated. Where too little is known on both sides,
    what is generated, or else predicted, is returned as it is.
    """
    sides = known_sides(gap, sample_rate)
    if not any(sides):
        return np.array((predicted if generated is None else generated)[gap.start : gap.stop], np.float64)
    n = window_size(sample_rate)
    hop = n // OVERLAP
    margin = n + CONTEXT * hop
    base, white = (_around(x, gap, margin) for x in (predicted, noise))
    starts = hop * np.arange(1 + (len(base) - n) // hop)
    context = _context(base, gap, margin, starts, sides, n)

    # frames that hold some of the gap, and are not far from what is known
    centres = starts + n / 2 - margin
    apart = np.minimum(centres if sides[0] else np.inf, gap.length - centres if sides[1] else np.inf)
    share = np.zeros(len(starts)) if generated is None else _rise((apart / sample_rate - NEAR_S) / (FAR_S - NEAR_S))
    chosen = (starts + n > margin) & (starts < margin + gap.length) & (share < 1)
    starts, share = starts[chosen], share[chosen, None]
    places = starts[:, None] + np.arange(n)
    window = _window(n)
    inside = (places >= margin) & (places < margin + gap.length)
    lost = (inside @ np.square(window) / np.square(window).sum())[:, None]
    toward = np.clip(centres[chosen, None] / gap.length, 0, 1)
    power = np.exp((1 - toward) * context[0] + toward * context[1])

    def spectra(x: np.ndarray) -> np.ndarray:
        return np.fft.rfft(x[places] * window)

    mean = spectra(base)
    kept = np.square(np.abs(mean))
    wanted = kept + MEDIAN * lost * np.maximum(power - kept, 0)
    phases = _unit(spectra(white))
    out = base.copy()
    if generated is not None:
        new = _around(generated, gap, margin)
        out[margin:-margin] = new[margin:-margin]
        new = spectra(new)
        wanted = (1 - share) * wanted + share * np.square(np.abs(new))
        mean, phases = (1 - share) * mean, _unit((1 - share) * phases + share * _unit(new))
    found = mean + np.sqrt(np.maximum(wanted - np.square(np.abs(mean)), 0)) * phases
    magnitudes = np.sqrt(wanted)
    total = np.square(window).sum() / hop  # of the squared windows that overlap, everywhere in the gap
    weight = np.zeros(len(out))
    np.add.at(weight, places, np.broadcast_to(np.square(window), places.shape))
    rest = (total - weight) * out
    for i in range(ITERATIONS):
        if i:
            found = spectra(out)
        frames = np.fft.irfft(_unit(found) * magnitudes, n) * window
        whole = rest.copy()
        np.add.at(whole, places, frames)
        out[margin:-margin] = whole[margin:-margin] / total
    return out[margin:-margin]


def _around(x: np.ndarray, gap: Gap, margin: int) -> np.ndarray:
    """A gap (length,) with `margin` samples on each side, zero beyond the signal's ends."""
    first, last = max(0, gap.start - margin), min(gap.n_samples, gap.stop + margin)
    return np.pad(np.asarray(x[first:last], np.float64), (first - gap.start + margin, gap.stop + margin - last))


def _context(
    base: np.ndarray, gap: Gap, margin: int, starts: np.ndarray, sides: tuple[bool, bool], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms (bins,) of the mean power before and after a gap; of the only known side for both."""
    n_after = gap.n_samples - gap.stop
    before = (starts >= margin - gap.start) & (starts + n <= margin)
    after = (starts >= margin + gap.length) & (starts + n <= margin + gap.length + n_after)
    found = []
    for side, some in zip(sides, (before, after)):
        if side:
            frames = base[starts[some][:, None] + np.arange(n)] * _window(n)
            found.append(np.log(np.square(np.abs(np.fft.rfft(frames))).mean(axis=0) + _TINY))
    return found[0], found[-1]


def _window(n: int) -> np.ndarray:
    """A Hann window (n,) that is the same from both ends."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)


def _rise(x: np.ndarray) -> np.ndarray:
    """A raised cosine from 0 at 0 to 1 at 1."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(x, 0, 1))


def _unit(x: np.ndarray) -> np.ndarray:
    """Complex numbers of the same phase, and magnitude 1; zero stays zero."""
    size = np.abs(x)
    return x / np.where(size > 0, size, 1.0)
