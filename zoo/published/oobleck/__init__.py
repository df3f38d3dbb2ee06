"""Oobleck, the waveform VAE of Stable Audio (Evans et al., 2024)."""

from zoo.published.oobleck.model import oobleck
from zoo.published.oobleck.weights import default_entropy, hub_config, hyperparameters, key_maps

__all__ = [
    "default_entropy",
    "hub_config",
    "hyperparameters",
    "key_maps",
    "oobleck",
]
