"""Mimi (Défossez et al., 2024)."""

from zoo.published.mimi.model import hub_config, hyperparameters, key_maps, mimi

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "mimi",
]
