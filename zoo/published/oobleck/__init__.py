"""Oobleck, the waveform VAE of Stable Audio (Evans et al., 2024)."""

from zoo.published.oobleck.model import default_entropy, hub_config, hyperparameters, key_maps, oobleck

__all__ = [
    "default_entropy",
    "hub_config",
    "hyperparameters",
    "key_maps",
    "oobleck",
]
