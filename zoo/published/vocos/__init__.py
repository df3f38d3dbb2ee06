"""Vocos, on mel spectra or on the codes of EnCodec (Siuzdak, 2023)."""

from zoo.published.vocos.model import hyperparameters, vocos
from zoo.published.vocos.weights import hub_config, key_maps, needs, with_encodec

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "needs",
    "vocos",
    "with_encodec",
]
