"""WavTokenizer (Ji et al., 2024): one codebook, at 40 or 75 codes a second."""

from zoo.published.wavtokenizer.model import wavtokenizer
from zoo.published.wavtokenizer.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "wavtokenizer",
]
