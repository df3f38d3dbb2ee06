"""The models that transformers and diffusers have."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from evaluate.bench.torch_peers.peer import Peer, as_frames


class FromLibrary(Peer):
    """A peer from a library whose models have `from_pretrained` and `save_pretrained`."""

    library: ClassVar[str] = "transformers"
    model: ClassVar[str]
    settings: ClassVar[str]

    @classmethod
    def prepare(cls) -> None:
        cls._class(cls.model)
        if cls.library == "transformers":  # or its progress bars stand among the results
            logging = importlib.import_module("transformers.utils.logging")
            logging.set_verbosity_error()
            logging.disable_progress_bar()

    @classmethod
    def _class(cls, name: str) -> Any:
        return getattr(importlib.import_module(cls.library), name)

    def make(self) -> nn.Module:
        module: nn.Module = self._class(self.model)(self._class(self.settings)(**self.config))
        return module

    def load(self, folder: Path) -> nn.Module:
        module: nn.Module = self._class(self.model).from_pretrained(folder)
        return module

    def save(self, folder: Path) -> None:
        self.module.save_pretrained(folder)


class Dac(FromLibrary):
    model, settings = "DacModel", "DacConfig"

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio).audio_codes

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(audio_codes=native).audio_values
        return audio.unsqueeze(1)


class Encodec(FromLibrary):
    """EnCodec at the highest of its bandwidths."""

    model, settings = "EncodecModel", "EncodecConfig"

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio, bandwidth=max(self.config["target_bandwidths"]))

    def _decode(self, native: Any) -> torch.Tensor:
        found = self.module.decode(
            native.audio_codes, native.audio_scales, last_frame_pad_length=native.last_frame_pad_length
        )
        audio: torch.Tensor = found.audio_values
        return audio

    def frames(self, native: Any) -> np.ndarray:
        return super().frames(native.audio_codes[0])


class SegmentedEncodec(Encodec):
    """EnCodec on overlapping segments, each divided by its loudness; its codes begin with that."""

    @property
    def _segment(self) -> tuple[int, int]:
        """Samples in a segment, and from one's beginning to the next one's."""
        length = int(self.config["chunk_length_s"] * self.config["sampling_rate"])
        return length, int((1.0 - self.config["overlap"]) * length)

    @property
    def hop_length(self) -> int:
        return self._segment[1]

    def audio(self, audio: np.ndarray) -> torch.Tensor:
        length, hop = self._segment
        return torch.nn.functional.pad(super().audio(audio), (0, length - hop))

    def frames(self, native: Any) -> np.ndarray:
        # what is beyond the last whole segment is published as one more
        codes = native.audio_codes[:-1].permute(1, 0, 2, 3).to(torch.int32)
        scales = torch.cat(native.audio_scales[:-1], dim=1).numpy()
        side = np.zeros((*codes.shape[:2], codes.shape[3]), np.int32)
        side[..., :4] = scales.astype("<f4").view(np.uint8).reshape(*scales.shape, 4)
        return np.concatenate([side, codes.flatten(2).numpy()], axis=2)


class Mimi(FromLibrary):
    model, settings = "MimiModel", "MimiConfig"

    @property
    def hop_length(self) -> int:
        return 2 * super().hop_length  # one more convolution stands between the encoder's transformer and the codes

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio).audio_codes

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(native).audio_values
        return audio


class PocketTTSAudioTokenizer(FromLibrary):
    model, settings = "PocketTTSAudioTokenizerModel", "PocketTTSAudioTokenizerConfig"

    @property
    def hop_length(self) -> int:
        return super().hop_length * int(self.config["latent_stride"])

    def frames(self, native: Any) -> np.ndarray:
        return as_frames(native)

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio).latents

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(native).audio_values
        return audio


class WavTokenizer(FromLibrary):
    model, settings = "WavTokenizerModel", "WavTokenizerConfig"

    @property
    def output(self) -> nn.Module:
        layer: nn.Module = self.module.head.linear
        return layer

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio).audio_codes

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(native).audio_values
        return audio


class NeuCodec(FromLibrary):
    """transformers' NeuCodecModel or Xcodec2Model, from codes to audio: their features need torchaudio."""

    encodes = False
    model, settings = "NeuCodecModel", "NeuCodecConfig"

    def __init__(self, config: dict[str, Any], folder: Path | None = None) -> None:
        self._is_xcodec2 = config.get("model_type") == "xcodec2"
        super().__init__(config, folder)

    def make(self) -> nn.Module:
        name = "Xcodec2" if self._is_xcodec2 else "NeuCodec"
        module: nn.Module = self._class(f"{name}Model")(self._class(f"{name}Config")(**self.config))
        return module

    def load(self, folder: Path) -> nn.Module:
        module: nn.Module = self._class("AutoModel").from_pretrained(folder)
        return module

    @property
    def hop_length(self) -> int:
        return int(self.module.config.hop_length)

    @property
    def output(self) -> nn.Module:
        layer: nn.Module = self.module.acoustic_decoder.head.linear
        return layer

    def example(self, batch_size: int, n_samples: int) -> np.ndarray:
        n_codes = int(np.prod(self.config["quantization_levels"]))
        # X-Codec2 has a sample of silence after each clip
        frames = -(-(n_samples + self._is_xcodec2) // self.hop_length)
        return np.random.default_rng(0).integers(0, n_codes, (batch_size, frames, 1), np.int32)

    def native(self, frames: np.ndarray) -> Any:
        return super().native(frames).long()

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(native).audio_values
        return audio


class VibeVoice(FromLibrary):
    """transformers' VibeVoiceAcousticTokenizerModel; its latents are as the encoder gives them, without noise."""

    model, settings = "VibeVoiceAcousticTokenizerModel", "VibeVoiceAcousticTokenizerConfig"

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio, sample=False).latents.swapaxes(1, 2)

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(native.swapaxes(1, 2)).audio
        return audio


class Oobleck(FromLibrary):
    """diffusers' AutoencoderOobleck; its latents are the posterior's means."""

    library, model, settings = "diffusers", "AutoencoderOobleck", ""

    def make(self) -> nn.Module:
        arguments = {key: value for key, value in self.config.items() if not key.startswith("_")}
        module: nn.Module = self._class(self.model)(**arguments)
        return module

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio).latent_dist.mode()

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(native).sample
        return audio
