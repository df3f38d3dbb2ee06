"""Short-time Fourier transform, MDCT and mel filters: the only implementation of each.

Time is the last axis here, `(..., T)`, and frames come before what a frame holds, `(..., F, n)`: callers that hold
`(B, T, C)` audio move the channel axis first. What lies outside a clip is zero, so every padding is zeros.
Everything is float32 (complex64 spectra) and works under `jit`, `grad` and `shard_map`.
"""

from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError

Padding = Literal["center", "same", "none"]


def _read_only(array: np.ndarray) -> np.ndarray:
    # the cached constants below are shared by all callers
    array.setflags(write=False)
    return array


def _along_last(vector: jax.Array | np.ndarray, like: jax.Array) -> jax.Array:
    return jnp.asarray(vector, jnp.float32).reshape((1,) * (like.ndim - 1) + (-1,))


def _pad(x: jax.Array, before: int, after: int, axis: int = -1) -> jax.Array:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    return jnp.pad(x, widths)


def _overlap(frame_length: int, hop_length: int) -> int:
    if hop_length < 1 or frame_length < hop_length or frame_length % hop_length:
        raise ZooError(f"frame length {frame_length} is not a multiple of hop_length {hop_length}")
    return frame_length // hop_length


def _same_padding(n_fft: int, hop_length: int) -> int:
    if (n_fft - hop_length) % 2:
        raise ZooError(f"padding='same' needs n_fft - hop_length even, got n_fft {n_fft}, hop_length {hop_length}")
    return (n_fft - hop_length) // 2


@lru_cache(maxsize=64)
def hann_window(n: int) -> np.ndarray:
    """Periodic Hann window, (n,) float32, read-only: the one whose shifts by n/2, n/4, ... add up to a constant."""
    return _read_only((0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)).astype(np.float32))


def stft_window(n_fft: int, hop_length: int) -> tuple[int, int, int]:
    """Size, hop and left margin of the windows of `stft(padding="same")`, as `Span.analysed` takes them.

    The first sample of each is left out: its Hann weight is zero.
    """
    return n_fft - 1, hop_length, (n_fft - hop_length) // 2 - 1


def frame(x: jax.Array, frame_length: int, hop_length: int) -> jax.Array:
    """Cut overlapping frames without padding: (..., T) -> (..., F, frame_length), F = 1 + (T - frame_length) // hop.

    Frame f covers samples [f * hop_length, f * hop_length + frame_length); samples after the last whole frame are left
    out. Raises ZooError unless hop_length is positive and T at least frame_length.
    """
    if hop_length < 1:
        raise ZooError(f"hop_length must be at least 1, got {hop_length}")
    if x.shape[-1] < frame_length:
        raise ZooError(f"cannot cut a frame of {frame_length} samples out of {x.shape[-1]}")
    overlap = -(-frame_length // hop_length)
    n_frames = 1 + (x.shape[-1] - frame_length) // hop_length
    n_blocks = n_frames + overlap - 1
    # the last block may reach beyond the signal, where no frame does
    x = _pad(x[..., : n_blocks * hop_length], 0, max(0, n_blocks * hop_length - x.shape[-1]))
    blocks = x.reshape(*x.shape[:-1], n_blocks, hop_length)
    # shifted slices of blocks, not a gather: its gradient would be a scatter
    frames = jnp.concatenate([blocks[..., i : i + n_frames, :] for i in range(overlap)], axis=-1)
    return frames[..., :frame_length]


def overlap_add(frames: jax.Array, hop_length: int) -> jax.Array:
    """Add overlapping frames up, the transpose of `frame`: (..., F, n) -> (..., (F - 1) * hop_length + n).

    Raises ZooError unless n is a multiple of hop_length.
    """
    *batch, n_frames, frame_length = frames.shape
    overlap = _overlap(frame_length, hop_length)
    blocks = frames.reshape(*batch, n_frames, overlap, hop_length)
    total = sum(_pad(blocks[..., i, :], i, overlap - 1 - i, axis=-2) for i in range(overlap))
    return jnp.asarray(total).reshape(*batch, (n_frames + overlap - 1) * hop_length)


def stft(
    x: jax.Array,
    n_fft: int,
    hop_length: int,
    *,
    padding: Padding = "center",
    window: jax.Array | np.ndarray | None = None,
) -> jax.Array:
    """Unnormalised short-time Fourier transform: (..., T) -> complex64 (..., F, n_fft // 2 + 1).

    `padding` says which zeros are added, and so which samples frame f is centred on:

    - "center": n_fft // 2 each side, F = 1 + T // hop_length, centred on f * hop_length;
    - "same": (n_fft - hop_length) / 2 each side, F = T / hop_length exactly, centred on (f + 1/2) * hop_length;
    - "none": no zeros, F = 1 + (T - n_fft) // hop_length.

    `window` is (n_fft,), by default the periodic Hann window. Raises ZooError unless hop_length is positive, and for
    "same" unless T is a multiple of it and n_fft - hop_length is even.
    """
    x = jnp.asarray(x, jnp.float32)
    if padding == "center":
        x = _pad(x, n_fft // 2, n_fft - n_fft // 2)
    elif padding == "same":
        if x.shape[-1] % hop_length:
            raise ZooError(f"padding='same' needs a length that is a multiple of {hop_length}, got {x.shape[-1]}")
        margin = _same_padding(n_fft, hop_length)
        x = _pad(x, margin, margin)
    elif padding != "none":
        raise ZooError(f"unknown padding {padding!r}: choose center, same or none")
    frames = frame(x, n_fft, hop_length)
    return jnp.fft.rfft(frames * _along_last(hann_window(n_fft) if window is None else window, frames))


def istft(
    spec: jax.Array,
    n_fft: int,
    hop_length: int,
    *,
    mask: jax.Array | None = None,
    window: jax.Array | np.ndarray | None = None,
) -> jax.Array:
    """Inverts `stft(..., padding="same")`: (..., F, n_fft // 2 + 1) -> (..., F * hop_length).

    Windowed frames are added up and divided by the sum of the squared windows (the least-squares solution: Griffin &
    Lim, 1984), so that a signal's own transform is inverted exactly, at its edges too, for n_fft >= 2 * hop_length.
    `mask` (..., F) bool marks the frames that belong to the clip: the others enter neither sum, and the hop_length
    samples that each of them stands for are zero; so a padded batch equals single clips.
    Raises ZooError unless n_fft is a multiple of hop_length and n_fft - hop_length even.
    """
    margin = _same_padding(n_fft, hop_length)
    n_samples = spec.shape[-2] * hop_length
    frames = jnp.fft.irfft(spec, n_fft)
    synthesis = _along_last(hann_window(n_fft) if window is None else window, frames)
    valid = jnp.ones(spec.shape[:-1], bool) if mask is None else jnp.broadcast_to(mask, spec.shape[:-1])
    # where, not a product: whatever a masked frame holds (a NaN, too) must not come through
    frames = jnp.where(valid[..., None], frames * synthesis, 0.0)
    weights = valid[..., None].astype(jnp.float32) * jnp.square(synthesis)
    total = overlap_add(frames, hop_length)[..., margin : margin + n_samples]
    envelope = overlap_add(weights, hop_length)[..., margin : margin + n_samples]
    # beyond the last valid frame the envelope falls to zero, and dividing by it would amplify rounding errors
    kept = jnp.repeat(valid, hop_length, axis=-1) & (envelope > 1e-8)
    return jnp.where(kept, total / jnp.where(kept, envelope, 1.0), 0.0)


def magnitude(spec: jax.Array, eps: float = 1e-8) -> jax.Array:
    """Magnitude of a complex array, at least `eps`, with a gradient that is zero (not NaN) at zero."""
    power = jnp.square(jnp.real(spec)) + jnp.square(jnp.imag(spec))
    # a comparison, not a maximum: some backends' maximum drops a NaN
    return jnp.sqrt(jnp.where(power < eps**2, eps**2, power))


@lru_cache(maxsize=16)
def mdct_basis(hop_length: int) -> np.ndarray:
    """MDCT basis under a sine window, (2 * hop_length, hop_length) float32, read-only; its columns are orthonormal.

    Shifted by hop_length, the bases of all frames together are orthonormal as well (time-domain alias cancellation:
    Princen & Bradley, 1986). Raises ZooError unless hop_length is even.
    """
    if hop_length < 2 or hop_length % 2:
        raise ZooError(f"the MDCT needs an even hop_length, got {hop_length}")
    n = np.arange(2 * hop_length)[:, None] + 0.5
    k = np.arange(hop_length)[None, :] + 0.5
    window = np.sin(np.pi / (2 * hop_length) * n)
    cosines = np.cos(np.pi / hop_length * (n + hop_length / 2) * k)
    return _read_only((np.sqrt(2.0 / hop_length) * window * cosines).astype(np.float32))


def mdct_window(hop_length: int) -> tuple[int, int, int]:
    """Size, hop and left margin of the windows of `mdct`."""
    return 2 * hop_length, hop_length, hop_length // 2


def mdct(x: jax.Array, hop_length: int) -> jax.Array:
    """Orthonormal modified discrete cosine transform: (..., T) -> (..., F, hop_length), F = T / hop_length.

    x is extended by hop_length / 2 zeros each side; frame f covers samples
    [f * hop_length - hop_length / 2, f * hop_length + 3 * hop_length / 2). Sine window, Princen & Bradley, 1986.
    Raises ZooError unless hop_length is even and T a multiple of it.
    """
    basis = mdct_basis(hop_length)
    if x.shape[-1] % hop_length:
        raise ZooError(f"the MDCT needs a length that is a multiple of {hop_length}, got {x.shape[-1]}")
    padded = _pad(jnp.asarray(x, jnp.float32), hop_length // 2, hop_length // 2)
    frames = frame(padded, 2 * hop_length, hop_length)
    # full float32 on accelerators too: their default matrix product would cost the reconstruction some 60 dB
    return jnp.tensordot(frames, basis, axes=1, precision=jax.lax.Precision.HIGHEST)


def imdct(coefficients: jax.Array, hop_length: int) -> jax.Array:
    """Transpose of `mdct`: (..., F, hop_length) -> (..., F * hop_length).

    Inverts it exactly on samples [hop_length / 2, T - hop_length / 2). The half hop at each end is covered by one frame
    only and keeps its alias there: to have a whole clip back, give `mdct` a hop of zeros more at each end.
    Raises ZooError unless hop_length is even.
    """
    basis = mdct_basis(hop_length)
    n_samples = coefficients.shape[-2] * hop_length
    coefficients = jnp.asarray(coefficients, jnp.float32)
    frames = jnp.tensordot(coefficients, basis.T, axes=1, precision=jax.lax.Precision.HIGHEST)
    return overlap_add(frames, hop_length)[..., hop_length // 2 : hop_length // 2 + n_samples]


def to_mid_side(audio: jax.Array) -> jax.Array:
    """Rotates left and right (B, T, 2) to mid and side, orthonormally; other numbers of channels pass."""
    if audio.shape[-1] != 2:
        return audio
    left, right = audio[..., :1], audio[..., 1:]
    return jnp.concatenate([left + right, left - right], -1) * (0.5**0.5)


to_left_right = to_mid_side  # its own inverse


def _hz_to_htk(frequency: np.ndarray) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + frequency / 700.0)


def _htk_to_hz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def _hz_to_mel(frequency: np.ndarray) -> np.ndarray:
    # linear up to 1 kHz (200/3 Hz a mel), above it 27 mels for each factor of 6.4
    return np.where(
        frequency < 1000.0,
        frequency * 3.0 / 200.0,
        15.0 + 27.0 * np.log(np.maximum(frequency, 1000.0) / 1000.0) / np.log(6.4),
    )


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * 6.4 ** ((np.maximum(mel, 15.0) - 15.0) / 27.0))


@lru_cache(maxsize=64)
def mel_filterbank(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None, *, htk: bool = False
) -> np.ndarray:
    """Triangular mel filters, (n_fft // 2 + 1, n_mels) float32, read-only, to be multiplied with (..., n_fft // 2 + 1).

    Slaney's mel scale and unit-area normalisation (Auditory Toolbox, 1998), the defaults of `librosa.filters.mel`; or,
    if `htk`, the scale of HTK and filters of unit height, the defaults of `torchaudio.transforms.MelSpectrogram`.
    f_min and f_max are in Hz, f_max by default half the sample rate. Filters narrower than a bin may be empty.
    Raises ZooError unless 0 <= f_min < f_max.
    """
    f_max = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < f_max:
        raise ZooError(f"mel filters need 0 <= f_min < f_max, got f_min {f_min}, f_max {f_max}")
    to_mel, to_hz = (_hz_to_htk, _htk_to_hz) if htk else (_hz_to_mel, _mel_to_hz)
    low, high = to_mel(np.array([f_min, f_max], np.float64))
    corners = to_hz(np.linspace(low, high, n_mels + 2))
    bins = np.arange(n_fft // 2 + 1)[:, None] * (sample_rate / n_fft)
    rising = (bins - corners[None, :-2]) / (corners[1:-1] - corners[:-2])[None, :]
    falling = (corners[None, 2:] - bins) / (corners[2:] - corners[1:-1])[None, :]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if not htk:
        filters *= (2.0 / (corners[2:] - corners[:-2]))[None, :]
    return _read_only(filters.astype(np.float32))


@lru_cache(maxsize=16)
def third_octaves(sample_rate: int, n_fft: int, lowest_hz: float, n_bands: int) -> np.ndarray:
    """Third-octave bands (n_fft // 2 + 1, bands), float32 and read-only, to be multiplied with powers of bins.

    Centres rise from `lowest_hz` by a third of an octave; each bin counts by how much of it lies in the band, so that
    none is empty. Those that reach beyond half the sample rate are left out. Raises ZooError where none is left.
    """
    centres = lowest_hz * 2.0 ** (np.arange(n_bands) / 3)
    centres = centres[centres * 2 ** (1 / 6) <= sample_rate / 2]
    if not centres.size:
        raise ZooError(f"no third-octave band from {lowest_hz:g} Hz on fits below {sample_rate / 2:g} Hz")
    bins = np.arange(n_fft // 2 + 1)[:, None] * (sample_rate / n_fft)
    half = 0.5 * sample_rate / n_fft
    shared = np.minimum(bins + half, centres * 2 ** (1 / 6)) - np.maximum(bins - half, centres * 2 ** (-1 / 6))
    return _read_only((np.maximum(shared, 0.0) / (2 * half)).astype(np.float32))
