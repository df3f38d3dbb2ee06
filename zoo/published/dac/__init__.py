"""Descript Audio Codec (Kumar et al., 2023)."""

from zoo.published.dac.model import dac
from zoo.published.dac.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "dac",
    "hub_config",
    "hyperparameters",
    "key_maps",
]
