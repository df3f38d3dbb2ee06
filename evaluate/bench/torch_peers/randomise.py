"""Random weights of which codes vary."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from evaluate.bench.torch_peers.peer import Peer

OUTPUT_DEVIATION = 0.2
"""of what random weights decode, before a final tanh: far from where that saturates"""
CALIBRATION_SAMPLES = 4096


@torch.no_grad()
def randomise(peer: Peer) -> None:
    """Draws all weights so that every layer of a pass over noise gives values of no mean and unit deviation.

    As they are initialised, most of these models fade to nothing: all frames would get the same codes.
    """
    for module in peer.module.modules():
        _draw(module)
    for name, buffer in peer.module.named_buffers():
        if name.rpartition(".")[2] in ("embed", "embed_sum", "embed_avg"):
            buffer.normal_()
    output = peer.output

    def scale(module: Any, _: Any, found: torch.Tensor) -> torch.Tensor:
        hooks.pop(module).remove()
        last = isinstance(module, nn.Linear)
        centre = found.mean(dim=list(range(found.ndim - 1)) if last else (0, 2))
        if module.bias is None:
            centre = torch.zeros_like(centre)
        found = found - (centre if last else centre[:, None])
        factor = (OUTPUT_DEVIATION if module is output else 1.0) / max(float(found.std()), 1e-9)
        _gain(module).mul_(factor)
        if module.bias is not None:
            module.bias.sub_(centre).mul_(factor)
        return found * factor

    scaled = (nn.Conv1d, nn.ConvTranspose1d, nn.Linear)
    hooks = {m: m.register_forward_hook(scale) for m in peer.module.modules() if isinstance(m, scaled)}
    n_samples = max(CALIBRATION_SAMPLES, 4 * peer.hop_length)
    if peer.encodes:
        noise = np.random.default_rng(0).normal(0, 0.1, (1, n_samples, int(peer.config.get("audio_channels", 1))))
        peer.decode(peer.encode(peer.audio(noise.astype(np.float32))))
    else:
        peer.decode(peer.native(peer.example(1, n_samples)))
    for hook in hooks.values():
        hook.remove()


def _draw(module: Any) -> None:
    if isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
        _direction(module).normal_()
        _gain(module).mul_(torch.empty_like(_gain(module)).uniform_(0.5, 1.5))
        if module.bias is not None:
            module.bias.normal_(0, 0.1)
    elif isinstance(module, nn.Embedding):
        module.weight.normal_()
    elif isinstance(module, nn.LayerNorm | nn.GroupNorm):
        module.weight.uniform_(0.5, 1.5)
        module.bias.normal_(0, 0.1)
    for name in ("alpha", "beta"):
        if isinstance(found := getattr(module, name, None), nn.Parameter):
            found.add_(torch.empty_like(found).uniform_(-0.3, 0.3))
    for name in ("gamma", "scale"):  # of what a block adds
        if isinstance(found := getattr(module, name, None), nn.Parameter):
            found.uniform_(0.1, 0.3)


def _direction(module: Any) -> Any:
    """What the weight of a layer is but for its scale, whichever way its weight norm is made."""
    if hasattr(module, "parametrizations"):
        return module.parametrizations.weight.original1
    return getattr(module, "weight_v", None) if hasattr(module, "weight_v") else module.weight


def _gain(module: Any) -> Any:
    """What scales the weight of a layer."""
    if hasattr(module, "parametrizations"):
        return module.parametrizations.weight.original0
    return module.weight_g if hasattr(module, "weight_g") else module.weight
