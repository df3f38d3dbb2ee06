"""Codes ↔ bytes under a model's integer tables: `EntropyModel`, and `Fitter`, which learns the tables."""

from zoo.bitstream.entropy.model import EntropyModel, Fitter, Kind, kind_of, template

__all__ = ["EntropyModel", "Fitter", "Kind", "kind_of", "template"]
