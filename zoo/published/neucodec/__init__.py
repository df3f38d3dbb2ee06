"""NeuCodec (Julian et al., 2025) and X-Codec2 (Ye et al., 2025): speech at 50 codes a second, one codebook."""

from zoo.published.neucodec.model import neucodec
from zoo.published.neucodec.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "neucodec",
]
