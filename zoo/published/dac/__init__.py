"""Descript Audio Codec (Kumar et al., 2023)."""

from zoo.published.dac.model import dac, hub_config, hyperparameters, key_maps

__all__ = [
    "dac",
    "hub_config",
    "hyperparameters",
    "key_maps",
]
