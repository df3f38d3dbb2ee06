"""The families of codecs: a name, and the module whose function of that name builds one.

Other packages add families by an entry point in the group `codec_zoo.families`, whose value is such a module.
"""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from zoo.codec import Codec
from zoo.errors import ZooError
from zoo.nn.bottlenecks import Bottleneck

FAMILIES = ("autoencoder", "vae", "gan_vocoder", "denoiser")
"""what is trained here"""
PUBLISHED = ("dac", "encodec", "mimi", "snac", "vocos", "oobleck")
"""what others have published"""
GROUP = "codec_zoo.families"
"""of entry points: families of other packages"""


def names() -> tuple[str, ...]:
    """Names of the families that are trained here, with those of installed packages; `create` builds the published ones
    too."""
    return (*FAMILIES, *sorted(entry_points(group=GROUP).names - {*FAMILIES, *PUBLISHED}))


def module_of(name: str) -> ModuleType:
    """The module of a family; raises ZooError for an unknown one, and for one whose package cannot be imported."""
    if name in FAMILIES + PUBLISHED:
        return importlib.import_module(f"zoo.{'families' if name in FAMILIES else 'published'}.{name}")
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
    build = getattr(module_of(name), name)
    known = list(inspect.signature(build).parameters)
    for key in hyperparameters:
        if key not in known:
            raise ZooError(f"model {name!r} has no hyper-parameter {key!r}; it has: {', '.join(known)}")
    # JSON has lists where linen wants hashable tuples
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in hyperparameters.items()}
    try:
        codec: Codec = build(**values)
    except (TypeError, ValueError) as error:
        raise ZooError(f"model {name!r}: {error}") from None
    if not isinstance(codec.bottleneck, Bottleneck):
        missing = [part for part in vars(Bottleneck) if part[0] != "_" and not hasattr(codec.bottleneck, part)]
        kind = type(codec.bottleneck).__name__
        raise ZooError(
            f"model {name!r}: its bottleneck {kind} has no {', '.join(missing)} (zoo/nn/bottlenecks/base.py)"
        )
    return codec
