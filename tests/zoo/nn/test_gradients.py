"""Gradients of decoded audio with respect to what was encoded: through every family, and straight through."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, SMALL
from zoo import families
from zoo.codec import Codec
from zoo.nn.bottlenecks import Gaussian, straight_through
from zoo.published.oobleck.grid import Grid
from zoo.published.snac.multiscale_vq import MultiScaleVQ
from zoo.published.vocos.vocoder import ConditionedVQ

CODECS: dict[str, dict[str, Any]] = {
    **{name: {"sample_rate": RATE, **SMALL[name]} for name in families.FAMILIES if name in SMALL},
    "spectral": {"sample_rate": RATE, "hop_length": 40, "width": 8, "n_blocks": 1, "n_levels": 4, "default_level": 2},
    "denoiser": {"sample_rate": RATE, "n_fft": 120, "hop_length": 60, "fine_hz": 1500.0, "width": 8, "n_blocks": 1},
    "dac": {
        "encoder_width": 4, "encoder_rates": (2,), "decoder_width": 4, "decoder_rates": (2,), "latent_dim": 4,
        "n_codebooks": 1, "codebook_size": 16, "code_dim": 3,
    },
    "encodec": {
        "sample_rate": 140, "latent_dim": 4, "n_filters": 2, "ratios": (4,), "n_lstm": 0, "n_codebooks": 2,
        "codebook_size": 16,
    },
    "mimi": {
        "sample_rate": 8000, "latent_dim": 8, "n_filters": 2, "ratios": (4,), "n_layers": 1, "n_heads": 1,
        "head_dim": 8, "hidden": 12, "window": 9, "n_codebooks": 2, "codebook_size": 16, "code_dim": 4,
    },
    "snac": {
        "sample_rate": 240, "encoder_dim": 4, "encoder_rates": (2,), "decoder_dim": 8, "decoder_rates": (2,),
        "codebook_size": 16, "codebook_dim": 4, "vq_strides": (2, 1),
    },
    "vocos": {
        "sample_rate": 800, "n_fft": 64, "hop_length": 16, "n_mels": 10, "width": 8, "hidden": 12, "n_blocks": 1,
    },
    "qwen3_tts": {
        "sample_rate": 8000, "latent_dim": 8, "n_filters": 2, "ratios": (4,), "n_layers": 1, "n_heads": 1,
        "head_dim": 8, "hidden": 12, "window": 9, "n_codebooks": 2, "codebook_size": 16, "code_dim": 4,
        "decoder_latent_dim": 6, "decoder_dim": 8, "decoder_n_layers": 1, "decoder_n_heads": 1, "decoder_head_dim": 4,
        "decoder_hidden": 8, "decoder_window": 5, "upsampling_ratios": (2,), "decoder_rates": (4,), "decoder_width": 4,
    },
    "vibevoice": {
        "sample_rate": 800, "latent_dim": 4, "width": 4, "strides": (2, 4), "depths": (1, 1, 1), "kernel_size": 3,
    },
    "same": {
        "sample_rate": 800, "patch_size": 4, "stride": 2, "width": 8, "depth": 2, "head_dim": 4, "hidden": 8,
        "latent_dim": 4,
    },
    "oobleck": {
        "latent_dim": 4, "encoder_width": 4, "decoder_width": 4, "multiples": (1,), "strides": (2,),
    },
    "pocket_tts_audio_tokenizer": {
        "sample_rate": 8000, "width": 8, "latent_dim": 3, "latent_stride": 2, "n_filters": 2, "ratios": (4,),
        "n_layers": 1, "n_heads": 1, "head_dim": 8, "hidden": 12, "window": 9,
    },
    "wavtokenizer": {
        "sample_rate": 8000, "latent_dim": 8, "n_filters": 2, "ratios": (4,), "n_lstm": 0, "codebook_size": 16,
        "width": 8, "hidden": 12, "n_blocks": 1, "n_groups": 2,
    },
    "neucodec": {
        "sample_rate": 12_000, "input_rate": 8000, "ratios": (4,), "levels": (4, 3), "width": 32, "hidden": 8,
        "n_layers": 1, "n_heads": 1, "head_dim": 8, "encoder_width": 2, "n_mels": 3, "semantic_width": 8,
        "semantic_hidden": 8, "semantic_layers": 1, "semantic_heads": 1, "semantic_kernel_size": 3, "semantic_left": 3,
        "semantic_right": 2,
    },
    "spectrostream": {
        "sample_rate": 8000, "n_fft": 16, "strides": ((1, 2), (2, 2)), "growth": (1, 1), "kernel_size": 3,
        "encoder_width": 2, "decoder_width": 2, "latent_dim": 4, "n_codebooks": 2, "codebook_size": 16,
    },
}  # fmt: skip
"""A small codec of every registered family that encodes."""
ONLY_DECODE = {"hifigan"}

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def variables_of(name: str) -> tuple[Codec, Any, np.ndarray]:
    """A codec, random variables of which none has its neutral initial value, and noise (2, T, C) of a few frames."""
    module = zoo.create(name, **CODECS[name])
    frames = -(-6 // module.frame_multiple) * module.frame_multiple
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal((2, frames * module.hop_length, module.channels))).astype(np.float32)
    shapes, tree = jax.tree.flatten(jax.eval_shape(module.init, jax.random.key(0), audio))
    scales = [0.1 if x.ndim < 2 else np.prod(x.shape[:-1]) ** -0.5 for x in shapes]
    leaves = [(scale * rng.standard_normal(x.shape)).astype(np.float32) for scale, x in zip(scales, shapes)]
    return module, jax.tree.unflatten(tree, leaves), audio


def test_no_family_is_forgotten():
    assert set(CODECS) | ONLY_DECODE == {*families.FAMILIES, *families.PUBLISHED}


@pytest.mark.parametrize("name", CODECS)
def test_bottlenecks_return_the_losses_that_they_name(name):
    module = zoo.create(name, **CODECS[name])
    audio = jax.ShapeDtypeStruct((2, 6 * module.hop_length * module.frame_multiple, module.channels), jnp.float32)
    keys = jax.ShapeDtypeStruct((2,), jax.random.key(0).dtype)

    def train_and_evaluate(audio, keys):
        variables = module.init(jax.random.key(0), audio)
        return module.apply(variables, audio, keys=keys), module.apply(variables, audio)

    training, evaluation = jax.eval_shape(train_and_evaluate, audio, keys)
    assert sorted(training.losses) == sorted(module.bottleneck.loss_names)
    assert all(loss.shape == (2,) for loss in training.losses.values())
    assert (training.codebooks is None) == (module.bottleneck.learnt_codebooks is None)
    assert (evaluation.losses, evaluation.codebooks) == ({}, None)


@pytest.mark.parametrize("name", CODECS)
def test_a_loss_on_decoded_audio_moves_what_was_encoded(name):
    module, variables, audio = variables_of(name)
    gradient = np.asarray(jit(jax.grad(lambda x: jnp.square(module.apply(variables, x).audio).sum()))(audio))
    assert np.isfinite(gradient).all()
    # nearly every sample counts: one that none does is masked, not quantised
    assert (gradient != 0).mean() > 0.9


def test_what_passes_straight_through_is_the_value_itself():
    rng = np.random.default_rng(0)
    latent, weight = rng.standard_normal((2, 3, 5, 4)).astype(np.float32)
    # a sum would round the first, lose the sign of the second, and make a number of none of the last
    value = rng.standard_normal((3, 5, 4)).astype(np.float32)
    value[0, 0] = [1e-30, -0.0, np.inf, np.nan]
    found = jit(straight_through)(latent, value)
    assert np.asarray(found).tobytes() == value.tobytes()
    through = jit(jax.grad(lambda z, v: (weight * straight_through(z, v)).sum(), argnums=(0, 1)))
    value[0, 0] = 0.0
    by_latent, by_value = through(latent, value)
    np.testing.assert_array_equal(by_latent, weight)
    assert not by_value.any()


@pytest.mark.parametrize("module", [Gaussian(3, grid_steps=(4.0, 2.0), codebook_size=7), Grid(3, (1.0, 0.5), 7)])
def test_grids_pass_gradients_through_rounding_and_bound(module):
    rng = np.random.default_rng(0)
    latent, weight = rng.standard_normal((2, 2, 50, 3)).astype(np.float32) * np.float32(2)
    variables = jit(module.init)(jax.random.key(0), latent)
    for level in range(2):
        quantised = jit(module.apply)(variables, latent, level=level)
        assert quantised.codes.min() == 0  # some are out of bounds
        assert quantised.codes.max() == 6
        again = jit(functools.partial(module.apply, method="dequantise"))(variables, quantised.codes, level)
        np.testing.assert_array_equal(quantised.latent, again)
        by = jit(jax.grad(lambda z, level=level: (weight * module.apply(variables, z, level=level).latent).sum()))
        np.testing.assert_array_equal(by(latent), weight)


def test_codebooks_of_several_rates_pass_gradients_through_their_projections():
    module = MultiScaleVQ(3, vq_strides=(1,), codebook_size=8, codebook_dim=2)
    rng = np.random.default_rng(0)
    latent, weight = rng.standard_normal((2, 1, 5, 3)).astype(np.float32)
    variables = jit(module.init)(jax.random.key(0), latent)
    gradient = jit(jax.grad(lambda z: (weight * module.apply(variables, z).latent).sum()))(latent)
    chain = variables["params"]["project_in"][0] @ variables["params"]["project_out"][0]
    np.testing.assert_allclose(gradient, weight @ chain.T, atol=1e-5)


def test_entries_that_stand_for_others_pass_gradients_to_what_chose_them():
    module = ConditionedVQ(3, condition_codebooks=(1, 2), codebook_size=8)
    rng = np.random.default_rng(0)
    latent, weight = rng.standard_normal((2, 1, 5, 3)).astype(np.float32)
    variables = jit(module.init)(jax.random.key(0), latent)
    quantised = jit(module.apply)(variables, latent)
    again = jit(functools.partial(module.apply, method="dequantise"))(variables, quantised.codes)
    np.testing.assert_array_equal(quantised.latent, again)
    gradient = jit(jax.grad(lambda z: (weight * module.apply(variables, z).latent[..., :3]).sum()))(latent)
    np.testing.assert_array_equal(gradient, weight)
