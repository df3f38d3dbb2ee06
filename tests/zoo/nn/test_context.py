"""Contexts and latency against Jacobians, windows of a clip against the whole clip, causal layers against shifts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from configs import loading
from zoo.codec import Reach
from zoo.nn import layers
from zoo.nn.layers import Span
from zoo.random_weights import random_like

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
quick = settings(deadline=None, derandomize=True)

NARROW = {
    "autoencoder": {"width": 8, "latent_dim": 8},
    "vae": {"latent_dim": 8},
    "gan_vocoder": {"latent_dim": 8, "encoder_width": 8, "decoder_width": 8, "n_codebooks": 2, "codebook_size": 4},
    "spectral": {"width": 8},
    "denoiser": {"width": 4},
}
"""Fewer channels per family: every kernel, stride, window and block stays, a test takes seconds."""

SMALL = {
    "small autoencoder": {"sample_rate": 8000, "hop_length": 40, "n_blocks": 1},
    "linear autoencoder": {"sample_rate": 8000, "hop_length": 40, "n_blocks": 0},
    "small vae": {"sample_rate": 8000, "widths": (8, 8), "strides": (5, 8), "dilations": (1,)},
    "uneven vae": {"sample_rate": 8000, "widths": (8, 8, 8), "strides": (3, 5, 2), "dilations": (1, 2), "channels": 2},
    "small gan_vocoder": {"sample_rate": 8000, "n_fft": 80, "hop_length": 40, "encoder_blocks": 1, "decoder_blocks": 2},
    "wide gan_vocoder": {"sample_rate": 8000, "n_fft": 160, "hop_length": 40, "encoder_blocks": 2, "decoder_blocks": 0},
    "causal gan_vocoder": {
        "sample_rate": 8000,
        "n_fft": 80,
        "hop_length": 40,
        "encoder_blocks": 2,
        "decoder_blocks": 1,
        "causal": True,
    },
    "small denoiser": {
        "sample_rate": 8000,
        "n_fft": 120,
        "hop_length": 60,
        "fine_hz": 1500.0,
        "group_size": 4,
        "n_blocks": 2,
        "dilations": (1, 3),
    },
    "causal denoiser": {
        "sample_rate": 8000,
        "n_fft": 120,
        "hop_length": 60,
        "fine_hz": 1500.0,
        "group_size": 4,
        "n_blocks": 1,
        "dilations": (2,),
        "causal": True,
    },
    "stereo denoiser": {
        "sample_rate": 8000,
        "n_fft": 120,
        "hop_length": 60,
        "fine_hz": 1500.0,
        "group_size": 4,
        "n_blocks": 0,
        "channels": 2,
    },
}


@functools.cache
def build(name: str):
    """A small codec or a narrow one of a configuration, and random parameters of which none is neutral."""
    if name in SMALL:
        family = name.split()[-1]
        hyperparameters = NARROW[family] | SMALL[name]
    else:
        config = loading.get(name).model
        family = config.family
        hyperparameters = config.kwargs() | NARROW[family]
        if family == "vae":
            hyperparameters["widths"] = (4,) * len(hyperparameters["strides"])
    codec = zoo.create(family, **hyperparameters)
    audio = jax.ShapeDtypeStruct((1, 4 * codec.hop_length, codec.channels), jnp.float32)
    return codec, random_like(jax.eval_shape(codec.init, jax.random.key(0), audio))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def support(function, x: np.ndarray, first: int, last: int) -> Span:
    """The first and last step of time of `x` (1, T, C) on which outputs first … last of `function` depend."""

    def probe(x):
        y = function(x)[:, first : last + 1]
        return (y * noise(*y.shape, seed=1)).sum()

    gradient = np.asarray(jit(jax.grad(probe))(x))
    assert np.isfinite(gradient).all()
    touched = np.flatnonzero(np.abs(gradient).max(axis=(0, 2)))
    return Span(int(touched[0]), int(touched[-1]))


# --- spans


@quick
@given(st.integers(1, 9), st.integers(1, 6), st.integers(-3, 9), st.integers(-20, 20), st.integers(0, 12))
def test_spans_are_what_windows_cover_written_out(size, hop, left, first, length):
    if size < hop:
        size = hop  # every sample lies in a window
    last = first + length
    samples = [f * hop - left + n for f in range(first, last + 1) for n in range(size)]
    assert Span(first, last).analysed(size, hop, left) == Span(min(samples), max(samples))
    covering = [f for f in range(-99, 99) if any(first <= f * hop - left + n <= last for n in range(size))]
    assert Span(first, last).synthesised(size, hop, left) == Span(min(covering), max(covering))
    assert Span(first, last) | Span(0, 1) == Span(min(first, 0), max(last, 1))


LAYERS = {
    "convolution": layers.Conv1d(3, 7),
    "even dilated": layers.Conv1d(3, 4, dilation=3),
    "strided": layers.Conv1d(3, 9, stride=3),
    "strided odd padding": layers.Conv1d(3, 10, stride=5),
    "transposed": layers.ConvTranspose1d(3, 4),
    "transposed odd": layers.ConvTranspose1d(3, 3),
    "depthwise": layers.DepthwiseConv1d(6),
    "convnext": layers.ConvNeXtBlock(4, 5),
    "residual": layers.ResidualUnit(3, 7),
    "causal": layers.Conv1d(3, 4, dilation=3, causal=True),
    "causal strided": layers.Conv1d(3, 9, stride=3, causal=True),
    "causal depthwise": layers.DepthwiseConv1d(6, causal=True),
    "causal convnext": layers.ConvNeXtBlock(4, 5, causal=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_inputs_of_a_layer_are_its_jacobians_support(name):
    layer = LAYERS[name]
    x = noise(1, 90, 3)
    variables = random_like(jax.eval_shape(layer.init, jax.random.key(0), x))
    for first, last in ((9, 9), (10, 10), (11, 13)):
        reach = layer.inputs(Span(first, last))
        assert 0 <= reach.first <= reach.last < 90
        assert support(functools.partial(layer.apply, variables), x, first, last) == reach
    if "causal" in name:
        stride = getattr(layer, "stride", 1)
        assert layer.inputs(Span(9, 9)).last == 9 * stride + stride - 1


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("causal") and "convnext" not in name])
def test_a_causal_convolution_is_the_centred_one_of_a_later_signal(name):
    causal = LAYERS[name]
    x = noise(2, 24, 3)
    variables = random_like(jax.eval_shape(causal.init, jax.random.key(0), x))
    stride = getattr(causal, "stride", 1)
    delay = causal.clone(causal=False).inputs(Span(0, 0)).last - (stride - 1)
    assert delay > 0
    later = np.pad(x, ((0, 0), (delay, -delay % stride), (0, 0)))
    centred = causal.clone(causal=False).apply(variables, later)
    np.testing.assert_allclose(causal.apply(variables, x), centred[:, : 24 // stride], atol=1e-6)


# --- codecs


CODECS = [name for name in loading.names() if loading.get(name).task != "generate"]


@pytest.mark.parametrize("name", [*SMALL, *CODECS])
def test_contexts_are_exactly_what_frames_depend_on(name):
    codec, variables = build(name)
    hop = codec.hop_length
    before, after = codec.encoder_context.before, codec.encoder_context.after
    frames = before + after + 4  # one more on each side than may matter
    f = before + 1
    encode = functools.partial(codec.apply, variables, method="encode_frames")
    samples = support(encode, noise(1, frames * hop, codec.channels), f, f)
    assert (samples.first // hop, samples.last // hop) == (f - before, f + after)

    before, after = codec.decoder_context.before, codec.decoder_context.after
    frames, f = before + after + 4, before + 1
    latent = noise(1, frames, jax.eval_shape(encode, jnp.zeros((1, hop, codec.channels))).shape[-1])
    decode = functools.partial(codec.apply, variables, method="decode_frames")
    assert support(decode, latent, f * hop, (f + 1) * hop - 1) == Span(f - before, f + after)


def windows(x: np.ndarray, hop: int, valid: np.ndarray, context: Reach, keep: int):
    """All stretches of `keep` frames of x (1, F * hop, C) with their context; garbage and False where the clip is not.

    Returns (W, L * hop, C), mask (W, L).
    """
    n_frames = len(valid)
    length = context.before + keep + context.after
    index = np.arange(0, n_frames, keep)[:, None] - context.before + np.arange(length)[None]
    inside = (index >= 0) & (index < n_frames)
    mask = inside & valid[np.where(inside, index, 0)]
    framed = x.reshape(n_frames, hop, -1)[np.where(inside, index, 0)]
    framed = np.where(mask[..., None, None], framed, np.nan)
    return framed.reshape(len(index), length * hop, -1), mask


@pytest.mark.parametrize("name", [*SMALL, "autoencoder", "vae", "gan_vocoder", "gan_vocoder_causal"])
def test_a_window_with_its_context_is_the_whole_clip(name):
    codec, variables = build(name)
    hop, lead, keep = codec.hop_length, codec.lead, 7
    n_samples = 61 * hop + 13
    length = n_samples + 3 * hop  # a clip at the front of a longer array, as in a padded batch
    audio = noise(1, length, codec.channels)
    lengths = np.array([n_samples], np.int32)
    latent = np.asarray(jit(lambda x: codec.apply(variables, x, lengths, method="encode"))(audio))
    decoded = np.asarray(jit(lambda z: codec.apply(variables, z, length, lengths, method="decode"))(latent))
    n_frames, total = codec.n_frames(n_samples), codec.n_frames(length)
    valid = np.arange(total) < n_frames

    audio[:, n_samples:] = 0.0
    line = np.pad(audio, ((0, 0), (lead, total * hop - lead - length), (0, 0)))
    parts, mask = windows(line, hop, valid, codec.encoder_context, keep)
    encode = jit(functools.partial(codec.apply, variables, method="encode_frames"))
    kept = np.asarray(encode(parts, mask))[:, codec.encoder_context.before :][:, :keep]
    found = kept.reshape(-1, latent.shape[-1])[:n_frames]
    np.testing.assert_allclose(found, latent[0, :n_frames], rtol=0, atol=1e-5 * np.abs(latent).max())

    parts, mask = windows(latent, 1, valid, codec.decoder_context, keep)
    decode = jit(functools.partial(codec.apply, variables, method="decode_frames"))
    out = np.asarray(decode(parts, mask))
    # where the mask says so there is silence, next to the clip too
    assert not np.abs(out.reshape(*mask.shape, -1)[~mask]).any()
    kept = out[:, codec.decoder_context.before * hop :][:, : keep * hop]
    found = kept.reshape(-1, codec.channels)[lead : lead + n_samples]
    assert np.abs(found).max() > 0.01
    np.testing.assert_allclose(found, decoded[0, :n_samples], rtol=0, atol=1e-5 * np.abs(decoded).max())


@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("small gan")])
def test_latency_is_the_latest_sample_that_matters(name):
    codec, variables = build(name)
    hop = codec.hop_length
    frames = 2 + sum(c.before + c.after for c in (codec.encoder_context, codec.decoder_context)) + 2
    start = (codec.encoder_context.before + codec.decoder_context.before + 1) * hop
    audio = noise(1, frames * hop, codec.channels)

    def one_hop(x):
        latent = codec.apply(variables, x, method="encode_frames")
        return codec.apply(variables, latent, method="decode_frames")[0, start : start + hop].sum(axis=-1)

    gradients = np.asarray(jit(jax.jacrev(one_hop))(audio))  # (hop, 1, T, C)
    latest = [np.flatnonzero(np.abs(g).max(axis=(0, 2)))[-1] - (start + t) for t, g in enumerate(gradients)]
    assert codec.algorithmic_latency_samples == max(latest) + 1
    bound = hop * (1 + codec.encoder_context.after + codec.decoder_context.after)
    assert hop <= codec.algorithmic_latency_samples <= bound


def test_a_causal_vocoder_waits_for_one_window():
    for n_fft in (80, 160):
        hyperparameters = SMALL["causal gan_vocoder"] | {"n_fft": n_fft}
        # the first sample of a periodic Hann window weighs nothing
        assert zoo.create("gan_vocoder", **hyperparameters).algorithmic_latency_samples == n_fft - 1
        centred = zoo.create("gan_vocoder", **hyperparameters | {"causal": False})
        # an embedding and two blocks, an embedding and one block, three frames each
        assert centred.algorithmic_latency_samples == n_fft - 1 + 40 * (3 * 3 + 3 * 2)


def test_half_a_frame_is_refused():
    codec, variables = build("gan_vocoder")
    with pytest.raises(zoo.ZooError, match="500 samples are not a whole number of frames of 320"):
        codec.apply(variables, noise(1, 500, 1), method="encode_frames")
