"""Spectral codec: MDCT coefficients and band levels, with noise in the place of what was not coded.

    audio → MDCT → linear + ConvNeXt → grid ─┬─ linear + ConvNeXt → coefficients ─┐
               └→ powers of bands ──────────→┴─ gains ──────────────→ × noise ────┴→ inverse MDCT → audio

At low rates most coefficients of a transform codec become zero, and what is left sounds hollow. As in classic codecs
(perceptual noise substitution, Herre and Schulz, 1998; the band energies of CELT in Opus, 2012) the powers of bands
that fall below the quantiser's step are sent as well, and the decoder fills them with noise of that power. Steps follow
the spectrum of about half a second, so that errors are largest where sound hides them (noise shaping; Schroeder, Atal
and Hall, 1979). All of it works untrained: the linear paths start as the identity, and the ConvNeXt stacks, which
correct coefficients on both sides and gains in the decoder, start at zero. Training improves what is coded and lowers
its cost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn import dsp
from zoo.nn.bands import Bands
from zoo.nn.bottlenecks.spectral import CEILING, SpectralGrid
from zoo.nn.layers import (
    Beside,
    Conv1d,
    ConvNeXtBlock,
    Dtype,
    Layer,
    LayerNorm,
    Layers,
    Network,
    Span,
    Transform,
    apply_mask,
    inputs_of,
    run,
)

SCALE = 10.0
"""of coefficients at 1 kHz in the latent: a step of 1 is one of 0.1 of an orthonormal transform's coefficients"""
_SILENCE = 1e-9  # power, about 90 dB below full scale: what is softer does not make steps finer
_SOFTEST = 1e-10  # power of the softest band whose level is told, at the noise of 16 bits
_CHANCE = 2.0**-16  # -48 dB
_HEADROOM = 0.75
"""for what is corrected in coefficients before they are quantised"""
_REACH = 12
"""frames on either side that the envelope is a mean of"""


class Encoder(Network):
    hop_length: int
    bands: Bands
    weights: Sequence[float]
    loudest: float
    """which coefficients may be, where steps are 1 at the level, for the finest of levels to have a symbol for them"""
    width: int
    n_blocks: int
    linear: bool
    dtype: Dtype

    def layers(self) -> Layers:
        linear = _linear(self.bands.n_bins, self.linear)
        yield Transform(self._spectrum, lambda frames: frames.analysed(*dsp.mdct_window(self.hop_length)))
        yield Transform(self._with_mean, _around(_REACH))
        yield functools.partial(self._relative, linear)
        for layer in _stack("correct", self.bands.n_bins, self.width, self.n_blocks, self.dtype):
            yield Beside(layer)
        yield self._latent

    def _spectrum(self, audio: jax.Array, mask: jax.Array | None) -> jax.Array:
        """Weighted coefficients (B, F, M · C), those of all channels together from the lowest frequency on."""
        spectrum = dsp.mdct(dsp.to_mid_side(audio).swapaxes(1, 2), self.hop_length)  # (B, C, F, M)
        spectrum = spectrum.transpose(0, 2, 3, 1).reshape(audio.shape[0], spectrum.shape[2], -1)
        return spectrum * self._weights[None, None]

    def _with_mean(self, spectrum: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, ...]:
        """The spectrum, powers of its bands, and their mean over half a second."""
        powers = self.bands.means(jnp.square(spectrum))
        return spectrum, powers, _mean_around(powers, mask)

    def _relative(self, linear: Layer, signals: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """The spectrum relative to the steps, so that what is learnt of loud sounds is known of soft ones.

        And the parts of the latent: logarithms of powers, envelope, coefficients, and the steps that they are to have.
        """
        spectrum, powers, around = signals
        weighting = self.bands.means(jnp.square(self._weights)[None, None])
        unweighted = around / weighting
        envelope = self.bands.envelope(jnp.log2(unweighted + _SILENCE))
        coefficients = linear(spectrum)
        envelope = self.bands.raised(envelope, coefficients, self.loudest)
        scale = self.bands.spread(jnp.exp2(self.bands.log_steps(envelope, jnp.zeros(()))))
        # a band of a few coefficients may be nearly 0 by chance, where a logarithm makes much of rounding errors
        powers = jnp.log2(powers + _CHANCE * around + _SOFTEST * weighting)
        return _softened(spectrum / scale), powers, envelope, coefficients, scale

    def _latent(self, signals: tuple[jax.Array, ...]) -> jax.Array:
        correction, powers, envelope, coefficients, scale = signals
        coefficients = coefficients + scale * correction
        return jnp.concatenate([powers, envelope, coefficients, jnp.zeros_like(coefficients[..., :1])], axis=-1)

    @property
    def _weights(self) -> jax.Array:
        """Those (M · C,) of the coefficients."""
        return jnp.repeat(jnp.asarray(self.weights, jnp.float32), self.bands.channels)


class Decoder(Network):
    hop_length: int
    grid: SpectralGrid
    weights: Sequence[float]
    width: int
    n_blocks: int
    linear: bool
    dtype: Dtype

    def layers(self) -> Layers:
        n = self.grid.bands.n_bins
        linear = _linear(n, self.linear)
        embed, *rest = _stack("correct", 2 * n, self.width, self.n_blocks, self.dtype)
        yield self._features

        def embedded(signals: tuple[jax.Array, ...], mask: jax.Array | None) -> tuple[jax.Array, ...]:
            features, latent = signals
            codes = self.grid.codes(jax.lax.stop_gradient(latent))
            return run([embed], features, mask), latent, _fingerprint(codes, mask)

        yield Transform(embedded, lambda frames: inputs_of([embed], frames) | _around(1)(frames))
        for layer in rest:
            yield Beside(layer)
        yield functools.partial(self._filled, linear)
        yield Transform(self._audio, lambda samples: samples.synthesised(*dsp.mdct_window(self.hop_length)))

    def _features(self, latent: jax.Array) -> tuple[jax.Array, ...]:
        """What the corrections are made of, relative to the steps; and the latent."""
        powers, _, coded, _ = self.grid.parts(latent)
        log_steps = self.grid.log_steps(latent)
        step = self.grid.bands.spread(jnp.exp2(log_steps))
        below = 0.25 * jnp.maximum(powers - 2 * log_steps, -16.0)
        return jnp.concatenate([_softened(coded / step), below, log_steps.mean(-1, keepdims=True)], axis=-1), latent

    def _filled(self, linear: Layer, signals: tuple[jax.Array, ...]) -> jax.Array:
        """Corrected coefficients (B, F, M · C), with noise where none was coded."""
        correction, latent, fingerprint = signals
        bands, n = self.grid.bands, self.grid.bands.n_bins
        powers, _, coded, _ = self.grid.parts(latent)
        step = bands.spread(jnp.exp2(self.grid.log_steps(latent)))
        coefficients = linear(coded) + step * correction[..., :n]
        gains = self._gains(powers, coded, step) * jnp.exp(jnp.clip(correction[..., n:], -4.0, 2.0))
        return coefficients + gains * _signs(fingerprint, n)

    def _gains(self, powers: jax.Array, coded: jax.Array, step: jax.Array) -> jax.Array:
        """Amplitudes of noise (B, F, M · C): those of the bands, fading out where a coefficient was coded."""
        power = jnp.minimum(jnp.exp2(self.grid.bands.spread(powers)), 0.5 * CEILING * jnp.square(step))
        return _FILL * jnp.sqrt(power) * (coded == 0)

    def _audio(self, flat: jax.Array, mask: jax.Array | None) -> jax.Array:
        spectrum = apply_mask(flat, mask).reshape(*flat.shape[:2], self.hop_length, -1)
        spectrum = spectrum / jnp.asarray(self.weights, jnp.float32)[None, None, :, None]
        audio = dsp.imdct(spectrum.transpose(0, 3, 1, 2), self.hop_length)
        return dsp.to_left_right(audio.swapaxes(1, 2))


_FILL = 0.6  # noise of the right power disturbs more than it helps: what is left of it before training


def _stack(name: str, n: int, width: int, n_blocks: int, dtype: Dtype) -> Layers:
    """ConvNeXt over frames, whose n outputs start at zero."""
    yield Conv1d(width, 3, dtype=dtype, name=f"{name}_embed")
    yield LayerNorm(dtype=dtype, name=f"{name}_LayerNorm_0")
    for i in range(n_blocks):
        yield ConvNeXtBlock(3 * width, dtype=dtype, name=f"{name}_block_{i}")
    yield LayerNorm(dtype=dtype, name=f"{name}_norm")
    yield Conv1d(n, kernel_init=nn.initializers.zeros, dtype=dtype, masked=False, name=f"{name}_head")
    yield jnp.float32


def _linear(n: int, learnt: bool) -> Layer:
    """A matrix over the n coefficients (B, F, n) of a frame that begins as the identity; not `learnt`, it stays so."""
    if not learnt:
        return lambda x: x
    return Conv1d(n, use_bias=False, kernel_init=_identity, masked=False, name="linear")


def _softened(x: jax.Array) -> jax.Array:
    """Signed square root of magnitudes, made linear near zero, where its gradient would be infinite."""
    return jnp.sign(x) * (jnp.sqrt(jnp.sqrt(jnp.square(x) + 1e-4)) - 0.1)


def _mean_around(powers: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mean of a frame and _REACH others on either side, under a Hann window."""
    weights = np.hanning(2 * _REACH + 3)[1:-1]
    wide = jnp.pad(apply_mask(powers, mask), ((0, 0), (_REACH, _REACH), (0, 0)))
    n = powers.shape[1]
    parts = [float(weight) * wide[:, i : i + n] for i, weight in enumerate(weights / weights.sum())]
    return sum(parts[1:], parts[0])


def _around(reach: int) -> Callable[[Span], Span]:
    """The frames and `reach` on either side."""
    return lambda frames: Span(frames.first - reach, frames.last + reach)


def _fingerprint(codes: jax.Array, mask: jax.Array | None) -> jax.Array:
    """A number uint32 (B, F, 1) for what was coded in a frame and its neighbours, from which its noise is drawn.

    So the noise is a function of the codes alone: wherever a decoder begins, in whatever chunks it works, and however
    its machine rounds what it makes of them.
    """
    keys = np.random.default_rng(0).integers(0, 2**32, codes.shape[-1], np.uint32) | np.uint32(1)
    own = _mixed(codes.astype(jnp.uint32) * jnp.asarray(keys)[None, None]).sum(-1, keepdims=True, dtype=jnp.uint32)
    own = apply_mask(own, mask)
    wide = jnp.pad(own, ((0, 0), (1, 1), (0, 0)))
    return wide[:, :-2] * np.uint32(3) + wide[:, 1:-1] + wide[:, 2:] * np.uint32(5)


def _signs(fingerprint: jax.Array, n: int) -> jax.Array:
    """Random signs (B, F, n)."""
    places = jnp.asarray(np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1))
    return 1.0 - 2.0 * (_mixed(fingerprint ^ places[None, None]) >> 31).astype(jnp.float32)


def _mixed(x: jax.Array) -> jax.Array:
    """The finaliser of MurmurHash3: every bit of the result depends on every bit of `x`."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def _identity(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
    return jnp.eye(shape[1], shape[2], dtype=dtype)[None]


def weights(hop_length: int, sample_rate: int, tilt: float) -> tuple[float, ...]:
    """Weights of coefficients before they are quantised: SCALE at 1 kHz, falling by the power `tilt` of frequency."""
    khz = (np.arange(hop_length) + 0.5) * sample_rate / 2000 / hop_length
    return tuple(float(weight) for weight in SCALE * ((khz + 0.3) / 1.3) ** -tilt)


def band_edges(hop_length: int, sample_rate: int, width_hz: float = 300.0, per_octave: float = 4.0) -> tuple[int, ...]:
    """Borders of bands in bins: `width_hz` wide at least, and `per_octave` of them to an octave above that."""
    hz, top = [0.0], sample_rate / 2
    while hz[-1] < top:
        hz.append(hz[-1] + max(width_hz, hz[-1] * (2 ** (1 / per_octave) - 1)))
    bins = np.minimum(np.round(np.array(hz) / top * hop_length).astype(int), hop_length)
    return tuple(int(edge) for edge in np.unique(bins))


def spectral(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
    hop_length: int = 480,
    width: int = 256,
    n_blocks: int = 4,
    coarsest: float = 2.2,
    finest: float = 0.06,
    n_levels: int = 20,
    default_level: int = 11,
    tilt: float = 0.75,
    shaping: float = 0.5,
    band_symbols: int = 7,
    codebook_size: int = 1023,
    linear: bool = True,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """MDCT codec with learnt corrections, context-coded at `n_levels` steps from `coarsest` to `finest`, and noise
    substitution.

    Steps are in tenths of an orthonormal transform's coefficients at 1 kHz, where the mean power of bands is -48 dB;
    they grow with frequency to the power `tilt`, and with the spectrum's envelope to the power `shaping`. The level of
    a band is one of `band_symbols`, 6 dB apart, the last of which is no sound. Coefficients have `codebook_size` values
    at most; steps are larger where that is too few. `linear` paths are learnt matrices over all coefficients of a
    frame, which grow with the square of their number.
    """
    if not 0 <= default_level < n_levels or not 0 < finest <= coarsest:
        raise ValueError(f"default_level {default_level} must be one of {n_levels} levels, and finest <= coarsest")
    if band_symbols < 2:
        raise ValueError(f"band_symbols {band_symbols} must be two or more")
    if codebook_size < 3 or codebook_size % 2 == 0:
        raise ValueError(f"codebook_size {codebook_size} must be odd, and three or more")
    bands = Bands(band_edges(hop_length, sample_rate), channels, shaping)
    weighting = weights(hop_length, sample_rate, tilt)
    steps = tuple(float(step) for step in np.geomspace(coarsest, finest, n_levels))
    grid = SpectralGrid(bands, steps, default_level, codebook_size, band_symbols)
    return Codec.from_parts(
        Encoder(
            hop_length, bands, weighting, _HEADROOM * (codebook_size // 2) * finest, width, n_blocks, linear, dtype
        ),
        grid,
        Decoder(hop_length, grid, weighting, width, n_blocks, linear, dtype),
        sample_rate=sample_rate,
        hop_length=hop_length,
        channels=channels,
        lead=hop_length // 2,
        codes_hold=True,
    )
