"""SNAC at 24, 32 and 44 kHz (Siuzdak, Grötschla and Lanzendörfer, 2024)."""

from zoo.published.snac.model import hub_config, hyperparameters, key_maps, noise_of_frames, snac

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "noise_of_frames",
    "snac",
]
