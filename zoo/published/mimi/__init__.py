"""Mimi (Défossez et al., 2024)."""

from zoo.published.mimi.model import mimi
from zoo.published.mimi.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "mimi",
]
