"""Codecs as a user hands them over, checked where they come in: a path, or a module without weights, is none."""

from __future__ import annotations

from typing import Any

from zoo import arguments
from zoo.ready import ReadyCodec


def codec(value: Any) -> ReadyCodec:
    """A codec that is ready for use; raises ZooError, which says what makes one, for anything else."""
    return arguments.instance(value, ReadyCodec, "codec", "zoo.load(…)")
