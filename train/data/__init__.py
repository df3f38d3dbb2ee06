"""Training data: deterministic random access to crops, and batches of them."""

from train.data.corrupted import CorruptedCrops
from train.data.files import FileCrops
from train.data.held_out import clips as held_out_clips
from train.data.pipeline import batches, make_source
from train.data.shards import ShardCrops
from train.data.source import CropSource
from train.data.synthetic import SyntheticCrops

__all__ = [
    "CorruptedCrops",
    "CropSource",
    "FileCrops",
    "ShardCrops",
    "SyntheticCrops",
    "batches",
    "held_out_clips",
    "make_source",
]
