"""HiFi-GAN (Kong et al., 2020), the vocoder of Piper's voices among others."""

from zoo.published.hifigan.model import hifigan
from zoo.published.hifigan.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "hifigan",
    "hub_config",
    "hyperparameters",
    "key_maps",
]
