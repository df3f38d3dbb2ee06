"""A zoo of neural audio codecs in JAX/Flax.

codec = zoo.load("runs/vae")
encoded = codec.encode(audio, sample_rate=44100)
audio = codec.decode(encoded)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.checkpoint import ModelInfo, load, models
    from zoo.codec import Codec, CodecOutput
    from zoo.errors import CheckpointError, ZooError
    from zoo.families import create, names
    from zoo.ready import Encoded, ReadyCodec

_HOME = {
    "load": "checkpoint",
    "models": "checkpoint",
    "ModelInfo": "checkpoint",
    "Codec": "codec",
    "CodecOutput": "codec",
    "CheckpointError": "errors",
    "ZooError": "errors",
    "create": "families",
    "names": "families",
    "Encoded": "ready",
    "ReadyCodec": "ready",
}

__all__ = [
    "CheckpointError",
    "Codec",
    "CodecOutput",
    "Encoded",
    "ModelInfo",
    "ReadyCodec",
    "ZooError",
    "create",
    "load",
    "models",
    "names",
]


def __getattr__(name: str) -> Any:
    # lazily, so that a command's --help does not pay for importing jax
    if name not in _HOME:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zoo.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
