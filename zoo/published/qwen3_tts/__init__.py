"""The tokeniser of Qwen3-TTS at 12.5 frames a second (Qwen Team, 2026)."""

from zoo.published.qwen3_tts.model import qwen3_tts
from zoo.published.qwen3_tts.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "qwen3_tts",
]
