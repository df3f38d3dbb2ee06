"""Endless procedural music, voices and everyday sounds, each clip a pure function of its index."""

from zoo.synth.scene import DOMAINS, clip

__all__ = ["DOMAINS", "clip"]
