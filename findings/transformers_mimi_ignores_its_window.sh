#!/usr/bin/env bash
# Mimi's transformers attend to everything before a frame, whatever sliding_window says, in transformers before 5.3.0.
# Versions: transformers 4.57.3 (the one that qwen-tts 0.1.1 requires: the encoder of Qwen3-TTS's 12 Hz tokenizer is
#   this MimiModel) and 5.3.0, torch 2.13.0.
# Expected: with sliding_window=5 and one layer a frame depends on itself and the four frames before it, with every
#   attn_implementation. Published Mimi has 250, which is 10 s at the transformers' 25 frames per second.
# What happens: in 4.57.3 the mask is that of causal attention without a window, for "eager" and "sdpa", which is the
#   default: a frame depends on all before it. Nothing warns. So codes of a longer clip are not those of a model that
#   keeps to its window. 5.3.0 keeps to it, as does 5.24.0; 4.57.6, 5.0.0 and 5.2.0 do not. (By its source, 4.57.3 hands
#   the window to FlashAttention; this script has no GPU and doesn't try it.)
# Output seen:
#   transformers 4.57.3, eager: the last of 24 frames depends on the last 24, largest effect beyond the window 2.7
#   transformers 4.57.3, sdpa: the last of 24 frames depends on the last 24, largest effect beyond the window 2.7
#   transformers 5.3.0, eager: the last of 24 frames depends on the last 5, largest effect beyond the window 0.0
#   transformers 5.3.0, sdpa: the last of 24 frames depends on the last 5, largest effect beyond the window 0.0
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
for version in 4.57.3 5.3.0; do
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --target "$work/$version" \
        transformers=="$version" numpy==2.4.6
done
cd "$work"
cat >window.py <<'PY'
import logging

import torch
import transformers

logging.disable()
FRAMES, WINDOW = 24, 5


def effects(implementation):
    """How far the last frame out of the encoder's transformer moves as each frame of its input does."""
    torch.manual_seed(0)
    config = transformers.MimiConfig(
        hidden_size=16, num_filters=4, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
        intermediate_size=24, codebook_size=32, codebook_dim=8, vector_quantization_hidden_dimension=8,
        upsample_groups=16, sliding_window=WINDOW, layer_scale_initial_scale=1.0, initializer_range=0.3,
        attn_implementation=implementation,
    )  # fmt: skip
    model = transformers.MimiModel(config).eval()
    transformer = model.encoder_transformer
    with torch.no_grad():
        sound = torch.randn(1, FRAMES, 16)
        changed = sound.repeat(FRAMES, 1, 1)
        changed[torch.arange(FRAMES), torch.arange(FRAMES)] = torch.randn(FRAMES, 16)
        last = transformer(torch.cat([sound, changed])).last_hidden_state[:, -1]
    return (last[1:] - last[0]).norm(dim=-1)


found = []
for implementation in ("eager", "sdpa"):
    moved = effects(implementation)
    reach = FRAMES - int(torch.nonzero(moved > 1e-5)[0])
    beyond = float(moved[:-WINDOW].max())
    print(
        f"transformers {transformers.__version__}, {implementation}: the last of {FRAMES} frames depends on"
        f" the last {reach}, largest effect beyond the window {beyond:.1f}"
    )
    found.append((reach, beyond > 0.1))
if found != [{"4.57.3": (FRAMES, True), "5.3.0": (WINDOW, False)}[transformers.__version__]] * 2:
    raise SystemExit("the behaviour has changed")
PY
for version in 4.57.3 5.3.0; do
    PYTHONPATH="$work/$version" venv/bin/python window.py
done
