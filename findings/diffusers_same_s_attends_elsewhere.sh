#!/usr/bin/env bash
# SAME-S in diffusers attends to other frames than its authors' code does.
# Versions: diffusers 0.42.1, stable-audio-tools 0.0.20, torch 2.13.0.
# Expected: AutoencoderSAME documents its defaults as those of SAME-S, the autoencoder of the small Stable Audio 3. Its
#   authors (github.com/Stability-AI/stable-audio-3, docs/guides/model-overview.md) give SAME-S "chunked" attention "w/
#   midpoint shift", and a sliding window to SAME-L only. There latents attend in pairs, and the second half of the
#   layers pairs them the other way: a latent depends on the sound of four at most.
# What happens: diffusers has the sliding window for both, and no parameter for the other. With its defaults (six
#   layers, one latent to each side) a latent of the encoder depends on the sound of twelve, and decoded sound on
#   twelve latents, where the authors' needs four and two for a last convolution of three, which diffusers lacks. The
#   same weights cannot give the same output.
# Shown by which gradients are exactly zero, in small models with random weights: stride, depth and attention are
#   SAME-S's (optimized/mlx/models/defs/same_s_encoder.py in that repository lists them), widths are not.
# Output seen:
#   authors, encoder: latent 8 depends on 6..9, latent 9 on 8..11
#   diffusers, encoder: latent 8 depends on 3..14, latent 9 on 4..15
#   authors, decoder: sound 8 depends on 6..11, sound 9 on 6..11
#   diffusers, decoder: sound 8 depends on 3..14, sound 9 on 4..15
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 einops==0.8.2 packaging==26.4 diffusers==0.42.1
# It asks for Python 3.10 and gigabytes that these classes do not need.
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
    stable-audio-tools==0.0.20
cd "$work"
venv/bin/python - 2>errors <<'PY' || { cat errors >&2; exit 1; }
import contextlib
import importlib.util
import inspect
import os
import sys
import types
from pathlib import Path
from unittest import mock

import torch
from diffusers import AutoencoderSAME

LATENTS, STRIDE, DEPTH, WIDTH, CHANNELS, LATENT_DIM, HEAD = 18, 16, 6, 32, 8, 8, 16


def authors():
    """Encoder and decoder of stable-audio-tools; what its module imports for other classes are stand-ins."""
    root = Path(importlib.util.find_spec("stable_audio_tools").submodule_search_locations[0])
    for name in ("stable_audio_tools", "stable_audio_tools.models"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(root / name.partition(".")[2])]
    other = ["alias_free_torch", "torchaudio", "stable_audio_tools.inference"]
    other += [f"stable_audio_tools.inference.{name}" for name in ("sampling", "utils")]
    other += [f"stable_audio_tools.models.{name}" for name in ("diffusion", "pretransforms", "wavelets")]
    sys.modules.update({name: mock.MagicMock() for name in other})
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        from stable_audio_tools.models.autoencoders import SAMEDecoder, SAMEEncoder
    same_s = {
        "channels": WIDTH, "c_mults": [1], "strides": [STRIDE], "transformer_depths": [DEPTH], "dim_heads": HEAD,
        "latent_dim": LATENT_DIM, "differential": True, "dyt": True, "variable_stride": True,
        "chunk_size": 2 * STRIDE, "chunk_midpoint_shift": True,
    }  # fmt: skip
    encoder = SAMEEncoder(in_channels=CHANNELS, **same_s)
    return encoder, SAMEDecoder(out_channels=CHANNELS, conv_mapping=True, sinusoidal_blocks=[0], **same_s)


def diffusers():
    model = AutoencoderSAME(
        patch_size=CHANNELS // 2, encoder_channels=WIDTH, encoder_c_mults=(1,), latent_dim=LATENT_DIM, dim_heads=HEAD
    )
    defaults = model.config.encoder_strides, model.config.encoder_transformer_depths, model.config.sliding_window
    assert defaults == ((STRIDE,), (DEPTH,), 1)
    assert not any("chunk" in name for name in inspect.signature(AutoencoderSAME).parameters)
    return model.encoder, model.decoder


def reach(network, channels, given, made, at):
    """The first and the last latent's worth of the input that the output at a latent depends on."""
    torch.manual_seed(0)
    network.double().eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            gain = name.rpartition(".")[2] in ("alpha", "gamma", "weight_g")
            tensor.fill_(1) if gain else tensor.normal_(std=0.1)
    x = torch.randn(1, channels, LATENTS * given, dtype=torch.float64, requires_grad=True)
    network(x)[..., at * made : (at + 1) * made].square().sum().backward()
    depends = torch.nonzero(x.grad[0].unflatten(-1, (LATENTS, given)).abs().amax(dim=(0, 2)))[:, 0].tolist()
    assert depends == list(range(depends[0], depends[-1] + 1))
    return depends[0], depends[-1]


networks = {"diffusers": diffusers(), "authors": authors()}
found = {}
for name, what, *shape in (("encoder", "latent", CHANNELS, STRIDE, 1), ("decoder", "sound", LATENT_DIM, 1, STRIDE)):
    for whose in ("authors", "diffusers"):
        network = networks[whose][name == "decoder"]
        spans = [reach(network, *shape, at) for at in (8, 9)]
        (a, b), (c, d) = spans
        print(f"{whose}, {name}: {what} 8 depends on {a}..{b}, {what} 9 on {c}..{d}")
        found[whose, name] = spans
if found != {
    ("authors", "encoder"): [(6, 9), (8, 11)],
    ("diffusers", "encoder"): [(3, 14), (4, 15)],
    ("authors", "decoder"): [(6, 11), (6, 11)],
    ("diffusers", "decoder"): [(3, 14), (4, 15)],
}:
    raise SystemExit("the behaviour has changed")
PY
