"""A causal transformer whose attention reaches a fixed number of steps back, and goes on from chunk to chunk.

As Mimi has it (Défossez et al., 2024): rotary positions (Su et al., 2021), LayerNorm before each half of a layer, exact
GELU, layer scale (Touvron et al., 2021), no biases. Or as language models have it: RMSNorm, and SwiGLU (Shazeer, 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.layers import Dtype, LayerNorm, Module, RMSNorm, Span, apply_mask, carrying, per_channel
from zoo.nn.rotary import angles, rotate
from zoo.published.keymap import LINEAR, VECTOR, Entry, Layout

UNHEARD = -1e30
"""The score of a step that is not attended to; finite, so that a step that attends to nothing is not NaN."""


@dataclass(frozen=True)
class TransformerSpec:
    """Hyper-parameters."""

    n_layers: int = 8
    n_heads: int = 8
    head_dim: int = 64
    hidden: int = 2048
    """width between the two dense layers"""
    window: int = 250
    """steps to which a step attends, itself included"""
    rope_theta: float = 10_000.0
    gelu_by_tanh: bool = False
    """whether GELU is the usual approximation, rather than exact"""
    norm_eps: float = 1e-5
    layer_scale: float = 0.01
    """initial"""
    swiglu: bool = False
    """whether norms are RMSNorm, and half of the dense layer gates the other, rather than LayerNorm and GELU"""


class Transformer(nn.Module):
    """A causal transformer (B, T, C) -> (B, T, C), T a multiple of the length of the mask (B, F).

    Keys and values that the steps of the next chunk will need are carried, and so is the number of its first frame.
    """

    spec: TransformerSpec
    steps: int = 1
    """to a latent frame"""
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        """Without what is remembered."""
        return span

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, length, _ = x.shape
        valid = jnp.ones((batch, length), bool) if mask is None else jnp.repeat(mask, length // mask.shape[1], axis=1)
        x = apply_mask(x, mask).astype(self.dtype)
        start = jnp.int32(0)
        if carrying(self):
            position = self.variable("carry", "position", jnp.zeros, (), jnp.int32)
            start = position.value * self.steps
            position.value = position.value + length // self.steps
        turns = angles(start + jnp.arange(length), self.spec.head_dim, self.spec.rope_theta)
        for i in range(self.spec.n_layers):
            x = TransformerLayer(self.spec, self.dtype, name=f"layer_{i}")(x, valid, turns)
        return x


class TransformerLayer(Module):
    """Attention and two dense layers over (B, T, C), where `valid` (B, T)."""

    spec: TransformerSpec
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, valid: jax.Array, turns: jax.Array) -> jax.Array:
        x = x + self._scaled(self._attention(self._norm(x, "norm_attention"), valid, turns), "scale_attention")
        y = self._norm(x, "norm_mlp")
        if self.spec.swiglu:
            gate, y = jnp.split(self._dense(y, 2 * self.spec.hidden, "expand"), 2, axis=-1)
            y = nn.silu(gate) * y
        else:
            gelu = nn.gelu if self.spec.gelu_by_tanh else _gelu
            y = gelu(self._dense(y, self.spec.hidden, "expand"))
        return x + self._scaled(self._dense(y, x.shape[-1], "project"), "scale_mlp")

    def _attention(self, x: jax.Array, valid: jax.Array, turns: jax.Array) -> jax.Array:
        spec, (batch, length, channels) = self.spec, x.shape
        heads = batch, length, 3, spec.n_heads, spec.head_dim
        qkv = self._dense(x, 3 * spec.n_heads * spec.head_dim, "qkv").reshape(heads)
        query = rotate(qkv[:, :, 0], turns) * jnp.asarray(spec.head_dim**-0.5, self.dtype)
        key = rotate(qkv[:, :, 1], turns)
        # head by head, so that products of what was kept need not turn it around
        query, key, value = (y.swapaxes(1, 2) for y in (query, key, qkv[:, :, 2]))
        if carrying(self):
            shape = batch, spec.n_heads, spec.window - 1, spec.head_dim
            keys = self.variable("carry", "keys", jnp.zeros, shape, self.dtype)
            values = self.variable("carry", "values", jnp.zeros, shape, self.dtype)
            known = self.variable("carry", "valid", jnp.zeros, (batch, spec.window - 1), bool)
            key, value = jnp.concatenate([keys.value, key], axis=2), jnp.concatenate([values.value, value], axis=2)
            valid = jnp.concatenate([known.value, valid], axis=1)
            keys.value, values.value, known.value = key[:, :, length:], value[:, :, length:], valid[:, length:]
        y = attend(query, key, value, valid, spec.window)
        return self._dense(y.swapaxes(1, 2).reshape(batch, length, -1), channels, "out")

    def _norm(self, x: jax.Array, name: str) -> jax.Array:
        norm = RMSNorm if self.spec.swiglu else LayerNorm
        return norm(self.dtype, self.spec.norm_eps, name=name)(x)

    def _dense(self, x: jax.Array, features: int, name: str) -> jax.Array:
        kernel = self.param(name, nn.initializers.lecun_normal(), (x.shape[-1], features), jnp.float32)
        return x @ kernel.astype(self.dtype)

    def _scaled(self, x: jax.Array, name: str) -> jax.Array:
        initial = nn.initializers.constant(self.spec.layer_scale)
        return x * per_channel(self.param(name, initial, (x.shape[-1],), jnp.float32), self.dtype)


def attend(query: jax.Array, key: jax.Array, value: jax.Array, valid: jax.Array, window: int) -> jax.Array:
    """Attention (B, H, T, D) of T queries to S + T keys and values, the last T of which stand where the queries do.

    A query attends to its own step and the window − 1 before it, of those that are `valid` (B, S + T), and is scaled.
    Many steps are taken `window` at a time, so that memory grows with their number and not its square.
    """
    length, past = query.shape[2], key.shape[2] - query.shape[2]
    if length <= 2 * window:
        return _attend(query, key, value, valid, window)
    n_blocks = -(-length // window)
    missing, spare = max(window - 1 - past, 0), max(past - window + 1, 0)
    after = n_blocks * window - length

    def padded(x: jax.Array, before: int) -> jax.Array:
        return jnp.pad(x, ((0, 0), (0, 0), (before, after), (0, 0)))

    query = padded(query, 0)
    key, value = (padded(x[:, :, spare:], missing) for x in (key, value))
    valid = jnp.pad(valid[:, spare:], ((0, 0), (missing, after)))

    def block(i: jax.Array) -> jax.Array:
        def cut(x: jax.Array, length: int, axis: int = 2) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(x, i * window, length, axis)

        reach = 2 * window - 1
        return _attend(cut(query, window), cut(key, reach), cut(value, reach), cut(valid, reach, axis=1), window)

    blocks = jax.lax.map(block, jnp.arange(n_blocks))
    return jnp.moveaxis(blocks, 0, 2).reshape(query.shape)[:, :, :length]


def _attend(query: jax.Array, key: jax.Array, value: jax.Array, valid: jax.Array, window: int) -> jax.Array:
    length, past = query.shape[2], key.shape[2] - query.shape[2]
    delay = (past + jnp.arange(length))[:, None] - jnp.arange(past + length)[None]
    allowed = ((delay >= 0) & (delay < window))[None, None] & valid[:, None, None]
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key).astype(jnp.float32)
    weights = jax.nn.softmax(jnp.where(allowed, scores, UNHEARD), axis=-1)
    return jnp.einsum("bhqk,bhkd->bhqd", weights.astype(value.dtype), value)


def _gelu(x: jax.Array) -> jax.Array:
    """Exact, but by erf: XLA's erfc, which jax.nn.gelu takes, has branches and is many times slower on a CPU."""
    return 0.5 * x * (1 + jax.lax.erf(x * np.float32(np.sqrt(0.5))))


def transformer_entries(
    spec: TransformerSpec, path: str, keys: str, spelling: Literal["transformers", "original"] = "transformers"
) -> list[Entry]:
    """Entries of all layers: parameters under `path`, checkpoint keys under `keys` ("encoder_transformer.layers").

    The authors' attention has one tensor for queries, keys and values, and turns neighbouring channels.
    """
    ours = "norm_attention", "norm_mlp", "out", "expand", "project", "scale_attention", "scale_mlp"
    if spelling == "transformers":
        theirs = (
            "input_layernorm", "post_attention_layernorm", "self_attn.o_proj", "mlp.fc1",
            "mlp.down_proj" if spec.swiglu else "mlp.fc2",
            "self_attn_layer_scale", "mlp_layer_scale",
        )  # fmt: skip
        qkv, layout = tuple(f"self_attn.{name}_proj.weight" for name in "qkv"), stacked(3)
    else:
        theirs = (
            "norm1", "norm2", "self_attn.out_proj", "linear1", "linear2", "layer_scale_1", "layer_scale_2",
        )  # fmt: skip
        qkv, layout = ("self_attn.in_proj_weight",), interleaved(spec.n_heads, spec.head_dim)
    entries = []
    for i in range(spec.n_layers):
        layer, key = f"{path}/layer_{i}", f"{keys}.{i}"
        entries.append(Entry(f"{layer}/qkv", tuple(f"{key}.{name}" for name in qkv), layout))
        for our, their in zip(ours, theirs):
            if our.startswith("norm"):
                entries.append(Entry(f"{layer}/{our}/scale", (f"{key}.{their}.weight",), VECTOR))
                if not spec.swiglu:
                    entries.append(Entry(f"{layer}/{our}/bias", (f"{key}.{their}.bias",), VECTOR))
            elif our == "expand" and spec.swiglu:
                gate_up = tuple(f"{key}.mlp.{name}_proj.weight" for name in ("gate", "up"))
                entries.append(Entry(f"{layer}/{our}", gate_up, stacked(2)))
            elif our.startswith("scale"):
                entries.append(Entry(f"{layer}/{our}", (f"{key}.{their}.scale",), VECTOR))
            else:
                entries.append(Entry(f"{layer}/{our}", (f"{key}.{their}.weight",), LINEAR))
    return entries


def stacked(n: int) -> Layout:
    """Puts n matrices (O, I) together as (I, n·O)."""
    return Layout(
        "STACKED",
        lambda *parts: np.concatenate(parts).transpose(1, 0),
        lambda kernel: tuple(np.split(kernel.transpose(1, 0), n)),
    )


def interleaved(n_heads: int, head_dim: int) -> Layout:
    """Reorders (3·O, I) to (I, 3·O): turning channels are neighbours there, half a head apart here."""

    def read(weight: np.ndarray) -> np.ndarray:
        parts = weight.reshape(3, n_heads, head_dim // 2, 2, -1)
        turned = parts[:2].swapaxes(2, 3).reshape(2, n_heads, head_dim, -1)
        straight = parts[2:].reshape(1, n_heads, head_dim, -1)
        return np.concatenate([turned, straight]).reshape(weight.shape).transpose(1, 0)

    def write(kernel: np.ndarray) -> tuple[np.ndarray, ...]:
        weight = kernel.transpose(1, 0)
        parts = weight.reshape(3, n_heads, 2, head_dim // 2, -1)
        turned = parts[:2].swapaxes(2, 3).reshape(2, n_heads, head_dim, -1)
        straight = parts[2:].reshape(1, n_heads, head_dim, -1)
        return (np.concatenate([turned, straight]).reshape(weight.shape),)

    return Layout("INTERLEAVED", read, write)
