"""Sounds recognised, and similar ones found, by what frozen codecs make of them.

probe = zoo.recognise.load("animals.safetensors")           # what python -m zoo train-probe wrote
probe.classify_samples(codec, samples, sample_rate)         # the likeliest classes
vectors = zoo.recognise.vectors(zoo.recognise.embedder(codec), samples, sample_rate)
"""

from zoo.recognise.classifier import Classifier
from zoo.recognise.clips import vectors
from zoo.recognise.embedding import Embedder, embedder
from zoo.recognise.fitting import fit
from zoo.recognise.index import Index, Neighbour, query, update
from zoo.recognise.labelled import Labelled, folds
from zoo.recognise.labelled import read as read_labelled
from zoo.recognise.probe import Guess, Probe, load, make, save

__all__ = [
    "Classifier",
    "Embedder",
    "Guess",
    "Index",
    "Labelled",
    "Neighbour",
    "Probe",
    "embedder",
    "fit",
    "folds",
    "load",
    "make",
    "query",
    "read_labelled",
    "save",
    "update",
    "vectors",
]
