"""What `export` writes, in the hands of the reference implementations: they load it, and find every tensor."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import zoo  # noqa: E402
from zoo import families  # noqa: E402
from zoo.bitstream import entropy  # noqa: E402
from zoo.published import load  # noqa: E402
from zoo.saved import checkpoint  # noqa: E402

SMALL = {
    "dac": {
        "model_type": "dac", "sampling_rate": 8000, "encoder_hidden_size": 4, "decoder_hidden_size": 32,
        "downsampling_ratios": [2, 4], "upsampling_ratios": [4, 2], "hidden_size": 16, "n_codebooks": 2,
        "codebook_size": 16, "codebook_dim": 4,
    },
    "encodec": {
        "model_type": "encodec", "sampling_rate": 8000, "audio_channels": 1, "normalize": False, "chunk_length_s": None,
        "overlap": None, "hidden_size": 8, "num_filters": 4, "num_residual_layers": 1, "upsampling_ratios": [4, 2],
        "norm_type": "weight_norm", "kernel_size": 7, "last_kernel_size": 7, "residual_kernel_size": 3,
        "dilation_growth_rate": 2, "use_causal_conv": True, "pad_mode": "reflect", "compress": 2,
        "num_lstm_layers": 1, "trim_right_ratio": 1.0, "codebook_size": 16, "codebook_dim": 8,
        "use_conv_shortcut": True, "target_bandwidths": [4.0, 8.0],
    },
    "mimi": {
        "model_type": "mimi", "sampling_rate": 8000, "hidden_size": 16, "num_filters": 4, "upsampling_ratios": [4, 2],
        "codebook_size": 32, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8, "num_quantizers": 3,
        "upsample_groups": 16, "num_hidden_layers": 1, "intermediate_size": 24, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 9,
    },
    "snac": {
        "sampling_rate": 8000, "encoder_dim": 4, "encoder_rates": [2, 4], "decoder_dim": 32, "decoder_rates": [4, 2],
        "attn_window_size": None, "codebook_size": 16, "codebook_dim": 4, "vq_strides": [2, 1], "noise": True,
        "depthwise": True,
    },
    "oobleck": {
        "_class_name": "AutoencoderOobleck", "audio_channels": 2, "channel_multiples": [1, 2], "decoder_channels": 8,
        "decoder_input_channels": 4, "downsampling_ratios": [2, 4], "encoder_hidden_size": 8, "sampling_rate": 8000,
    },
    "vocos": {
        "feature_extractor": {
            "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
            "init_args": {"sample_rate": 8000, "n_fft": 64, "hop_length": 16, "n_mels": 12, "padding": "center"},
        },
        "backbone": {
            "class_path": "vocos.models.VocosBackbone",
            "init_args": {"input_channels": 12, "dim": 8, "intermediate_dim": 16, "num_layers": 1},
        },
        "head": {
            "class_path": "vocos.heads.ISTFTHead",
            "init_args": {"dim": 8, "n_fft": 64, "hop_length": 16, "padding": "center"},
        },
    },
}  # fmt: skip


@pytest.fixture(params=SMALL)
def exported(request, tmp_path) -> tuple[str, zoo.ReadyCodec, Path]:
    """Family, a codec with random weights, and the folder that was written of it."""
    family = request.param
    model = families.module_of(family).hyperparameters(SMALL[family])
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
    if family in ("dac", "encodec", "mimi"):
        from transformers import DacModel, EncodecModel, MimiModel

        kind = {"dac": DacModel, "encodec": EncodecModel, "mimi": MimiModel}[family]
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
    elif family == "snac":
        snac = pytest.importorskip("snac")
        snac.SNAC.from_pretrained(str(folder))  # strict
    else:
        state = torch.load(folder / "pytorch_model.bin")
        assert {"backbone.embed.weight", "head.out.weight", "head.istft.window"} <= state.keys()
