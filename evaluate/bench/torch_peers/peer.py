"""What all torch implementations have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

Noise = Callable[[int, int], np.ndarray]
"""(i, n) -> the n values that a decoder's i-th noisy layer adds"""


class Peer:
    """A model in its authors' torch implementation, or that of transformers or diffusers.

    `encode` and `decode` are what is timed: from tensors (B, C, T) to whatever the implementation calls its codes, and
    back to tensors.
    """

    encodes: ClassVar[bool] = True

    def __init__(self, config: dict[str, Any], folder: Path | None = None) -> None:
        self.config = config
        self.module: Any = (self.make() if folder is None else self.load(folder)).eval()

    @classmethod
    def prepare(cls) -> None:
        """Imports the implementation."""

    def make(self) -> nn.Module:
        """The module with the weights that its class begins with."""
        raise NotImplementedError

    def load(self, folder: Path) -> nn.Module:
        """The module with the weights of a folder that `save` wrote, as its users load them."""
        module = self.make()
        module.load_state_dict(torch.load(folder / "pytorch_model.bin", weights_only=True))
        return module

    def save(self, folder: Path) -> None:
        """Writes a folder in the hub's layout."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        torch.save(self.module.state_dict(), folder / "pytorch_model.bin")

    @property
    def hop_length(self) -> int:
        """Samples of which clips have a whole number: the published processors pad with zeros."""
        return int(np.prod(self.config.get("downsampling_ratios") or self.config["upsampling_ratios"]))

    def audio(self, audio: np.ndarray) -> torch.Tensor:
        """What `encode` takes, of audio (B, T, C)."""
        missing = -audio.shape[1] % self.hop_length
        return torch.from_numpy(np.pad(audio, ((0, 0), (0, missing), (0, 0))).transpose(0, 2, 1).copy())

    def example(self, batch_size: int, n_samples: int) -> np.ndarray:
        """Frames (B, F, D) at random, for a model that does not encode."""
        raise NotImplementedError

    @torch.inference_mode()
    def encode(self, audio: torch.Tensor) -> Any:
        """The implementation's own codes of what `audio` gave."""
        return self._encode(audio)

    @torch.inference_mode()
    def decode(self, native: Any) -> torch.Tensor:
        """Audio (B, C, T) of what `encode` or `native` gave."""
        return self._decode(native)

    def decode_with(self, native: Any, noise: Noise) -> np.ndarray:
        """Audio (B, T, C), with this noise in the place of torch's."""
        return self.decode(native).numpy().swapaxes(1, 2)

    def frames(self, native: Any) -> np.ndarray:
        """What `encode` gave as the codecs of this package have it: codes int32 (B, F, Q) or latents (B, F, D)."""
        return as_frames(native.swapaxes(1, 2))

    def native(self, frames: np.ndarray) -> Any:
        """The inverse of `frames`, of latents."""
        return torch.from_numpy(np.ascontiguousarray(frames.swapaxes(1, 2)))

    def _encode(self, audio: torch.Tensor) -> Any:
        raise NotImplementedError

    def _decode(self, native: Any) -> torch.Tensor:
        raise NotImplementedError

    @property
    def output(self) -> nn.Module:
        """The last layer before the audio, or a tanh."""
        return [m for m in self.module.get_submodule("decoder").modules() if isinstance(m, nn.Conv1d)][-1]

    @property
    def parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.module.parameters())


def as_frames(found: torch.Tensor) -> np.ndarray:
    """Converts codes to numpy: whole numbers int32, as they are here."""
    found = found.to(torch.int32) if found.dtype == torch.int64 else found
    return found.contiguous().numpy()
