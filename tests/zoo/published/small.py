"""Small models of the published families, and what their reference implementations made of clips: the files in golden/.

They are written by the modules in parity/.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

import zoo
from zoo import families
from zoo.bitstream.entropy import Fitter
from zoo.published.keymap import to_params
from zoo.saved.checkpoint import codec_template

GOLDEN = Path(__file__).parent / "golden"

_SAME = {
    "channels": 8, "c_mults": [2], "strides": [3], "latent_dim": 6, "transformer_depths": [2], "dim_heads": 8,
    "ff_mult": 2, "variable_stride": True, "chunk_size": 6, "chunk_midpoint_shift": True,
}  # fmt: skip
HUB_CONFIGS: dict[str, dict[str, Any]] = {
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
    "pocket_tts_audio_tokenizer": {
        "model_type": "pocket_tts_audio_tokenizer", "sampling_rate": 8000, "hidden_size": 16, "latent_dim": 3,
        "latent_stride": 4, "num_filters": 4, "upsampling_ratios": [4, 2], "upsample_groups": 16,
        "num_hidden_layers": 2, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 2,
        "head_dim": 8, "sliding_window": 9,
    },
    "snac": {
        "sampling_rate": 8000, "encoder_dim": 4, "encoder_rates": [2, 4], "decoder_dim": 32, "decoder_rates": [4, 2],
        "attn_window_size": None, "codebook_size": 16, "codebook_dim": 4, "vq_strides": [2, 1], "noise": True,
        "depthwise": True,
    },
    "wavtokenizer": {
        "model_type": "wavtokenizer", "sampling_rate": 8000, "num_filters": 4, "upsampling_ratios": [4, 2],
        "hidden_size": 16, "codebook_dim": 16, "codebook_size": 32, "num_lstm_layers": 1, "decoder_hidden_size": 24,
        "decoder_intermediate_size": 32, "decoder_num_layers": 2, "adanorm_num_embeddings": 3,
        "decoder_attention_num_groups": 4,
    },
    "hifigan": {
        "resblock": "1", "upsample_rates": [4, 2], "upsample_kernel_sizes": [8, 4], "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 3], [2, 4]], "num_mels": 6,
        "sampling_rate": 8000, "conv_post_bias": True,
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
    "qwen3_tts": {
        "model_type": "qwen3_tts_tokenizer_12hz", "encoder_valid_num_quantizers": 3, "input_sample_rate": 8000,
        "output_sample_rate": 8000, "encode_downsample_rate": 12, "decode_upsample_rate": 12,
        "encoder_config": {
            "sampling_rate": 8000, "hidden_size": 16, "num_filters": 4, "upsampling_ratios": [6],
            "codebook_size": 32, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8, "num_quantizers": 5,
            "upsample_groups": 16, "num_hidden_layers": 1, "intermediate_size": 24, "num_attention_heads": 2,
            "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 9,
        },
        "decoder_config": {
            "latent_dim": 12, "codebook_dim": 16, "codebook_size": 32, "decoder_dim": 16, "hidden_size": 16,
            "intermediate_size": 20, "head_dim": 6, "num_attention_heads": 2, "num_key_value_heads": 2,
            "num_hidden_layers": 1, "num_quantizers": 3, "sliding_window": 5, "upsample_rates": [3, 2],
            "upsampling_ratios": [2],
        },
    },
    "vibevoice": {
        "model_type": "vibevoice_acoustic_tokenizer", "channels": 1, "hidden_size": 6, "kernel_size": 5,
        "num_filters": 4, "downsampling_ratios": [2, 4], "depths": [1, 1, 2], "ffn_expansion": 2,
    },
    "same": {
        "model_type": "autoencoder", "sample_rate": 800, "audio_channels": 2, "model": {
            "pretransform": {"type": "patched", "config": {"channels": 2, "patch_size": 4}},
            "encoder": {"type": "same", "config": {"in_channels": 8, **_SAME}},
            "decoder": {"type": "same", "config": {
                "out_channels": 8, "conv_mapping": True, "sinusoidal_blocks": [0], "mask_noise": 0.01, **_SAME,
            }},
            "bottleneck": {"type": "softnorm", "config": {"dim": 6, "noise_regularize": True, "auto_scale": True}},
            "latent_dim": 6, "downsampling_ratio": 12, "io_channels": 2,
        },
    },
    "neucodec": {
        "model_type": "neucodec", "input_sampling_rate": 16_000, "output_sampling_rate": 24_000,
        "downsampling_ratios": [4, 5], "encoder_hidden_size": 2, "hidden_size": 32, "intermediate_size": 24,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8,
        "quantization_dim": 48, "quantization_levels": [4, 4, 3], "semantic_model_config": {
            "model_type": "wav2vec2-bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 20, "feature_projection_input_dim": 8, "left_max_position_embeddings": 5,
            "right_max_position_embeddings": 2, "conv_depthwise_kernel_size": 5,
        },
    },
    "spectrostream": {
        "audio_sample_rate": 8000, "stft_frame_length": 24, "stft_frame_step": 12, "stft_fft_length": 24,
        "ratios": [[1, 2], [2, 3], [2, 1]], "mults": [2, 1, 2], "num_bins": 12, "num_channels": 4,
        "channel_splits": 2, "channel_recombo_block": -2, "num_features": 16, "encoder_base_conv_depth": 4,
        "encoder_base_conv_size": 5, "decoder_base_conv_depth": 4, "decoder_base_conv_size": 5,
        "quantizer": {"num_quantizers": 3, "num_embeddings": 32, "embedding_dim": 16},
    },
}  # fmt: skip
"""The config.json, or what stands for it, of a small model of each family."""

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def golden(family: str, name: str) -> dict[str, np.ndarray]:
    """The arrays of `golden/FAMILY_NAME.npz`: config, weights (w:KEY), and for each clip what goes in and comes out."""
    with np.load(GOLDEN / f"{family}_{name}.npz") as arrays:
        return {key: array.astype(np.float32) if key[:2] == "w:" else array for key, array in arrays.items()}


def config(family: str, name: str) -> dict[str, Any]:
    return dict(json.loads(str(golden(family, name)["config"])))


def weights(family: str, name: str) -> dict[str, np.ndarray]:
    return {key[2:]: array for key, array in golden(family, name).items() if key[:2] == "w:"}


def ported(
    family: str, hyperparameters: dict[str, Any], tensors: Mapping[str, np.ndarray], layout: str
) -> tuple[zoo.Codec, Any]:
    """A codec and its parameters, of tensors in one of the layouts of its family."""
    module = zoo.create(family, **hyperparameters)
    keymap = families.module_of(family).key_maps(**hyperparameters)[layout]
    return module, to_params(tensors, keymap, codec_template(module)["params"])


@functools.cache
def ready(family: str, name: str, *, layout: str = "transformers") -> zoo.ReadyCodec:
    """The codec of a golden file, with the tables of a model that is published without any."""
    published = families.module_of(family)
    hyperparameters = config(family, name)
    if family != "vocos":  # whose authors' configuration has no word for a small EnCodec
        hyperparameters = published.hyperparameters(hyperparameters)
    module, params = ported(family, hyperparameters, weights(family, name), layout)
    symbols = module.bottleneck.symbols()
    tables = published.default_entropy(symbols) if hasattr(published, "default_entropy") else Fitter(symbols).fit()
    return zoo.ReadyCodec(module, {"params": params}, tables, {"family": family, "model": hyperparameters})


def close(found: ArrayLike, wanted: np.ndarray, tolerance: float = 1e-4) -> None:
    """Asserts that an array is equal to another to within a share of its largest value."""
    assert np.shape(found) == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def agrees(codec: zoo.ReadyCodec, given: Mapping[str, np.ndarray], i: int) -> None:
    """Asserts that latents, codes and audio of clip number i are what the reference implementation made of it."""
    close(codec.encode_latents(given[f"audio_{i}"])[0], given[f"latent_{i}"])
    np.testing.assert_array_equal(codec.encode(given[f"audio_{i}"]).codes[0], given[f"codes_{i}"])
    close(codec.decode(given[f"codes_{i}"][None], len(given[f"out_{i}"]))[0], given[f"out_{i}"])


def write_golden(family: str, name: str, given: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a golden file: of weights and clips, and the configuration that they are of."""
    path = GOLDEN / f"{family}_{name}.npz"
    np.savez_compressed(path, allow_pickle=False, config=np.array(json.dumps(given)), **arrays)
    print(path, path.stat().st_size)
