"""Sounds from a prior: new ones, variations, continuations, and what may have been in a gap.

prior = zoo.generating.load("runs/latent_flow")               # a run of python -m train --model latent_flow
audio = zoo.generating.generate(prior, seconds=10, n=4)       # (4, T, C) at prior.sample_rate
other = zoo.generating.vary(prior, samples, 44100, strength=0.4)
whole = zoo.generating.fill(prior, samples, 44100, start_s=3, seconds=1.5)
"""

from zoo.generating.operations import Sampling, generate, vary
from zoo.generating.ready import ReadyPrior, load
from zoo.generating.restoring import extend, fill

__all__ = ["ReadyPrior", "Sampling", "extend", "fill", "generate", "load", "vary"]
