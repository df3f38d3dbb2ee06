"""A published generator's training pass in torch: what `python -m train.bench --vs torch` compares with.

As evaluate/torch_peers this imports torch and nothing of JAX, so that a process that measures memory has one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluate.bench import torch_peers
from evaluate.bench.torch_peers import Peer


class TrainingPass:
    """Forward and backward of transformers' DacModel, in the mode of evaluation: nothing is dropped at random.

    The loss is `mel_weight` times the multi-scale mel distance to the input times `gain`, and the losses of the
    quantisers, averaged over these.
    """

    def __init__(self, peer: Peer, mels: Mapping[int, np.ndarray], mel_weight: float, gain: float) -> None:
        self.peer, self._mel_weight, self._gain = peer, mel_weight, gain
        self._mels = {n_fft: torch.from_numpy(np.array(bank)) for n_fft, bank in mels.items()}
        self._windows = {n_fft: torch.hann_window(n_fft) for n_fft in mels}

    @classmethod
    def of_folder(
        cls,
        family: str,
        config: dict[str, Any],
        folder: Path,
        mels: Mapping[int, np.ndarray],
        mel_weight: float,
        gain: float,
    ) -> TrainingPass:
        """Loads the weights that `Peer.save` wrote."""
        return cls(torch_peers.restore(family, config, folder), mels, mel_weight, gain)

    def __call__(self, audio: torch.Tensor) -> float:
        """The loss of audio (B, 1, T); gradients take the place of those before."""
        module = self.peer.module
        module.zero_grad(set_to_none=True)
        coded = module.encode(audio)
        decoded = module.decode(coded.quantized_representation).audio_values
        quantisers = coded.loss.mean() / module.config.n_codebooks
        loss = self._mel_weight * self._mel_distance(self._gain * audio[:, 0], decoded) + quantisers
        loss.backward()
        return loss.item()

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients of the last call, by the parameters' names."""
        found: dict[str, np.ndarray] = {}
        for name, parameter in self.peer.module.named_parameters():
            missing = torch.zeros_like(parameter)
            found[name] = (missing if parameter.grad is None else parameter.grad).detach().numpy()
        return found

    def _mel_distance(self, reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        """Mean of |log10 max(m, 1e-5)| differences of (B, T), averaged over the scales."""
        total = torch.zeros(())
        for n_fft, bank in self._mels.items():
            x, y = (torch.log10(torch.clamp(self._mel(z, n_fft, bank), min=1e-5)) for z in (reference, estimate))
            total = total + torch.mean(torch.abs(x - y))
        return total / len(self._mels)

    def _mel(self, audio: torch.Tensor, n_fft: int, bank: torch.Tensor) -> torch.Tensor:
        window = self._windows[n_fft]
        spectrum = torch.stft(audio, n_fft, n_fft // 4, window=window, pad_mode="constant", return_complex=True)
        return spectrum.abs().swapaxes(1, 2) @ bank
