"""Convolutions over time, between all channels, in the form that is fastest: their own, or products of matrices."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from zoo.nn.layers import winograd
from zoo.nn.layers.parameters import per_channel


def convolve(x: jax.Array, kernel: jax.Array, dilation: int = 1, stride: int = 1) -> jax.Array:
    """VALID convolution of (B, T, C) with (K, C, features); what `jax.checkpoint` may keep is called CONVOLVED.

    A stride must divide T and K, and kernels are not dilated then.
    """
    if stride == 1:
        y = _convolution(x, kernel, dilation)
    elif _own_stride(x, kernel, stride):
        y = _strided(x, kernel, stride)
    else:
        y = _convolution(*_folded(x, kernel, stride), 1)
    return checkpoint_name(y, CONVOLVED)


def _folded(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
    """Space-to-depth, what is convolved in place of a stride: (B, T / stride, stride · C) and its kernel."""
    (batch, length, channels), (size, _, features) = x.shape, kernel.shape
    folded = stride * channels
    return x.reshape(batch, length // stride, folded), kernel.reshape(size // stride, folded, features)


def _own_stride(x: jax.Array, kernel: jax.Array, stride: int) -> bool:
    """Whether XLA's own strided convolution is better than space-to-depth: on CPUs, but for waveforms.

    It takes as long, and the loop that computes x is up to eight times faster if it need not write it in blocks.
    """
    (size, channels, features), cpu = kernel.shape, jax.default_backend() == "cpu"
    return cpu and min(channels, features) > _FEW and size * channels > _FEW_TERMS


def _convolution(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Convolves in the fastest form; a kernel of one tap is a matrix product.

    So are, on XLA:CPU three to nine times faster, those of the waveform: one or two channels in or out.
    """
    taps, channels, features = kernel.shape
    length = x.shape[1] - (taps - 1) * dilation
    if taps == 1:
        return x @ kernel[0]
    if channels <= _FEW or (taps * channels <= _FEW_TERMS and jax.default_backend() == "cpu"):
        return _from_few(x, kernel, dilation)
    if features <= _FEW:
        products = x @ kernel.transpose(1, 0, 2).reshape(channels, taps * features)
        parts = [products[..., i * features : (i + 1) * features] for i in range(taps)]
        return functools.reduce(jnp.add, [y[:, i * dilation :][:, :length] for i, y in enumerate(parts)])
    if winograd.pays(x, kernel, dilation):
        return winograd.convolve(x, kernel, dilation)
    if jax.default_backend() != "cpu":
        return _plain(x, kernel, dilation)
    return (_with_products if kernel.size >= _MORE * x.size else _convolved)(x, kernel, dilation)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _from_few(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Convolves few channels as a sum of shifted samples, each times its weight; gradients are matrix products."""
    taps, channels, _ = kernel.shape
    shifted = _shifted(x, taps, dilation)
    pairs = [(shifted[i][..., c : c + 1], kernel[i, c]) for i in range(taps) for c in range(channels)]
    return functools.reduce(jnp.add, [sample * per_channel(weight, x.dtype) for sample, weight in pairs])


def _from_few_forward(x: jax.Array, kernel: jax.Array, dilation: int) -> tuple[jax.Array, Any]:
    return _from_few(x, kernel, dilation), (x, kernel)


def _from_few_backward(dilation: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    taps, channels, features = kernel.shape
    columns = jnp.concatenate(_shifted(x, taps, dilation), axis=-1)
    of_kernel = jnp.einsum("btk,btf->kf", columns, gradient).reshape(kernel.shape)
    of_columns = gradient @ kernel.reshape(taps * channels, features).T
    parts = jnp.split(of_columns, taps, axis=-1)
    return _overlapped(parts, x.shape[1], dilation), of_kernel


_from_few.defvjp(_from_few_forward, _from_few_backward)


def _shifted(x: jax.Array, taps: int, dilation: int) -> list[jax.Array]:
    """The inputs (B, T, C) shifted to each tap."""
    length = x.shape[1] - (taps - 1) * dilation
    return [x[:, i * dilation : i * dilation + length] for i in range(taps)]


def _overlapped(parts: Sequence[jax.Array], length: int, dilation: int) -> jax.Array:
    """The sum (B, length, C) of the outputs of all taps: the transpose of `_shifted`."""
    rest = length - parts[0].shape[1]
    padded = [jnp.pad(y, ((0, 0), (i * dilation, rest - i * dilation), (0, 0))) for i, y in enumerate(parts)]
    return functools.reduce(jnp.add, padded)


def _plain(x: jax.Array, kernel: jax.Array, dilation: int, stride: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride,), "VALID", rhs_dilation=(dilation,), dimension_numbers=_ORDER
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolved(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """`_plain` with gradients that are convolutions of the same form.

    Those that jax derives take XLA:CPU up to seventy times as long inside a loop, where the parts of a batch are
    accumulated; outside one they are no faster.
    """
    return _plain(x, kernel, dilation)


def _convolved_forward(x: jax.Array, kernel: jax.Array, dilation: int) -> tuple[jax.Array, Any]:
    return _plain(x, kernel, dilation), (x, kernel)


def _convolved_backward(dilation: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    reach = (len(kernel) - 1) * dilation
    around = jnp.pad(gradient, ((0, 0), (reach, reach), (0, 0)))
    of_input = _plain(around, kernel[::-1].swapaxes(1, 2), dilation)
    # a convolution over time of channels, whose kernel is the gradient and whose features are the examples'
    of_kernel = jax.lax.conv_general_dilated(
        x.transpose(2, 1, 0), gradient.transpose(1, 0, 2), (dilation,), "VALID", dimension_numbers=_ORDER
    )
    return of_input, of_kernel.transpose(1, 0, 2)


_convolved.defvjp(_convolved_forward, _convolved_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _with_products(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """`_plain` with gradients that are products of matrices, a batch of one for each tap.

    For the gradient of the input `_convolved` turns the kernel around first, which takes as long as the products where
    there is more of it than of the signal.
    """
    return _plain(x, kernel, dilation)


def _with_products_forward(x: jax.Array, kernel: jax.Array, dilation: int) -> tuple[jax.Array, Any]:
    return _plain(x, kernel, dilation), (x, kernel)


def _with_products_backward(dilation: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    taps, channels, features = kernel.shape
    inputs = jnp.stack(_shifted(x, taps, dilation)).reshape(taps, -1, channels)
    rows = jnp.broadcast_to(gradient.reshape(1, -1, features), (taps, inputs.shape[1], features))
    of_inputs = jnp.einsum("kmf,kcf->kmc", rows, kernel).reshape(taps, *gradient.shape[:2], channels)
    return _overlapped(list(of_inputs), x.shape[1], dilation), jnp.einsum("kmc,kmf->kcf", inputs, rows)


_with_products.defvjp(_with_products_forward, _with_products_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _strided(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`_plain` with a stride; gradients are those of `_folded` signals, for the reasons above."""
    return _plain(x, kernel, 1, stride)


def _strided_forward(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, Any]:
    return _strided(x, kernel, stride), (x, kernel)


def _strided_backward(stride: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    _, pull_back = jax.vjp(functools.partial(_convolution, dilation=1), *_folded(x, kernel, stride))
    of_x, of_kernel = pull_back(gradient)
    return of_x.reshape(x.shape), of_kernel.reshape(kernel.shape)


_strided.defvjp(_strided_forward, _strided_backward)


CONVOLVED = "convolved"
_ORDER = ("NWC", "WIO", "NWC")
_FEW = 2
"""channels of a waveform"""
_FEW_TERMS = 12
"""products summed up for each sample: XLA:CPU convolves a waveform that was taken apart for a stride 20 times slower"""
_MORE = 4
"""times as many numbers in a kernel as in a signal, from which on its gradients are products of matrices"""
