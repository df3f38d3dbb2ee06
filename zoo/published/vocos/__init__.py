"""Vocos, on mel spectra or on the codes of EnCodec (Siuzdak, 2023)."""

from zoo.published.vocos.model import hub_config, hyperparameters, key_maps, needs, vocos, with_encodec

__all__ = [
    "hub_config",
    "hyperparameters",
    "key_maps",
    "needs",
    "vocos",
    "with_encodec",
]
