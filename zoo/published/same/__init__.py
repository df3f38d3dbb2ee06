"""SAME-S, the autoencoder of the small Stable Audio 3 (Stability AI, 2026)."""

from zoo.published.same.model import same
from zoo.published.same.weights import default_entropy, hub_config, hyperparameters, key_maps

__all__ = [
    "default_entropy",
    "hub_config",
    "hyperparameters",
    "key_maps",
    "same",
]
