"""A zoo of neural audio codecs in JAX/Flax.

codec = zoo.load("codec_24khz")  # of the package; or zoo.load("runs/vae"), zoo.load("descript/dac_44khz")
blob = codec.compress(audio, sample_rate=44100, bitrate=12.0)
audio, sample_rate = codec.decompress(blob)
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.codec import Codec, CodecOutput
    from zoo.coding.clips import Encoded
    from zoo.denoising import denoise
    from zoo.errors import BitstreamError, CheckpointError, ZooError
    from zoo.families import create, names
    from zoo.fitting import ready_codec
    from zoo.generating import generate
    from zoo.loading import ModelInfo, decompress, load, models
    from zoo.published.load import export
    from zoo.ready import ReadyCodec
    from zoo.tokens import Tokens
    from zoo.verify import verify_codec

_HOME = {
    "decompress": "loading",
    "load": "loading",
    "models": "loading",
    "ModelInfo": "loading",
    "Codec": "codec",
    "CodecOutput": "codec",
    "BitstreamError": "errors",
    "CheckpointError": "errors",
    "ZooError": "errors",
    "create": "families",
    "denoise": "denoising",
    "generate": "generating",
    "export": "published.load",
    "names": "families",
    "Encoded": "coding.clips",
    "ReadyCodec": "ready",
    "ready_codec": "fitting",
    "Tokens": "tokens",
    "verify_codec": "verify",
}

__all__ = [
    "BitstreamError",
    "CheckpointError",
    "Codec",
    "CodecOutput",
    "Encoded",
    "ModelInfo",
    "ReadyCodec",
    "Tokens",
    "ZooError",
    "audio",
    "create",
    "decompress",
    "denoise",
    "denoising",
    "editing",
    "export",
    "features",
    "generate",
    "generating",
    "load",
    "models",
    "names",
    "ready_codec",
    "recognise",
    "tokens",
    "verify_codec",
]


# zoo/models holds weights: importing it as a namespace package would put that in the place of the function
sys.modules[f"{__name__}.models"] = None  # type: ignore[assignment]


def __getattr__(name: str) -> Any:
    # lazily, so that a command's --help does not pay for importing jax
    if name in ("audio", "denoising", "editing", "features", "generating", "recognise", "tokens"):
        return importlib.import_module(f"zoo.{name}")
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zoo.{_HOME[name]}"), name)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("codec-zoo")
    except metadata.PackageNotFoundError:
        raise AttributeError("codec-zoo is not installed, so its version is not known") from None


def __dir__() -> list[str]:
    return __all__
