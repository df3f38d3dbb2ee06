"""The models that only their authors' packages have."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from evaluate.bench.torch_peers.peer import Noise, Peer, as_frames
from zoo.errors import ZooError


class Snac(Peer):
    """snac.SNAC, whose codes are a list, from the slowest codebook to the fastest."""

    @classmethod
    def prepare(cls) -> None:
        importlib.import_module("snac")

    def make(self) -> nn.Module:
        module: nn.Module = importlib.import_module("snac").SNAC(**self.config)
        return module

    @property
    def hop_length(self) -> int:
        return int(np.prod(self.config["encoder_rates"])) * int(self.config["vq_strides"][0])

    def _encode(self, audio: torch.Tensor) -> Any:
        return self.module.encode(audio)

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module.decode(native)
        return audio

    def frames(self, native: Any) -> np.ndarray:
        n = native[0].shape[1]
        return as_frames(torch.cat([codes.reshape(len(codes), n, -1) for codes in native], dim=2))

    def decode_with(self, native: Any, noise: Noise) -> np.ndarray:
        layers = itertools.count()

        def randn(shape: tuple[int, ...], **_: Any) -> torch.Tensor:
            return torch.from_numpy(np.array(noise(next(layers), shape[-1]))).expand(shape)

        with mock.patch.object(torch, "randn", randn):
            return super().decode_with(native, noise)


class Vocos(Peer):
    """Backbone and head of vocos, from mel spectra to audio: its features need torchaudio, and are not timed."""

    encodes = False

    @classmethod
    def prepare(cls) -> None:
        with _stand_in_for_torchaudio():
            importlib.import_module("vocos.models")
            importlib.import_module("vocos.heads")

    def make(self) -> nn.Module:
        if "EncodecFeatures" in self.config["feature_extractor"]["class_path"]:
            raise ZooError("Vocos on EnCodec's codes is not among the models that --vs torch knows")
        parts: dict[str, nn.Module] = {}
        for part in ("backbone", "head"):
            module, _, name = self.config[part]["class_path"].rpartition(".")
            parts[part] = getattr(importlib.import_module(module), name)(**self.config[part]["init_args"])
        return nn.ModuleDict(parts)

    @property
    def hop_length(self) -> int:
        return int(self.config["head"]["init_args"]["hop_length"])

    def example(self, batch_size: int, n_samples: int) -> np.ndarray:
        n = 1 - (-n_samples // self.hop_length)  # windows are centred on both ends too
        features: int = self.config["backbone"]["init_args"]["input_channels"]
        return np.random.default_rng(0).standard_normal((batch_size, n, features)).astype(np.float32)

    def _decode(self, native: Any) -> torch.Tensor:
        audio: torch.Tensor = self.module["head"](self.module["backbone"](native))
        return audio.unsqueeze(1)

    @property
    def output(self) -> nn.Module:
        return self.module["head"].out


@contextmanager
def _stand_in_for_torchaudio() -> Iterator[None]:
    """Stands in for torchaudio where it is missing: vocos and encodec import it, but use nothing of it."""
    if "torchaudio" in sys.modules or importlib.util.find_spec("torchaudio"):
        yield
        return

    def unused(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("torchaudio is not installed")

    names = ("torchaudio", "torchaudio.transforms", "torchaudio.functional", "torchaudio.functional.functional")
    modules: dict[str, Any] = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    modules[names[-1]]._hz_to_mel = modules[names[-1]]._mel_to_hz = unused
    for name in ("Spectrogram", "MelSpectrogram", "Resample"):
        setattr(modules["torchaudio.transforms"], name, unused)
    # not for longer than the imports: other libraries look whether it is there
    with mock.patch.dict(sys.modules, modules):
        kept = set(sys.modules)
        yield
        imported = {name: module for name, module in sys.modules.items() if name not in kept}
    sys.modules.update(imported)
