"""Codecs that others trained and published: which there are, and what is known of them."""

from __future__ import annotations

from zoo.published.configurations import family_of
from zoo.published.registry import KNOWN, PublishedModel, known

__all__ = ["KNOWN", "PublishedModel", "family_of", "known"]
