"""The families of codecs and priors: a name, and the module whose function of that name builds one.

Other packages add families by an entry point in the group `codec_zoo.families`, whose value is such a module.
"""

from __future__ import annotations

import importlib
import inspect
import math
import numbers
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from zoo.codec import Codec
from zoo.errors import ZooError
from zoo.nn.bottlenecks import Bottleneck
from zoo.prior import Prior

FAMILIES = ("autoencoder", "vae", "gan_vocoder", "spectral", "denoiser")
"""what is trained here"""
PUBLISHED = (
    "dac",
    "encodec",
    "mimi",
    "snac",
    "vocos",
    "oobleck",
    "pocket_tts_audio_tokenizer",
    "wavtokenizer",
    "hifigan",
    "qwen3_tts",
    "vibevoice",
    "same",
    "neucodec",
    "spectrostream",
)
"""what others have published"""
PRIORS = ("latent_flow",)
"""models of a codec's latents, which are no codecs"""
GROUP = "codec_zoo.families"
"""of entry points: families of other packages"""


def names() -> tuple[str, ...]:
    """Names of the families that are trained here, with those of installed packages; `create` builds the published ones
    too."""
    return (*FAMILIES, *sorted(entry_points(group=GROUP).names - {*FAMILIES, *PUBLISHED}))


def module_of(name: str) -> ModuleType:
    """The module of a family; raises ZooError for an unknown one, and for one whose package cannot be imported."""
    if name in FAMILIES + PUBLISHED + PRIORS:
        try:
            return importlib.import_module(f"zoo.{'published' if name in PUBLISHED else 'families'}.{name}")
        except ModuleNotFoundError as error:  # of a package that only this family needs
            raise ZooError(f"family {name!r} needs the package {error.name}: pip install {error.name}") from None
    for point in entry_points(group=GROUP, name=name):
        try:
            module: ModuleType = point.load()
        except Exception as error:  # it is the package's code
            raise ZooError(f"family {name!r} ({point.value}) cannot be imported: {error}") from None
        return module
    raise ZooError(f"unknown model {name!r}; there are: {', '.join((*names(), *PUBLISHED))}")


def create(name: str, **hyperparameters: Any) -> Codec:
    """Builds an untrained linen `Codec` of a family: `create("vae", latent_dim=32)`.

    Raises ZooError for an unknown family, or a hyper-parameter that the family does not have or refuses.
    """
    if name in PRIORS:
        raise ZooError(f"{name!r} is no codec, but a model of a codec's latents: python -m zoo generate takes it")
    codec: Codec = _build(name, hyperparameters)
    if not isinstance(codec.bottleneck, Bottleneck):
        missing = [part for part in vars(Bottleneck) if part[0] != "_" and not hasattr(codec.bottleneck, part)]
        kind = type(codec.bottleneck).__name__
        raise ZooError(
            f"model {name!r}: its bottleneck {kind} has no {', '.join(missing)} (zoo/nn/bottlenecks/base.py)"
        )
    return codec


def create_prior(name: str, **hyperparameters: Any) -> Prior:
    """Builds an untrained linen `Prior`; raises ZooError like `create`, and for a family that is a codec's."""
    if name not in PRIORS:
        raise ZooError(f"{name!r} is no model of latents; there are: {', '.join(PRIORS)}")
    prior: Prior = _build(name, hyperparameters)
    return prior


def create_model(name: str, **hyperparameters: Any) -> Codec | Prior:
    """Builds what `create` or `create_prior` builds, for those who only save it and load it."""
    return create_prior(name, **hyperparameters) if name in PRIORS else create(name, **hyperparameters)


def with_defaults(name: str, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """All hyper-parameters that say what a codec is: those given, and of a family trained here its defaults as well.

    What is saved stays what it is when defaults change. The type that a codec computes in is none of them.
    """
    if name in PUBLISHED:
        return dict(hyperparameters)
    parameters = inspect.signature(getattr(module_of(name), name)).parameters.values()
    defaults = {x.name: x.default for x in parameters if x.default is not x.empty and x.name != "dtype"}
    return defaults | dict(hyperparameters)


_POSITIVE = {
    *("sample_rate", "channels", "hop_length", "n_fft", "latent_dim", "width", "companding", "latent_scale"),
    *("n_codebooks", "codebook_size", "code_dim"),
}
"""hyper-parameters, of whatever family, that must be; what else a family refuses it says itself"""


def _build(name: str, hyperparameters: dict[str, Any]) -> Any:
    build = getattr(module_of(name), name)
    known = list(inspect.signature(build).parameters)
    for key, value in hyperparameters.items():
        if key not in known:
            raise ZooError(f"model {name!r} has no hyper-parameter {key!r}; it has: {', '.join(known)}")
        if key in _POSITIVE and not isinstance(value, numbers.Real | None):
            raise ZooError(f"model {name!r}: {key} must be a number, got {str(value)[:80]!r}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise ZooError(f"model {name!r}: {key} must be a finite number, got {value}")
            if value <= 0 and key in _POSITIVE:
                raise ZooError(f"model {name!r}: {key} must be positive, got {value}")
    # JSON has lists where linen wants hashable tuples
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in hyperparameters.items()}
    try:
        return build(**values)
    except (TypeError, ValueError, ArithmeticError) as error:  # the last of strides of 0
        raise ZooError(f"model {name!r}: {error}") from None
