"""Arrays of samples, float32 (T, C), T samples of C channels: checks, mixing, resampling, rounding and aligning.

soxr is imported only where a rate changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo import arguments
from zoo.errors import ZooError

LARGEST_SAMPLE = 128.0
"""of floating-point audio: what is 42 dB above full scale was not scaled to [-1, 1]"""
_INTEGER_BITS = (16, 24, 32)


@dataclass(frozen=True, eq=False)
class Aligned:
    """Reference and estimate of one shape (T, C); `lag` is by how many samples the estimate came late."""

    reference: np.ndarray
    estimate: np.ndarray
    lag: int


def validate(samples: np.ndarray, *, name: str = "audio") -> None:
    """Raises ZooError, blaming `name`, unless `samples` is a non-empty, finite, floating-point (T, C) near [-1, 1]."""
    samples = arguments.as_array(samples, f"{name}: samples")
    if samples.ndim != 2:
        raise ZooError(f"{name}: expected samples (T, C), got shape {samples.shape}")
    if not np.issubdtype(samples.dtype, np.floating):
        raise ZooError(f"{name}: expected floating-point samples in [-1, 1], got {samples.dtype}")
    if samples.size == 0:
        raise ZooError(f"{name}: is empty, shape {samples.shape}")
    if (place := first_not_finite(samples)) is not None:
        raise ZooError(f"{name}: {_kind_of(samples[place])} at sample {place[0]}, channel {place[1]}")
    check_scale(samples, name)


def refuse_unusable(samples: np.ndarray, name: str, position: int, sample_rate: int) -> None:
    """Raises ZooError, naming `name` and the time, if one of (T, C) is no number or far beyond full scale.

    The first is sample `position`.
    """
    if (place := first_not_finite(samples)) is not None:
        at_s = (position + place[0]) / sample_rate
        raise ZooError(f"{name}: {_kind_of(samples[place])} at {at_s:.6f} s, channel {place[1]}")
    check_scale(samples, name)


def first_not_finite(samples: np.ndarray) -> tuple[int, ...] | None:
    """Index of the first sample that is NaN or infinite; None where none is."""
    finite = np.isfinite(samples)
    if finite.all():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), samples.shape))


def _kind_of(value: float) -> str:
    return "NaN" if np.isnan(value) else "infinity"


def check_scale(samples: np.ndarray, name: str = "") -> None:
    """Raises ZooError, naming `name`, for float samples that must be integers; NaN and infinity are let pass."""
    if not samples.size:
        return
    peak = float(max(samples.max(), -samples.min()))
    if LARGEST_SAMPLE < peak < float("inf"):
        bits = next((bits for bits in _INTEGER_BITS if peak <= 2 ** (bits - 1)), None)
        divisor = f"{2 ** (bits - 1)}" if bits else "what stands for full scale"
        said = f"float samples reach {peak:g}; audio is expected in [-1, 1]: divide by {divisor}"
        raise ZooError(f"{name}: {said}" if name else said)


def mix_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """Mixes (T, C) to (T, channels): the mean down to mono, copies on the way up; other counts go through mono."""
    channels = arguments.count(channels, "channels")
    samples = arguments.as_array(samples, "samples")
    if samples.ndim != 2:
        raise ZooError(f"expected samples (T, C), got shape {samples.shape}")
    if samples.shape[1] == channels:
        return samples
    mono = samples[:, :1].copy()
    for c in range(1, samples.shape[1]):  # numpy's mean over a short last axis takes as long as decoding
        mono += samples[:, c : c + 1]
    mono /= samples.shape[1]
    return mono if channels == 1 else np.repeat(mono, channels, axis=1)


def resample(samples: np.ndarray, from_hz: int, to_hz: int, *, n_samples: int | None = None) -> np.ndarray:
    """Resamples (T, C) to float32 (T', C) at `to_hz` by soxr HQ, without delay: sample j lies at j / to_hz seconds.

    T' is ceil(T · to_hz / from_hz), or `n_samples` by trimming or appending zeros. Raises ZooError on a bad rate or
    rank.
    """
    from_hz, to_hz = arguments.whole(from_hz, "from_hz"), arguments.whole(to_hz, "to_hz")
    if from_hz < 1 or to_hz < 1:
        raise ZooError(f"sample rates must be positive, got {from_hz} and {to_hz} Hz")
    samples = arguments.as_array(samples, "samples")
    if samples.ndim != 2:
        raise ZooError(f"resample: expected samples (T, C), got shape {samples.shape}")
    if n_samples is not None and (n_samples := arguments.whole(n_samples, "n_samples")) < 0:
        raise ZooError(f"n_samples must not be negative, got {n_samples}")
    natural = -(-len(samples) * to_hz // from_hz)
    if from_hz != to_hz and len(samples):
        import soxr

        silence = silence_behind(from_hz, to_hz, samples.shape[1])
        padded = np.concatenate([samples.astype(np.float32, copy=False), silence])
        samples = soxr.resample(padded, from_hz, to_hz, quality="HQ")[:natural]
    samples = samples.astype(np.float32, copy=False)
    return samples if n_samples is None else _fit(samples, n_samples)


def silence_behind(from_hz: int, to_hz: int, channels: int) -> np.ndarray:
    """What follows a signal into soxr, which rounds the length to the nearest: then the last sample is there too."""
    return np.zeros((-(-from_hz // to_hz), channels), np.float32)


def _fit(samples: np.ndarray, n: int) -> np.ndarray:
    return samples[:n] if n <= len(samples) else np.pad(samples, ((0, n - len(samples)), (0, 0)))


def quantise(samples: np.ndarray, bits: int) -> np.ndarray:
    """Rounds samples in [-1, 1) to whole numbers (float64) in [-2^(bits-1), 2^(bits-1)), clipping what lies beyond.

    Raises ZooError for what are no samples, and for bits beyond 1 to 64.
    """
    if not 1 <= (bits := arguments.whole(bits, "bits")) <= 64:
        raise ZooError(f"bits must lie between 1 and 64, got {bits}")
    scale = 2.0 ** (bits - 1)
    return np.clip(np.round(arguments.as_array(samples, "samples").astype(np.float64) * scale), -scale, scale - 1)


def align(reference: np.ndarray, estimate: np.ndarray, *, max_lag: int = 0) -> Aligned:
    """Cuts (T, C) and (T', C) to what they have in common, after undoing the lag of best cross-correlation.

    The lag, in ±max_lag samples, is found by FFT over all channels together; of equal ones the smallest. Raises
    ZooError on different channels, an empty signal or a negative `max_lag`.
    """
    reference, estimate = (arguments.as_array(*both) for both in ((reference, "reference"), (estimate, "estimate")))
    max_lag = arguments.whole(max_lag, "max_lag")
    if reference.ndim != 2 or estimate.ndim != 2 or reference.shape[1] != estimate.shape[1]:
        raise ZooError(f"align: expected (T, C) and (T', C), got {reference.shape} and {estimate.shape}")
    if not reference.size or not estimate.size or max_lag < 0:
        raise ZooError(f"align: cannot align {reference.shape} with {estimate.shape} within ±{max_lag} samples")
    lag = 0
    if max_lag:
        n_fft = 1 << (len(reference) + len(estimate) - 1).bit_length()
        spectra = [np.fft.rfft(x.astype(np.float64), n_fft, axis=0) for x in (reference, estimate)]
        correlation = np.fft.irfft((np.conj(spectra[0]) * spectra[1]).sum(axis=1), n_fft)
        lags = np.arange(-min(max_lag, len(reference) - 1), min(max_lag, len(estimate) - 1) + 1)
        lags = lags[np.argsort(np.abs(lags), kind="stable")]
        lag = int(lags[np.argmax(correlation[lags])])
    reference, estimate = reference[max(-lag, 0) :], estimate[max(lag, 0) :]
    n = min(len(reference), len(estimate))
    return Aligned(reference[:n], estimate[:n], lag)
