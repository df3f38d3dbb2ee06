"""Training data: deterministic random access to crops, and batches of them."""

from train.data.files import FileCrops
from train.data.pipeline import batches, make_source
from train.data.shards import ShardCrops
from train.data.source import CropSource
from train.data.synthetic import SyntheticCrops

__all__ = ["CropSource", "FileCrops", "ShardCrops", "SyntheticCrops", "batches", "make_source"]
