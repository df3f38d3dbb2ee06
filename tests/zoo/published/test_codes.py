"""Codes do not depend on how many devices compute them: what else they do not depend on is in `verify_codec`."""

import jax
import numpy as np
import pytest

from tests.zoo.published.small import jit, ready
from zoo.verify import DIFFERENT_CODES

MODELS = {
    "dac": ("music", "transformers"),
    "encodec": ("music", "transformers"),
    "mimi": ("small", "transformers"),
    "wavtokenizer": ("small", "transformers"),
    "neucodec": ("neucodec", "transformers"),
    "spectrostream": ("small", "original"),
}
"""Golden file and its layout for families whose latents are vector quantised: one of each kind of encoder."""


@pytest.mark.skipif(jax.device_count() < 4, reason="needs four devices")
@pytest.mark.parametrize("family", MODELS)
def test_one_device_is_several(family):
    name, layout = MODELS[family]
    codec = ready(family, name, layout=layout)
    shape = 4, 40 * codec.module.hop_length * codec.module.frame_multiple, codec.module.channels
    clips = (0.3 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)

    def codes(variables, audio):
        latent = codec.module.apply(variables, audio, method="encode")
        return codec.module.apply(variables, latent, method="quantise").codes

    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])
    everywhere, split = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in ((), ("data",)))
    one = np.asarray(jit(codes)(codec.variables, clips))
    several = jit(codes, in_shardings=(everywhere, split))(codec.variables, clips)
    assert len(several.sharding.device_set) == 4
    assert len(np.unique(one)) > 2
    assert np.mean(one != np.asarray(several)) <= DIFFERENT_CODES
