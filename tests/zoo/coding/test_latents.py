"""Latents in the hands of a user: what is quantised, what is decoded, and codecs that have nothing else."""

import functools

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, sound
from zoo.bitstream.entropy import Fitter
from zoo.errors import ZooError
from zoo.nn.bottlenecks import Identity

pytestmark = pytest.mark.usefixtures("quick_module")


def test_latents_are_what_is_quantised_and_decoded(build):
    codec = build("vae")

    def jit(method, **options):
        return jax.jit(functools.partial(codec.module.apply, method=method), **options)

    audio = sound(3 * RATE + 77)
    latents = codec.encode_latents(audio)
    size = codec.packet_frames()
    codes = [codec.engine.quantise(latents[:, i : i + size], 2, size) for i in range(0, latents.shape[1], size)]
    encoded = codec.encode(audio, level=2)
    np.testing.assert_array_equal(np.concatenate(codes, axis=1), encoded.codes)
    coarse = jit("dequantise")(codec.variables, encoded.codes, 2)
    np.testing.assert_allclose(codec.decode_latents(coarse, len(audio))[0], codec.decode(encoded), atol=1e-6)
    fine = jit("decode", static_argnums=2)(codec.variables, latents, len(audio))
    np.testing.assert_allclose(codec.decode_latents(latents, len(audio)), fine, atol=1e-5)
    with pytest.raises(ZooError, match="does not fit"):
        codec.decode_latents(latents, 4 * RATE)
    with pytest.raises(ZooError, match=r"latents must be \(N, F, D\)"):
        codec.decode_latents(latents[0])


def test_a_continuous_codec_has_latents_and_no_files(build):
    module = build("gan_vocoder").module.clone(bottleneck=Identity())
    variables = {"params": {k: v for k, v in build("gan_vocoder").variables["params"].items() if k != "bottleneck"}}
    codec = zoo.ReadyCodec(module, variables, Fitter(module.bottleneck.symbols()).fit(), {"family": "toy"})
    audio = sound(RATE)
    assert codec.decode_latents(codec.encode_latents(audio), len(audio)).shape == (1, RATE, 1)
    for use in (codec.encode, codec.compress, lambda x: codec.stream_encoder(RATE).push(x)):
        with pytest.raises(ZooError, match="continuous"):
            use(audio)
