"""`verify_codec` finds what is wrong with a codec, and says which promise it breaks."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.codec import Codec, Reach
from zoo.errors import ZooError
from zoo.nn.bottlenecks import FSQ, SymbolFormat
from zoo.nn.layers import Conv1d, ConvTranspose1d, Span

pytestmark = pytest.mark.usefixtures("quick_module")

HOP = 8


class Encoder(nn.Module):
    """A strided convolution and one of three frames; `fault` is what is wrong with it."""

    fault: str = ""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return Conv1d(1, 2 * HOP, stride=HOP).inputs(Conv1d(1, 3).inputs(span))

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        y = Conv1d(6, 2 * HOP, stride=HOP, name="down")(x, mask)
        if self.fault == "normalised over time":
            y = y / (1 + jnp.abs(y).mean(axis=1, keepdims=True))
        if self.fault == "place in the array":
            y = y + 0.1 * jnp.arange(y.shape[1], dtype=y.dtype)[None, :, None]
        return 9 * Conv1d(4, 3, name="head")(y, None if self.fault == "bias outside the mask" else mask)


class Decoder(nn.Module):
    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return ConvTranspose1d(1, HOP).inputs(span)

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        return ConvTranspose1d(1, HOP, name="up")(latent, mask)


class Shorter(Codec):
    def decode(self, latent: jax.Array, length: int | None = None, n_samples: jax.Array | None = None) -> jax.Array:
        return super().decode(latent, length, n_samples)[:, :-1]


class Loud(Codec):
    def decode_frames(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        return self.decoder(latent, mask)

    def decode(self, latent: jax.Array, length: int | None = None, n_samples: jax.Array | None = None) -> jax.Array:
        return super().decode(latent, length)


class Shifted(FSQ):
    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        return super().dequantise(codes, level) + 0.2


class Crowded(FSQ):
    def symbols(self) -> SymbolFormat:
        return SymbolFormat(tuple(n - 4 for n in self.levels), ordered=True)


class Secretive(FSQ):
    loss_names = ()


def codec(kind: type[Codec] = Codec, bottleneck: type[FSQ] = FSQ, fault: str = "", **changes: Any) -> Codec:
    encoder, decoder = Encoder(fault), Decoder()
    parts: dict[str, Any] = {
        "encoder": encoder,
        "bottleneck": bottleneck((15,) * 4),
        "decoder": decoder,
        "sample_rate": 800,
        "hop_length": HOP,
        "encoder_context": Reach.of_encoder(encoder, HOP),
        "decoder_context": Reach.of_decoder(decoder, HOP),
    }
    return kind(**parts | changes)


CLIP = (0.5 * np.random.default_rng(0).standard_normal(40 * HOP + 3)).astype(np.float32)


def test_a_codec_that_keeps_its_promises_passes() -> None:
    zoo.verify_codec(codec(), CLIP)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (codec(fault="bias outside the mask"), "a padded batch is not its single clips"),
        (codec(fault="normalised over time"), "a padded batch is not its single clips"),
        (codec(fault="place in the array"), "latents in chunks of 1 frames are not those of one pass"),
        (codec(encoder_context=Reach(1, 2)), "latents in chunks of 1 frames are not those of one pass"),
        (codec(encoder_context=Reach(3, 2)), "encoder's context is wider than needed: .* before"),
        (codec(decoder_context=Reach(1, 0)), "audio in chunks of 1 frames is not that of one pass"),
        (codec(decoder_context=Reach(1, 2)), "decoder's context is wider than needed: .* after"),
        (codec(Shorter), r"\(323, 1\) comes back as \(322, 1\)"),
        (codec(Loud), "not silent behind its clips"),
        (codec(bottleneck=Shifted), "codes decode to something else than the evaluation forward pass at level 0"),
        (codec(bottleneck=Crowded), "outside the alphabets"),
        (codec(bottleneck=Secretive), r"names the losses \(\), and returns \['rate'\]"),
    ],
    ids=lambda value: "" if isinstance(value, Codec) else value.replace("\\", ""),
)
def test_what_is_broken_is_named(broken: Codec, message: str) -> None:
    with pytest.raises(ZooError, match=message) as error:
        zoo.verify_codec(broken, CLIP)
    assert "\n" not in str(error.value)


def test_a_clip_of_other_channels_is_refused() -> None:
    with pytest.raises(ZooError, match=r"a clip of this codec is \(T, 1\), got shape \(20, 2\)"):
        zoo.verify_codec(codec(), np.zeros((20, 2)))
