"""Configurations are found, and survive JSON; what does not fit is named."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs import loading
from configs.autoencoder import Autoencoder
from configs.base import Config, Data, Discriminator, LossWeights, ModelConfig, Optim, Schedule


def through_json(config: Config) -> Config:
    return loading.from_dict(json.loads(json.dumps(loading.to_dict(config))))


def values(**changes: Any) -> dict[str, Any]:
    """A configuration as JSON holds it, with `section__field` values changed."""
    found = json.loads(json.dumps(loading.to_dict(loading.get("vae"))))
    for key, value in changes.items():
        *sections, field = key.split("__")
        target = found
        for section in sections:
            target = target[section]
        target[field] = value
    return found


def test_names_are_the_experiments_alone() -> None:
    assert {"autoencoder", "vae", "gan_vocoder"} <= set(loading.names())
    assert not {"base", "effects", "loading", "__init__"} & set(loading.names())
    assert loading.names() == sorted(loading.names())


@pytest.mark.parametrize("name", loading.names())
def test_every_configuration_survives_json(name: str) -> None:
    config = loading.get(name)
    assert through_json(config) == config
    assert loading.to_dict(config)["model"]["family"] == config.model.family
    # a family has a configuration of its own name, which knows its hyper-parameters
    assert type(loading.get(config.model.family).model) is type(config.model)


def test_schedules_tuples_and_none_survive_json() -> None:
    config = Config(
        model=Autoencoder(levels=(9, 5, 3), companding=1),
        workdir=None,
        loss=LossWeights(mel=2, rate=Schedule("cosine", 1.0, 0.0, 7), snr=Schedule("linear", 0, 3, 100)),
        data=Data(root="somewhere", balance=1),
        discriminator=Discriminator(periods=(), fft_sizes=(64,)),
        resume=True,
    )
    back = through_json(config)
    assert back == config
    assert back.loss.rate == Schedule("cosine", 1.0, 0.0, 7)
    assert back.model.kwargs()["levels"] == (9, 5, 3)
    assert back.discriminator.periods == ()
    assert isinstance(back.model.kwargs()["companding"], float)


weights = st.floats(allow_nan=False, allow_infinity=False) | st.builds(
    Schedule,
    st.sampled_from(["linear", "cosine"]),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.integers(1, 10**9),
)


@given(
    loss=st.builds(LossWeights, **{field.name: weights for field in dataclasses.fields(LossWeights)}),
    optim=st.builds(Optim, learning_rate=st.floats(0, 1), max_skipped_steps=st.integers()),
    steps=st.integers(),
    root=st.none() | st.text(),
)
def test_any_values_survive_json(loss: LossWeights, optim: Optim, steps: int, root: str | None) -> None:
    config = Config(model=Autoencoder(), steps=steps, loss=loss, optim=optim, data=Data(root=root))
    assert through_json(config) == config


def test_what_is_left_out_has_its_default() -> None:
    config = loading.from_dict({"model": {"family": "autoencoder", "width": 24}, "loss": {"mel": 1}})
    assert config == Config(model=Autoencoder(width=24), loss=LossWeights(mel=1.0))


def test_from_dict_leaves_its_argument_alone() -> None:
    given_values = values()
    before = json.dumps(given_values)
    loading.from_dict(given_values)
    assert json.dumps(given_values) == before


@pytest.mark.parametrize(
    ("changes", "key", "exists"),
    [
        ({"stepz": 3}, "stepz", "checkpoint_every"),
        ({"loss__melx": 3}, "loss.melx", "feature_matching"),
        ({"model__hop": 3}, "model.hop", "latent_dim"),
        ({"loss__kl": {"kind": "linear", "stop": 3.0}}, "loss.kl.stop", "start"),
    ],
)
def test_an_unknown_key_lists_what_exists(changes: dict[str, Any], key: str, exists: str) -> None:
    with pytest.raises(loading.ConfigError) as error:
        loading.from_dict(values(**changes))
    start, _, there = str(error.value).partition("; there are: ")
    assert start == f"unknown key {key}"
    assert exists in there.split(", ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": "ten"}, "steps: 'ten' is not an int"),
        ({"steps": 1.5}, "steps: 1.5 is not an int"),
        ({"steps": True}, "steps: True is not an int"),
        ({"resume": 1}, "resume: 1 is not true or false"),
        ({"precision": "float16"}, "precision: 'float16' is not one of float32, bfloat16"),
        ({"precision": []}, "precision: [] is not one of float32, bfloat16"),
        ({"optim__learning_rate": "fast"}, "optim.learning_rate: 'fast' is not a number"),
        ({"optim__learning_rate": True}, "optim.learning_rate: True is not a number"),
        ({"optim__learning_rate": None}, "optim.learning_rate: None is not a number"),
        ({"data__root": 3}, "data.root: 3 is not a string"),
        ({"data": 3}, "data: expected keys and values, got 3"),
        ({"loss__mel": "linear"}, "loss.mel: 'linear' is not a number or a schedule such as linear:0:0.07:500"),
        ({"loss__kl__steps": 1.5}, "loss.kl.steps: 1.5 is not an int"),
        ({"loss__kl__kind": "square"}, "loss.kl.kind: 'square' is not one of linear, cosine"),
        ({"model__latent_dim": "64"}, "model.latent_dim: '64' is not an int"),
        ({"model__widths": 64}, "model.widths: 64 is not a list, each item an int"),
        ({"model__widths": [64, "x"]}, "model.widths: 'x' is not an int"),
        ({"model__family": "opus"}, "unknown model 'opus'"),
        ({"model": 3}, "no configuration: expected keys and values, among them model"),
    ],
)
def test_a_wrong_type_names_the_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(loading.ConfigError) as error:
        loading.from_dict(values(**changes))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("not_a_configuration", [[], 3, None, {}, {"steps": 3}])
def test_what_is_no_configuration_at_all(not_a_configuration: Any) -> None:
    with pytest.raises(loading.ConfigError, match="no configuration"):
        loading.from_dict(not_a_configuration)


def test_an_unknown_model_lists_those_that_exist() -> None:
    for name in ("opus", "base", "../vae", ""):
        with pytest.raises(loading.ConfigError) as error:
            loading.get(name)
        assert repr(name) in str(error.value)
        assert ", ".join(loading.names()) in str(error.value)


def test_keys_are_all_that_can_be_overridden() -> None:
    config = loading.get("autoencoder")
    found = loading.keys(config)
    flat = {
        f"{section}.{key}" if isinstance(inside, dict) else section
        for section, inside in loading.to_dict(config).items()
        for key in (inside if isinstance(inside, dict) else [""])
    }
    assert set(found) == flat - {"model.family"}
    assert found["model.levels"] == tuple[int, ...]
    assert found["steps"] is int
    assert typing.get_args(found["loss.mel"]) == (float, Schedule)


# --- a user's own file


OWN_FAMILY = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from configs.base import Config, ModelConfig

@dataclass(frozen=True)
class Mine(ModelConfig):
    family: ClassVar[str] = "vae"
    latent_dim: int = 7

CONFIG = Config(model=Mine(), steps=3)
"""


def test_from_file(tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(OWN_FAMILY)
    config = loading.from_file(path)
    assert config.steps == 3
    assert isinstance(config.model, ModelConfig)
    assert config.model.kwargs() == {"latent_dim": 7}
    assert loading.keys(config)["model.latent_dim"] is int
    # a variation of ours, two lines
    path.write_text(
        "import dataclasses\nfrom configs.vae import CONFIG as BASE\nCONFIG = dataclasses.replace(BASE, seed=5)"
    )
    assert loading.from_file(str(path)) == dataclasses.replace(loading.get("vae"), seed=5)


def test_from_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.txt").write_text("CONFIG = 3")
    for path in (tmp_path, tmp_path / "missing.py", tmp_path / "config.txt"):
        with pytest.raises(loading.ConfigError, match="expected a Python file that sets CONFIG") as error:
            loading.from_file(path)
        assert str(path) in str(error.value)
