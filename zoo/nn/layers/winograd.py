"""Convolutions over time with a third of the products: of polynomials, by their values at points of the unit circle.

The idea is Toom's, Cook's and Winograd's: n outputs of r taps are n + r − 1 numbers of a product of polynomials, which
its values at as many points determine. The points here are 0, infinity and roots of unity, whose sines and cosines keep
the rounding error at 1.4 times that of the plain sum (small integers, the usual choice, would lose a hundred times as
much); a conjugate pair costs three real products. Eight outputs of seven taps take 19 matrix products instead of 56.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np


def pays(x: jax.Array, kernel: jax.Array, dilation: int) -> bool:
    """Whether `convolve` is faster than XLA's own, of float32 on a CPU: the kernel must be transformed at each call."""
    taps, channels, features = kernel.shape
    rows = x.shape[0] * (x.shape[1] - (taps - 1) * dilation)
    if x.dtype != jnp.float32 or jax.default_backend() != "cpu":
        return False
    if taps == 2:
        return rows >= 256 and min(channels, features) >= 256 and kernel.size < 2**23
    if taps % 2 == 0 or taps < 5 or min(channels, features) < 48:
        return False
    return rows >= max(512, 0.8 * max(channels, features))


def convolve(x: jax.Array, kernel: jax.Array, dilation: int = 1) -> jax.Array:
    """VALID convolution of (B, T, C) with (K, C, features), K odd or 2."""
    taps, channels, features = kernel.shape
    on_kernel, on_input, on_output = _matrices(taps)
    n_products, n_samples = on_input.shape
    batch, length, _ = x.shape
    n_outputs = length - (taps - 1) * dilation
    block = len(on_output)
    step = block * dilation
    n_blocks = -(-n_outputs // step)
    # sample p of block f is x[f * step + p * dilation + q], for each phase q < dilation
    beyond = -(-(taps - 1) // block)
    x = jnp.pad(x, ((0, 0), (0, (n_blocks + beyond) * step - length), (0, 0)))
    x = x.reshape(batch, n_blocks + beyond, block, dilation * channels).transpose(2, 0, 1, 3)
    later = [x[: n_samples - i * block, :, i : i + n_blocks] for i in range(beyond + 1)]
    # products with constant matrices rather than sums written out, which take ten times as long to compile
    values = jnp.matmul(on_input, jnp.concatenate(later).reshape(n_samples, -1)).reshape(n_products, -1, channels)
    weights = jnp.matmul(on_kernel, kernel.reshape(taps, -1)).reshape(n_products, channels, features)
    products = jnp.matmul(values, weights).reshape(n_products, -1)
    y = jnp.matmul(on_output, products).reshape(block, batch, n_blocks, dilation * features).transpose(1, 2, 0, 3)
    return y.reshape(batch, n_blocks * step, features)[:, :n_outputs]


@functools.cache
def _matrices(taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of kernel (P, taps), input (P, n + taps − 1) and output (n, P), for n outputs by P products; float32."""
    n_outputs = 3 if taps == 2 else 8
    size = n_outputs + taps - 1
    angles = 2 * np.pi * np.arange(1, size // 2 - 1) / (size - 2)

    def values(n: int) -> np.ndarray:
        """Rows that evaluate a polynomial of n coefficients: at infinity, 0, 1, −1, and on the circle's upper half."""
        powers = np.arange(n)
        real = [powers == n - 1, powers == 0, np.ones(n), (-1.0) ** powers]
        return np.array(real + [part(angle * powers) for angle in angles for part in (np.cos, np.sin)], np.float64)

    # Gauss: (a + bi)(c + di) by ac, bd and (a + b)(c + d)
    pairs = np.eye(len(angles))
    factors = _block_diagonal(np.eye(4), np.kron(pairs, [[1, 0], [0, 1], [1, 1]]))
    parts = _block_diagonal(np.eye(4), np.kron(pairs, [[1, -1, 0], [-1, -1, 1]]))
    # a product's coefficients from products of values; transposed, it is a filter (Winograd, 1980)
    coefficients = np.linalg.inv(values(size)) @ parts
    matrices = factors @ values(taps), coefficients.T, (factors @ values(n_outputs)).T
    kernel, analysis, synthesis = (np.where(np.abs(m) < 1e-9, 0, m).astype(np.float32) for m in matrices)
    return kernel, analysis, synthesis


def _block_diagonal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    above = np.pad(first, ((0, 0), (0, second.shape[1])))
    return np.concatenate([above, np.pad(second, ((0, 0), (first.shape[1], 0)))])
