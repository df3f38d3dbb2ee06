"""What `export` writes, in the hands of the reference implementations: they load it, and find every tensor."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import zoo  # noqa: E402
from tests.zoo.published.small import HUB_CONFIGS  # noqa: E402
from zoo import families  # noqa: E402
from zoo.bitstream import entropy  # noqa: E402
from zoo.published import load  # noqa: E402
from zoo.published.files import weights  # noqa: E402
from zoo.saved import checkpoint  # noqa: E402

MODELS = {
    "dac": "DacModel",
    "encodec": "EncodecModel",
    "mimi": "MimiModel",
    "neucodec": "NeuCodecModel",
    "pocket_tts_audio_tokenizer": "PocketTTSAudioTokenizerModel",
    "vibevoice": "VibeVoiceAcousticTokenizerModel",
    "wavtokenizer": "WavTokenizerModel",
}
"""of transformers"""


@pytest.fixture(params=HUB_CONFIGS)
def exported(request, tmp_path) -> tuple[str, zoo.ReadyCodec, Path]:
    """Family, a codec with random weights, and the folder that was written of it."""
    family = request.param
    model = families.module_of(family).hyperparameters(HUB_CONFIGS[family])
    module = zoo.create(family, **model)
    rng = np.random.default_rng(0)
    template = checkpoint.codec_template(module)["params"]
    params = jax.tree.map(lambda x: (0.3 * rng.standard_normal(x.shape)).astype(x.dtype), template)
    tables = load._entropy(families.module_of(family), module.bottleneck.symbols(), None)
    assert isinstance(tables, entropy.EntropyModel)
    codec = zoo.ReadyCodec(module, {"params": params}, tables, {"family": family, "model": model})
    load.export(codec, tmp_path / "out")
    return family, codec, tmp_path / "out"


def test_it_is_the_same_codec_again(exported):
    _, codec, folder = exported
    assert zoo.load(folder).digest == codec.digest
    (folder / "entropy.safetensors").unlink()  # what others would write
    again = zoo.load(folder)
    assert again.module == codec.module
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6)  # DAC's codebooks are in tenths here
    jax.tree.map(close, again.variables["params"], codec.variables["params"])


def test_the_reference_finds_every_tensor(exported):
    family, _, folder = exported
    if family in MODELS:
        if not hasattr(transformers, MODELS[family]):
            pytest.skip(f"this version of transformers has no {MODELS[family]}")
        kind = getattr(transformers, MODELS[family])
        _, found = kind.from_pretrained(folder, output_loading_info=True)
        problems = {key: values for key, values in found.items() if values}
        # running statistics of training
        missing = {key for key in problems.pop("missing_keys", ()) if not key.endswith(("inited", "initialized"))}
        assert not missing
        assert not problems
    elif family == "oobleck":
        diffusers = pytest.importorskip("diffusers")
        _, found = diffusers.AutoencoderOobleck.from_pretrained(folder, output_loading_info=True)
        assert not {key: values for key, values in found.items() if values}
    elif family == "hifigan":  # whose authors' code is in no package
        names = weights.read(folder / "model.safetensors").tensors.keys()
        assert {"conv_pre.weight_g", "ups.0.weight_v", "resblocks.3.convs2.1.bias", "conv_post.bias"} <= names
    elif family == "snac":
        snac = pytest.importorskip("snac")
        snac.SNAC.from_pretrained(str(folder))  # strict
    elif family == "vocos":
        state = torch.load(folder / "pytorch_model.bin")
        assert {"backbone.embed.weight", "head.out.weight", "head.istft.window"} <= state.keys()
    else:
        pytest.skip(f"{family} has a comparison of its own")
