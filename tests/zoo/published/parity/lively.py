"""Random weights for models like Mimi that keep signals at their level, and let every layer be heard."""

from __future__ import annotations

import torch


def enliven(model: torch.nn.Module) -> None:
    """Draws the weights of SEANet and transformers anew, in place."""
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "transformer" in name and "norm" in name:
                tensor.add_(0.3 * torch.randn_like(tensor))
            elif "layer_scale" in name:
                tensor.uniform_(0.2, 0.6)  # or nobody would hear what attention does
            elif "attn" in name and name.endswith(("q_proj.weight", "k_proj.weight")):
                tensor.normal_(0, 1.5 * tensor.shape[1] ** -0.5)  # or all would be heard alike
            elif tensor.ndim == 2:
                tensor.normal_(0, tensor.shape[1] ** -0.5)
            elif name.endswith("upsample.conv.weight"):
                tensor.normal_(0, 0.7)
            elif tensor.ndim == 3:
                transposed = "decoder_seanet" in name and tensor.shape[0] > tensor.shape[1] and tensor.shape[2] % 2 == 0
                fan = 2 * tensor.shape[0] if transposed else tensor[0].numel()
                tensor.normal_(0, fan**-0.5)
