"""SpectroStream against its authors' at published size, JAX against JAX; run as a module, it rewrites the golden file.

Their package pins others for what is not its codec, so that it needs an environment of its own:

    pip install -e '.[test]' typeguard==2.13.3 jaxtyping einops
    pip install --no-deps magenta-rt==2.0.3 recurrentgemma sentencepiece
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from flax import linen as nn

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.agreement import check_padded_batch
from tests.zoo.published.parity.sounds import jumping
from tests.zoo.published.small import HUB_CONFIGS, close
from zoo.bitstream.entropy import Fitter
from zoo.published import spectrostream
from zoo.published.keymap import flatten, from_params, unflatten
from zoo.published.registry import known

pytest.importorskip("magenta_rt")
authors = pytest.importorskip("magenta_rt.jax.spectrostream")
import sequence_layers.jax as sl  # noqa: E402  # magenta_rt says where it is

SMALL = HUB_CONFIGS["spectrostream"]
PUBLISHED = known("google/magenta-realtime-2").config
LENGTHS = (1003, 960, 5)
"""samples of the golden clips"""


class Reference:
    """Their model with random weights that keep signals at their level, and codebooks that fit its latents."""

    def __init__(self, config):
        whole = authors.stft_spectrostream_40ms_generic_48khz_stereo_config()
        quantizer = dataclasses.replace(whole.quantizer, **config["quantizer"])
        # they compare strides with tuples
        ratios = tuple(tuple(strides) for strides in config["ratios"])
        self.config = dataclasses.replace(whole, **{**config, "ratios": ratios, "quantizer": quantizer})
        self.model = self.config.make()
        self.hop = self.config.waveform_to_codes_ratio
        example = self.clip(np.zeros((4 * self.hop, self.config.num_channels // 2), np.float32))
        shapes = jax.eval_shape(lambda key: self.model.init(key, example, training=False), jax.random.key(0))
        rng = np.random.default_rng(0)
        drawn = {path: _drawn(rng, path, leaf.shape) for path, leaf in flatten(nn.unbox(shapes)).items()}
        self.variables = unflatten(drawn)
        audio = jumping(40 * self.hop, self.config.num_channels // 2, seed=0)
        latent = self.run("waveform_to_embeddings", audio)
        # each codebook of what random entries leave of the one before
        book = drawn["params/quantizer/embedding"]
        levels = latent.std() * 0.3 * 0.96 ** np.arange(len(book))
        book *= levels[:, None, None].astype(np.float32)
        book[0] += latent.mean(axis=0)
        self.variables = jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32), unflatten(drawn))

    @staticmethod
    def clip(audio):
        return sl.Sequence(jax.numpy.asarray(audio)[None], jax.numpy.ones((1, len(audio)), bool))

    def run(self, method, given):
        """What a method of theirs makes of one clip (T, C) or its codes (F, Q)."""
        return np.asarray(self._compiled(method)(self.variables, self.clip(given)).values[0])

    @functools.cache  # noqa: B019
    def _compiled(self, method):
        return jax.jit(functools.partial(self.model.apply, training=False, method=method))

    def coded(self, audio):
        """Latents, codes and decoded audio of a clip (T, 2), followed by zeros to whole frames and one frame more."""
        padded = np.pad(audio, ((0, -len(audio) % self.hop + self.hop), (0, 0)))
        codes = self.run("waveform_to_codes", padded)
        out = self.run("codes_to_waveform", codes)
        assert len(out) == len(padded) - self.hop
        return {"latent": self.run("waveform_to_embeddings", padded), "codes": codes, "out": out[: len(audio)]}


def _drawn(rng, path, shape):
    drawn = rng.standard_normal(shape)
    if path.endswith("bias"):
        drawn *= 0.1
    elif path.endswith("kernel"):
        reached = np.prod(shape[:-1])
        if "transpose" in path:  # of whose taps an output hears one of each stride
            height, width = (int(size) for size in path.split("transpose_")[1].split("/")[0].split("x"))
            reached /= (height // 2 if height > 3 else 1) * (width // 2 if width > 3 else 1)
        drawn *= reached**-0.5
    else:
        drawn *= shape[-1] ** -0.5
    return drawn.astype(np.float32)


def of(config):
    """Their model and ours, with the same weights."""
    reference = Reference(config)
    model = spectrostream.hyperparameters(config)
    module, params = small.ported("spectrostream", model, flatten(reference.variables), "original")
    tables = Fitter(module.bottleneck.symbols()).fit()
    codec = zoo.ReadyCodec(module, {"params": params}, tables, {"family": "spectrostream", "model": model})
    return reference, codec


@pytest.fixture(scope="module")
def published():
    return of(PUBLISHED)


def test_the_published_configuration_is_theirs():
    theirs = authors.stft_spectrostream_40ms_generic_48khz_stereo_config()
    ours = spectrostream.hub_config(**spectrostream.hyperparameters(PUBLISHED))
    quantizer = ours.pop("quantizer")
    for key, value in ours.items():
        found = getattr(theirs, key)
        n_blocks = len(theirs.ratios) + 1
        if key == "channel_recombo_block":
            found %= n_blocks
        assert jax.tree.leaves(found) == jax.tree.leaves(value), key
    assert quantizer == {key: getattr(theirs.quantizer, key) for key in quantizer}


@pytest.mark.parametrize("n_samples", [48_000, 96_001, 7])
def test_codes_and_audio_are_the_references(published, n_samples):
    reference, codec = published
    audio = jumping(n_samples, 2, seed=n_samples)
    wanted = reference.coded(audio)
    if len(wanted["codes"]) > 5:
        assert all(len(np.unique(column)) > len(column) / 4 for column in wanted["codes"].T)
    latent = codec.encode_latents(audio)[0]
    codes = codec.encode(audio).codes[0]
    out = codec.decode(wanted["codes"][None], n_samples)[0]
    error = np.abs(latent - wanted["latent"]).max() / np.abs(wanted["latent"]).max()
    print(f"{n_samples}: latent {error:.1e}, of {codes.size} codes differ {np.sum(codes != wanted['codes'])}")
    print(f"audio {np.abs(out - wanted['out']).max() / np.abs(wanted['out']).max():.1e} of its peak")
    close(latent, wanted["latent"])
    np.testing.assert_array_equal(codes, wanted["codes"])
    close(out, wanted["out"])


@pytest.mark.parametrize(
    "changes",
    [
        {"num_channels": 2, "channel_splits": 1},
        {"num_channels": 6, "channel_splits": 3, "channel_recombo_block": -3},
        {"channel_recombo_block": 0, "ratios": [[1, 1], [2, 4], [3, 3]]},
    ],
)
def test_other_shapes_are_the_references(changes):
    reference, codec = of(SMALL | changes)
    audio = jumping(1003, codec.module.channels, seed=1)
    wanted = reference.coded(audio)
    close(codec.encode_latents(audio)[0], wanted["latent"])
    np.testing.assert_array_equal(codec.encode(audio).codes[0], wanted["codes"])
    close(codec.decode(wanted["codes"][None], len(audio))[0].reshape(wanted["out"].shape), wanted["out"])


def test_fewer_codebooks_are_the_references(published):
    reference, codec = published
    audio = jumping(20_000, 2, seed=2)
    codes = codec.encode(audio, level=11).codes
    wanted = reference.run("codes_to_waveform", codes[0])
    close(codec.decode(codes, len(wanted))[0], wanted)


def test_a_padded_batch_is_its_clips(published):
    reference, codec = published
    apply = functools.partial(codec.module.apply, codec.variables)
    check_padded_batch(apply, reference.coded, lambda n: jumping(n, 2, seed=n), (20_000, 9_001, 14_337))


def test_the_reference_takes_what_is_written(published):
    reference, codec = published
    model = codec.metadata["model"]
    written = from_params(codec.variables["params"], spectrostream.key_maps(**model)["original"])
    theirs = flatten(reference.variables)
    assert written.keys() == theirs.keys()
    for key, array in written.items():
        np.testing.assert_array_equal(array, theirs[key], err_msg=key)


def write_golden() -> None:
    reference = Reference(SMALL)
    arrays = {f"w:{key}": array.astype(np.float16) for key, array in flatten(reference.variables).items()}
    for i, n_samples in enumerate(LENGTHS):
        arrays[f"audio_{i}"] = jumping(n_samples, 2, seed=n_samples)
        arrays |= {f"{name}_{i}": array for name, array in reference.coded(arrays[f"audio_{i}"]).items()}
    small.write_golden("spectrostream", "small", SMALL, arrays)


if __name__ == "__main__":
    write_golden()
