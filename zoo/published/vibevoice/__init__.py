"""The acoustic tokeniser of VibeVoice (Peng et al., 2025)."""

from zoo.published.vibevoice.model import vibevoice
from zoo.published.vibevoice.weights import default_entropy, hub_config, hyperparameters, key_maps

__all__ = [
    "default_entropy",
    "hub_config",
    "hyperparameters",
    "key_maps",
    "vibevoice",
]
