"""Family and hyper-parameters of weights that no registry knows, from what their owner says of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from zoo import families
from zoo.errors import CheckpointError
from zoo.published import configurations


def stated(family: str | None, config: Any, found: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Family and hyper-parameters, of a family's name, of a configuration, or of both.

    A configuration holds hyper-parameters by our names, or settings by those of the family's config.json; without one,
    `found` counts, which is in or beside the weights, and what is left out is as published. Raises CheckpointError for
    an unknown family, and for a configuration that is none, or has a setting that the family does not know.
    """
    given = (found or {}) if config is None else config
    if not isinstance(given, Mapping):
        raise CheckpointError(f"config must be a dictionary of settings, got {type(given).__name__}")
    says = configurations.family_of(dict(given))
    if (family or says) not in families.PUBLISHED:
        reason = (
            "config does not say of which family it is: name it" if family is None else f"unknown family {family!r}"
        )
        raise CheckpointError(f"{reason}; published families are {', '.join(families.PUBLISHED)}")
    if family and says not in (None, family):
        raise CheckpointError(f"its configuration is that of {says}, not of {family}")
    name = str(family or says)
    ours = set(inspect.signature(getattr(families.module_of(name), name)).parameters) - {"dtype"}
    if ours >= given.keys():
        return name, dict(given)
    if says:
        return name, hyperparameters(name, dict(given))
    theirs = set(families.module_of(name).hub_config())
    for key in given:
        if key not in ours | theirs:
            raise CheckpointError(
                f"{name} has no setting {key!r}; it has {', '.join(sorted(ours))}, or those of its config.json"
            )
    in_their_words = {key: value for key, value in given.items() if key in theirs}
    return name, hyperparameters(name, in_their_words) | {key: given[key] for key in given if key not in theirs}


def hyperparameters(family: str, config: dict[str, Any]) -> dict[str, Any]:
    """What a family's builder takes, of a configuration of others; raises CheckpointError for one that is not its."""
    try:
        model: dict[str, Any] = families.module_of(family).hyperparameters(config)
    except KeyError as error:
        raise CheckpointError(f"its configuration lacks {error}, which a {family} model has") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"its configuration is not that of a {family} model ({error})") from None
    return model
