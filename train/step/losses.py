"""Reconstruction and adversarial losses: each returns one value per example (B,), the caller reduces.

Signals are (B, T, C) float32; channels are judged separately and averaged. STFTs are zero-padded at the edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn import dsp
from zoo.nn.discriminators import Verdict

Reconstruction = Callable[[jax.Array, jax.Array], jax.Array]
"""A loss of (reference, estimate), both (B, T, C): one value per example, (B,)"""

MEL_SCALES = ((2048, 160), (1024, 80), (512, 40), (256, 20), (128, 10))
"""(window, mels) of the multi-scale mel loss; hops are a quarter of the window"""
STFT_SCALES = (2048, 1024, 512)
COMPLEX_SCALES = (256, 1024)
ADVERSARIAL = ("adversarial", "feature_matching")
"""Names in the config of what the discriminators tell the generator."""


def waveform_l1(reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Mean absolute error of the samples."""
    return _mean(jnp.abs(reference - estimate))


def waveform_mse(reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Mean squared error of the samples."""
    return _mean(jnp.square(reference - estimate))


def negative_snr_db(reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """10·log10 of noise over signal power; both get a floor of −70 dBFS, so that silence has a value."""
    floor = 1e-7
    signal = _mean(jnp.square(reference)) + floor
    noise = _mean(jnp.square(reference - estimate)) + floor
    return 10.0 * jnp.log10(noise / signal)


def limited_snr_db(reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """10·log10 of noise over signal power plus a hundredth: what lies beyond 20 dB of SNR hardly counts.

    Without such a limit (Wisdom et al., 2020) the least change to a clip that is nearly clean outweighs all that can be
    done for a noisy one.
    """
    signal = _mean(jnp.square(reference)) + 1e-7
    return 10.0 * jnp.log10(_mean(jnp.square(reference - estimate)) / signal + 0.01)


def spectrogram_mse(reference: jax.Array, estimate: jax.Array, n_fft: int = 1024) -> jax.Array:
    """Mean squared difference of natural-log magnitudes, one STFT with a hop of a quarter."""
    return _mean(jnp.square(_log_magnitude(reference, n_fft) - _log_magnitude(estimate, n_fft)))


def compressed_magnitude(reference: jax.Array, estimate: jax.Array, n_fft: int = 2048) -> jax.Array:
    """Squared error of STFT magnitudes to the power of 0.3, relative to those of the reference.

    The exponent lets soft bins count beside loud ones (Braun and Tashev, 2021). Magnitudes have a floor of −60 dBFS.
    """
    x, y = (jnp.power(jnp.square(dsp.magnitude(_stft(s, n_fft))) + 1e-6, 0.15) for s in (reference, estimate))
    return _mean(jnp.square(x - y)) / _mean(jnp.square(x))


def complex_stft(reference: jax.Array, estimate: jax.Array, scales: Sequence[int] = COMPLEX_SCALES) -> jax.Array:
    """|X − Y| / sqrt(|X| + 0.01), averaged over bins and scales, with STFTs of unit-energy windows.

    The root of the reference's magnitude in the denominator lies between an absolute error, which only counts
    the loudest bins, and a relative one, which counts noise. Phase counts wherever there is energy.
    """
    total = jnp.zeros(reference.shape[0])
    for n_fft in scales:
        x, y = _stft(reference, n_fft), _stft(estimate, n_fft)
        weight = jax.lax.rsqrt(dsp.magnitude(x) + 0.01)
        total += _mean(dsp.magnitude(x - y) * weight)
    return total / len(scales)


def mel(
    reference: jax.Array, estimate: jax.Array, sample_rate: int, scales: Sequence[tuple[int, int]] = MEL_SCALES
) -> jax.Array:
    """Multi-scale mel L1, after DAC (Kumar et al., 2023): |log10 max(m, 1e-5)|, averaged over bins and scales.

    DAC takes windows of 2048 down to 32 samples with 320 down to 5 mel bands, and adds its scales up; here they end at
    128 samples, have half as many bands, and are averaged.
    """
    pairs = _mels(reference, estimate, sample_rate, scales)
    return sum((_log_distance(x, y, 1e-5) for x, y in pairs), jnp.zeros(reference.shape[0])) / len(scales)


def audible_mel(
    reference: jax.Array, estimate: jax.Array, sample_rate: int, scales: Sequence[tuple[int, int]] = MEL_SCALES
) -> jax.Array:
    """Multi-scale mel L1 that leaves out what is too soft to matter: |log10 max(m, 1e-3)| plus |m| differences.

    The magnitudes themselves, as in EnCodec's loss (Défossez et al., 2022), keep loud bands at their level.
    """
    total = jnp.zeros(reference.shape[0])
    for x, y in _mels(reference, estimate, sample_rate, scales):
        total += _log_distance(x, y, 1e-3) + _mean(jnp.abs(x - y))
    return total / len(scales)


def stft(reference: jax.Array, estimate: jax.Array, scales: Sequence[int] = STFT_SCALES) -> jax.Array:
    """Spectral convergence plus log-magnitude L1, averaged over scales (Parallel WaveGAN, Yamamoto et al., 2020)."""
    total = jnp.zeros(reference.shape[0])
    for n_fft in scales:
        x, y = dsp.magnitude(_stft(reference, n_fft)), dsp.magnitude(_stft(estimate, n_fft))
        convergence = jnp.sqrt(_mean(jnp.square(x - y)) + 1e-10) / jnp.sqrt(_mean(jnp.square(x)) + 1e-6)
        total += convergence + _mean(jnp.abs(jnp.log(x + 1e-5) - jnp.log(y + 1e-5)))
    return total / len(scales)


def envelope_correlation(
    reference: jax.Array, estimate: jax.Array, sample_rate: int, span_s: float = 0.384, n_bands: int = 15
) -> jax.Array:
    """1 − correlation of the envelopes of third-octave bands over spans of 0.384 s, averaged over bands and spans.

    The measure behind STOI (Taal et al., 2011) at the signals' own rate, in frames of about 25 ms and without its
    clipping: each band counts alike, however soft it is, and its gain does not count. Bands begin at 150 Hz; those
    that reach beyond half the sample rate are left out, and so are spans of silence or 40 dB below the clip's loudest.
    """
    n_fft = 2 ** round(np.log2(0.0256 * sample_rate))
    bank = jnp.asarray(dsp.third_octaves(sample_rate, n_fft, 150.0, n_bands))

    def spans(audio: jax.Array) -> jax.Array:
        spectrum = dsp.stft(audio.swapaxes(1, 2), n_fft, n_fft // 2)
        envelopes = jnp.sqrt(jnp.square(dsp.magnitude(spectrum)) @ bank + 1e-8).swapaxes(2, 3)  # (B, C, bands, frames)
        n = min(round(2 * span_s * sample_rate / n_fft), envelopes.shape[-1])
        return dsp.frame(envelopes, n, max(n // 4, 1))  # (B, C, bands, spans, n)

    x, y = spans(reference), spans(estimate)
    loudness = jnp.square(x).sum(axis=(2, 4), keepdims=True)  # of the reference alone, so that it has no gradient
    softest = jnp.maximum(1e-4 * loudness.max(axis=3, keepdims=True), 1e-5)
    counted = (loudness > softest).astype(x.dtype)
    x, y = (values - values.mean(axis=-1, keepdims=True) for values in (x, y))
    power = jnp.square(x).sum(-1, keepdims=True) * jnp.square(y).sum(-1, keepdims=True)
    correlation = (x * y).sum(-1, keepdims=True) * jax.lax.rsqrt(power + 1e-10)
    return _mean((1.0 - correlation) * counted) / (_mean(counted) + 1e-8)


def reconstruction_losses(sample_rate: int) -> dict[str, Reconstruction]:
    """Every reconstruction loss by its name in the config."""
    return {
        "waveform_l1": waveform_l1,
        "waveform_mse": waveform_mse,
        "snr": negative_snr_db,
        "limited_snr": limited_snr_db,
        "spectrogram_mse": spectrogram_mse,
        "compressed_magnitude": compressed_magnitude,
        "complex_stft": complex_stft,
        "mel": lambda reference, estimate: mel(reference, estimate, sample_rate),
        "audible_mel": lambda reference, estimate: audible_mel(reference, estimate, sample_rate),
        "stft": stft,
        "envelope_correlation": lambda reference, estimate: envelope_correlation(reference, estimate, sample_rate),
    }


def generator_adversarial(fake: Sequence[Verdict], kind: str) -> jax.Array:
    """What the generator pays for being found out: hinge −D(y), or least squares (1 − D(y))²; mean over scales."""
    return _over_scales([-_mean(v.logits) if kind == "hinge" else _mean(jnp.square(1.0 - v.logits)) for v in fake])


def discriminator_adversarial(real: Sequence[Verdict], fake: Sequence[Verdict], kind: str) -> jax.Array:
    """Hinge max(0, 1 − D(x)) + max(0, 1 + D(y)), or least squares (1 − D(x))² + D(y)²; mean over scales."""

    def one(x: jax.Array, y: jax.Array) -> jax.Array:
        if kind == "hinge":
            return _mean(jax.nn.relu(1.0 - x)) + _mean(jax.nn.relu(1.0 + y))
        return _mean(jnp.square(1.0 - x)) + _mean(jnp.square(y))

    return _over_scales([one(r.logits, f.logits) for r, f in zip(real, fake)])


def feature_matching(real: Sequence[Verdict], fake: Sequence[Verdict]) -> jax.Array:
    """Mean |difference| of features over mean |feature| of the original, averaged over layers and scales."""
    terms = []
    for r, f in zip(real, fake):
        for x, y in zip(r.features, f.features):
            x = jax.lax.stop_gradient(x)
            terms.append(_mean(jnp.abs(x - y)) / (_mean(jnp.abs(x)) + 1e-5))
    return _over_scales(terms)


def _stft(audio: jax.Array, n_fft: int) -> jax.Array:
    """Complex STFT (B, C, F, K) with a window of unit energy: noise of variance s² has mean power s²."""
    energy = float(np.square(dsp.hann_window(n_fft)).sum())
    return dsp.stft(audio.swapaxes(1, 2), n_fft, n_fft // 4) / energy**0.5


def _mels(
    reference: jax.Array, estimate: jax.Array, sample_rate: int, scales: Sequence[tuple[int, int]]
) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Mel magnitudes (B, C, F, n_mels) of both signals for each (window, mels)."""
    for n_fft, n_mels in scales:
        bank = jnp.asarray(dsp.mel_filterbank(sample_rate, n_fft, n_mels))
        x, y = (dsp.stft(audio.swapaxes(1, 2), n_fft, n_fft // 4) for audio in (reference, estimate))
        yield dsp.magnitude(x) @ bank, dsp.magnitude(y) @ bank


def _log_distance(x: jax.Array, y: jax.Array, floor: float) -> jax.Array:
    return _mean(jnp.abs(jnp.log10(jnp.maximum(x, floor)) - jnp.log10(jnp.maximum(y, floor))))


def _log_magnitude(audio: jax.Array, n_fft: int) -> jax.Array:
    return jnp.log(dsp.magnitude(_stft(audio, n_fft)) + 1e-5)


def _mean(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1).mean(axis=1)


def _over_scales(terms: Sequence[jax.Array]) -> jax.Array:
    return jnp.stack(terms).mean(axis=0)
