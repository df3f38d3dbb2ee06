"""SpectroStream (Li et al., 2025), the codec of Magenta RealTime: 48 kHz stereo, 25 frames a second."""

from zoo.published.spectrostream.model import spectrostream
from zoo.published.spectrostream.weights import hub_config, hyperparameters, key_maps

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "spectrostream",
]
