"""SNAC at 24, 32 and 44 kHz (Siuzdak, Grötschla and Lanzendörfer, 2024)."""

from zoo.published.snac.model import noise_of_frames, snac
from zoo.published.snac.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "noise_of_frames",
    "snac",
]
