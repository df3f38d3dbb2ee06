"""EnCodec at 24, 32 and 48 kHz (Défossez et al., 2022)."""

from zoo.published.encodec.model import encodec
from zoo.published.encodec.weights import default_entropy, hub_config, hyperparameters, key_maps

__all__ = [
    "default_entropy",
    "encodec",
    "hub_config",
    "hyperparameters",
    "key_maps",
]
