"""How close an estimate is to its reference: one pure function per metric, (B, T, C) audio in, (B,) float32 out.

Every function takes `reference` and `estimate` (B, T, C) and `n_samples` (B,) int32, the valid length of each clip:
what lies at or beyond it never counts, so a padded batch gives what its clips give alone. Channels are measured one by
one and averaged, except in SNR and SI-SDR, which take all channels together as one signal; segmental SNR, log-spectral
distance and bandwidth need a signal, and leave silent channels (`evaluate.silence`) out of their average. All are
defined for clips shorter than a window (the STFT is centred and zero-padded: a clip of n samples has 1 + n // hop
frames). Decibel ratios lie in [-100, 100], 100 for an estimate equal to its reference.
All are finite for silence, so that batches may hold it; but what those that need a signal give for a silent clip is a
limit of their range, whichever a codec's last bit decides: no measurement, and `evaluate.run` drops it.
A NaN in the valid part of an estimate is never flattered: it gives NaN (a bandwidth of 0).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from evaluate import silence
from zoo.errors import ZooError
from zoo.nn import dsp

Clamp = Literal["power", "magnitude"]

WINDOW_MELS = {2048: 150, 512: 80}
"""STFT windows of the spectral distances, with the mel bands of each."""
RATIO_LIMIT_DB = 100.0
SEGMENT_S = 0.02
SEGMENT_RANGE_DB = (-10.0, 35.0)
SEGMENT_SILENCE_DBFS = -60.0
LSD_RANGE_DB = 80.0
BAND_WIDTH_HZ = 500.0
BAND_LOSS_DB = 10.0
BAND_FLOOR_DB = -80.0


def _inside(audio: jax.Array, n_samples: jax.Array) -> jax.Array:
    return (jnp.arange(audio.shape[1])[None, :] < n_samples[:, None])[:, None, :]


def _valid(audio: jax.Array, n_samples: jax.Array) -> jax.Array:
    """Transposes (B, T, C) to (B, C, T) float32, zero from n_samples on."""
    # where, not a product: padding may hold anything
    return jnp.where(_inside(audio, n_samples), jnp.moveaxis(jnp.asarray(audio, jnp.float32), 2, 1), 0.0)


def _ratio_db(signal: jax.Array, noise: jax.Array) -> jax.Array:
    tiny = jnp.finfo(jnp.float32).tiny
    ratio = 10.0 * (jnp.log10(jnp.maximum(signal, tiny)) - jnp.log10(jnp.maximum(noise, tiny)))
    ratio = jnp.clip(ratio, -RATIO_LIMIT_DB, RATIO_LIMIT_DB)
    # compared with 0, not `> 0`, so that a NaN stays one
    return jnp.where(noise == 0, RATIO_LIMIT_DB, jnp.where(signal == 0, -RATIO_LIMIT_DB, ratio))


def _over_channels(values: jax.Array, reference: jax.Array, n_samples: jax.Array) -> jax.Array:
    """Mean of (B, C) over the channels of `reference` (B, T, C) that are not silent; over all of them if all are."""
    x, inside = jnp.moveaxis(reference, 2, 1), _inside(reference, n_samples)
    highest = jnp.max(jnp.where(inside, x, -jnp.inf), axis=2)
    lowest = jnp.min(jnp.where(inside, x, jnp.inf), axis=2)
    counts = highest - lowest > 2 * silence.STEP
    counts |= ~jnp.any(counts, axis=1, keepdims=True)
    return jnp.sum(jnp.where(counts, values, 0.0), axis=1) / jnp.sum(counts, axis=1)


def _energy(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(x), axis=(1, 2))


def snr_db(reference: jax.Array, estimate: jax.Array, n_samples: jax.Array) -> jax.Array:
    """Signal-to-noise ratio in dB, energy of the reference over energy of the error, all channels as one signal.

    A silent reference gives -100 dB, or 100 dB when the estimate is silent too.
    """
    x, y = _valid(reference, n_samples), _valid(estimate, n_samples)
    return _ratio_db(_energy(x), _energy(x - y))


def si_sdr_db(reference: jax.Array, estimate: jax.Array, n_samples: jax.Array) -> jax.Array:
    """Scale-invariant signal-to-distortion ratio in dB, all channels as one signal with its mean removed.

    Le Roux et al., "SDR: half-baked or well done?", 2019. A silent or constant reference gives -100 dB, or 100 dB when
    the estimate is silent or constant too; a silent estimate of a signal gives -100 dB, since no gain makes it one.
    """

    def zero_mean(audio: jax.Array) -> jax.Array:
        x = _valid(audio, n_samples)
        mean = jnp.sum(x, axis=(1, 2)) / jnp.maximum(n_samples * audio.shape[2], 1)
        centred = jnp.where(_inside(audio, n_samples), x - mean[:, None, None], 0.0)
        # what rounding leaves of a constant is no signal
        constant = _energy(centred) <= 1e-11 * _energy(x)
        return jnp.where(constant[:, None, None], 0.0, centred)

    x, y = zero_mean(reference), zero_mean(estimate)
    x_energy, y_energy = _energy(x), _energy(y)
    scale = jnp.sum(x * y, axis=(1, 2)) / jnp.where(x_energy == 0, 1.0, x_energy)
    target = scale[:, None, None] * x
    ratio = _ratio_db(_energy(target), _energy(y - target))
    return jnp.where((y_energy == 0) & (x_energy > 0), -RATIO_LIMIT_DB, ratio)


def segmental_snr_db(reference: jax.Array, estimate: jax.Array, n_samples: jax.Array, sample_rate: int) -> jax.Array:
    """Mean over 20 ms segments of the SNR in dB, each clamped to [-10, 35] dB.

    Segments do not overlap, the last one may be partial, and those whose reference has an RMS below -60 dBFS are left
    out, as silence is in Quackenbush, Barnwell & Clements, "Objective Measures of Speech Quality", 1988; the range is
    that of Papamichalis, "Practical Approaches to Speech Coding", 1987. A channel without any louder segment gives the
    SNR of the whole channel, clamped alike.
    """
    length = max(1, round(SEGMENT_S * sample_rate))
    n_segments = -(-reference.shape[1] // length)
    padding = ((0, 0), (0, 0), (0, n_segments * length - reference.shape[1]))

    def energies(x: jax.Array) -> jax.Array:  # (B, C, T) -> (B, C, segments)
        x = jnp.pad(x, padding)
        return jnp.sum(jnp.square(x).reshape(*x.shape[:2], n_segments, length), axis=-1)

    x, y = _valid(reference, n_samples), _valid(estimate, n_samples)
    signal, noise = energies(x), energies(x - y)
    sizes = jnp.clip(n_samples[:, None] - jnp.arange(n_segments)[None, :] * length, 0, length)
    loud = (signal >= 10 ** (SEGMENT_SILENCE_DBFS / 10) * sizes[:, None, :]) & (sizes > 0)[:, None, :]
    total = jnp.sum(jnp.where(loud, jnp.clip(_ratio_db(signal, noise), *SEGMENT_RANGE_DB), 0.0), axis=-1)
    count = jnp.sum(loud, axis=-1)
    overall = jnp.clip(_ratio_db(jnp.sum(signal, axis=-1), jnp.sum(noise, axis=-1)), *SEGMENT_RANGE_DB)
    return _over_channels(jnp.where(count > 0, total / jnp.maximum(count, 1), overall), reference, n_samples)


@dataclass(frozen=True)
class _Spectra:
    """Magnitudes (B, C, F, bins) of both signals, and which frames (B, F) belong to the clip."""

    reference: jax.Array
    estimate: jax.Array
    frames: jax.Array

    def over_frames(self, values: jax.Array) -> jax.Array:
        """Mean over valid frames: (B, C, F) -> (B, C)."""
        kept = jnp.where(self.frames[:, None, :], values, 0.0)
        return jnp.sum(kept, axis=-1) / jnp.sum(self.frames, axis=-1)[:, None]

    def through(self, filters: np.ndarray) -> "_Spectra":
        apply = partial(jnp.tensordot, b=jnp.asarray(filters), axes=1, precision=jax.lax.Precision.HIGHEST)
        return _Spectra(apply(self.reference), apply(self.estimate), self.frames)


def _spectra(reference: jax.Array, estimate: jax.Array, n_samples: jax.Array, n_fft: int) -> _Spectra:
    # metrics call this with the same arguments: within one jit the equal transforms are merged
    hop_length = n_fft // 4
    x, y = (dsp.magnitude(dsp.stft(_valid(z, n_samples), n_fft, hop_length)) for z in (reference, estimate))
    return _Spectra(x, y, jnp.arange(x.shape[2])[None, :] * hop_length <= n_samples[:, None])


def _log_ratio(x: jax.Array, y: jax.Array, floor: jax.Array | float) -> jax.Array:
    """log10 max(x, floor) - log10 max(y, floor), exactly 0 where both are equal or below the floor."""
    # one logarithm of a ratio: two compiled apart may differ in their last bit. `where`: a maximum may drop a NaN
    return jnp.log10(jnp.where(x < floor, floor, x) / jnp.where(y < floor, floor, y))


def _l1(spectra: _Spectra, clamp: Clamp) -> jax.Array:
    x, y = spectra.reference, spectra.estimate
    if clamp == "power":
        difference = _log_ratio(jnp.square(x), jnp.square(y), 1e-5)
    elif clamp == "magnitude":
        difference = 2.0 * _log_ratio(x, y, 1e-5)
    else:
        raise ZooError(f"unknown clamp {clamp!r}: choose power or magnitude")
    return jnp.mean(spectra.over_frames(jnp.mean(jnp.abs(difference) + jnp.abs(x - y), axis=-1)), axis=1)


def stft_distance(
    reference: jax.Array, estimate: jax.Array, n_samples: jax.Array, *, clamp: Clamp = "power"
) -> jax.Array:
    """Multi-resolution STFT distance: L1 of log10 power plus L1 of magnitude, summed over windows of 2048 and 512.

    Means over frames and bins of |log10 max(m², 1e-5) - log10 max(m'², 1e-5)| + |m - m'|, with m the unnormalised
    magnitude under a periodic Hann window, hop a quarter of it. `clamp="magnitude"` has log10(max(m, 1e-5)²) instead:
    the `MultiScaleSTFTLoss` of descript-audio-codec's evaluation (Kumar et al., 2023), whose windows, frames
    (1 + n // hop) and scale are those used here. It mirrors the signal at its ends, where zeros stand here; that
    concerns the frames within half a window of an end, and allows clips shorter than a window.
    """
    return jnp.asarray(sum(_l1(_spectra(reference, estimate, n_samples, n_fft), clamp) for n_fft in WINDOW_MELS))


def mel_distance(
    reference: jax.Array, estimate: jax.Array, n_samples: jax.Array, sample_rate: int, *, clamp: Clamp = "power"
) -> jax.Array:
    """Mel distance: as `stft_distance`, on 150 (window 2048) and 80 (window 512) Slaney mel bands of the magnitudes.

    Bands reach from 0 to half the sample rate; `clamp="magnitude"` is the `MelSpectrogramLoss` of
    descript-audio-codec's evaluation (Kumar et al., 2023), but for the ends (see `stft_distance`).
    """
    total = jnp.zeros(reference.shape[0], jnp.float32)
    for n_fft, n_mels in WINDOW_MELS.items():
        filters = dsp.mel_filterbank(sample_rate, n_fft, n_mels)
        total += _l1(_spectra(reference, estimate, n_samples, n_fft).through(filters), clamp)
    return total


def log_spectral_distance_db(reference: jax.Array, estimate: jax.Array, n_samples: jax.Array) -> jax.Array:
    """Log-spectral distance in dB: mean over frames of the RMS over bins of 20 log10 m/m' (Gray & Markel, 1976).

    Window 2048, hop 512. Magnitudes below a floor count as the floor, which lies 80 dB below the strongest bin of the
    reference's channel, and never below 1e-5 (a silent reference's floor): deeper differences are inaudible and would
    dominate the mean.
    """
    spectra = _spectra(reference, estimate, n_samples, 2048)
    peak = jnp.max(jnp.where(spectra.frames[:, None, :, None], spectra.reference, 0.0), axis=(2, 3), keepdims=True)
    floor = jnp.maximum(peak * 10 ** (-LSD_RANGE_DB / 20), 1e-5)
    difference_db = 20.0 * _log_ratio(spectra.reference, spectra.estimate, floor)
    distances = spectra.over_frames(jnp.sqrt(jnp.mean(jnp.square(difference_db), axis=-1)))
    return _over_channels(distances, reference, n_samples)


def retained_bandwidth_hz(
    reference: jax.Array, estimate: jax.Array, n_samples: jax.Array, sample_rate: int
) -> jax.Array:
    """Frequency in Hz up to which no band of the estimate has lost more than 10 dB of the reference's long-term energy.

    Bands are 500 Hz wide, energies those of the STFT frames (window 2048) that lie wholly inside the clip, or of all
    frames when the clip is shorter. Bands of the reference more than 80 dB below its strongest one are passed over:
    they cannot fail, and do not raise the result. The result is the upper edge of the last band before the first that
    fails: 0 for a silent reference or when the lowest band fails.
    """
    spectra = _spectra(reference, estimate, n_samples, 2048)
    # a clip cut out of a sound starts with a step, whose spectrum would hide what is missing at high frequencies
    centres = jnp.arange(spectra.frames.shape[1])[None, :] * 512
    whole = (centres >= 1024) & (centres <= n_samples[:, None] - 1024)
    frames = jnp.where(jnp.any(whole, axis=1, keepdims=True), whole, spectra.frames)
    n_bins, nyquist = spectra.reference.shape[-1], sample_rate / 2
    n_bands = max(1, math.ceil(nyquist / BAND_WIDTH_HZ))
    band = np.minimum(np.arange(n_bins) * nyquist / (n_bins - 1) // BAND_WIDTH_HZ, n_bands - 1)
    membership = (band[:, None] == np.arange(n_bands)[None, :]).astype(np.float32)
    edges = np.minimum(np.arange(1, n_bands + 1) * BAND_WIDTH_HZ, nyquist).astype(np.float32)

    def energies(magnitude: jax.Array) -> jax.Array:  # -> (B, C, bands)
        total = jnp.sum(jnp.where(frames[:, None, :, None], jnp.square(magnitude), 0.0), axis=2)
        return jnp.tensordot(total, membership, axes=1, precision=jax.lax.Precision.HIGHEST)

    x, y = energies(spectra.reference), energies(spectra.estimate)
    # relative to the strongest band, but not below what the floor of `dsp.magnitude` alone amounts to
    present = x > jnp.maximum(jnp.max(x, axis=-1, keepdims=True) * 10 ** (BAND_FLOOR_DB / 10), 1e-10)
    failed = present & ~(y >= 10 ** (-BAND_LOSS_DB / 10) * x)
    kept = present & (jnp.cumsum(failed, axis=-1) == 0)
    return _over_channels(jnp.max(jnp.where(kept, edges[None, None, :], 0.0), axis=-1), reference, n_samples)


@dataclass(frozen=True)
class Metric:
    """A metric as tables need it: `function(reference, estimate, n_samples, sample_rate)` -> (B,)."""

    function: Callable[[jax.Array, jax.Array, jax.Array, int], jax.Array]
    unit: str
    needs_signal: bool
    """whether it says nothing of a silent clip"""


METRICS: dict[str, Metric] = {
    "snr_db": Metric(lambda x, y, n, _: snr_db(x, y, n), "dB", True),
    "si_sdr_db": Metric(lambda x, y, n, _: si_sdr_db(x, y, n), "dB", True),
    "segmental_snr_db": Metric(segmental_snr_db, "dB", True),
    "stft": Metric(lambda x, y, n, _: stft_distance(x, y, n), "", False),
    "mel": Metric(mel_distance, "", False),
    "stft_dac": Metric(lambda x, y, n, _: stft_distance(x, y, n, clamp="magnitude"), "", False),
    "mel_dac": Metric(partial(mel_distance, clamp="magnitude"), "", False),
    "lsd_db": Metric(lambda x, y, n, _: log_spectral_distance_db(x, y, n), "dB", True),
    "bandwidth_hz": Metric(retained_bandwidth_hz, "Hz", True),
}


@partial(jax.jit, static_argnames="sample_rate")
def _compute(reference: jax.Array, estimate: jax.Array, n_samples: jax.Array, sample_rate: int) -> dict[str, jax.Array]:
    return {name: metric.function(reference, estimate, n_samples, sample_rate) for name, metric in METRICS.items()}


def compute(
    reference: jax.Array | np.ndarray,
    estimate: jax.Array | np.ndarray,
    n_samples: jax.Array | np.ndarray,
    sample_rate: int,
) -> dict[str, np.ndarray]:
    """All of `METRICS` in one compiled call: (B, T, C), (B, T, C), (B,) -> {name: (B,) float32}.

    Compiles once for each shape, so pad clips to few lengths. Raises ZooError when shapes or lengths do not fit.
    """
    lengths = np.asarray(n_samples, np.int32)
    if reference.ndim != 3 or reference.shape != estimate.shape or 0 in reference.shape:
        raise ZooError(f"metrics need two (B, T, C) arrays of one shape, got {reference.shape} and {estimate.shape}")
    if lengths.shape != reference.shape[:1] or (lengths < 0).any() or (lengths > reference.shape[1]).any():
        raise ZooError(
            f"n_samples must hold {reference.shape[0]} lengths from 0 to {reference.shape[1]}, got {lengths}"
        )
    values = _compute(jnp.asarray(reference), jnp.asarray(estimate), jnp.asarray(lengths), sample_rate)
    return {name: np.asarray(values[name]) for name in METRICS}  # jit sorts the keys of a dictionary
