"""What is said of the models that are known by name."""

import jax
import pytest

from zoo import families, loading
from zoo.__main__ import main
from zoo.published import registry
from zoo.saved import checkpoint


def test_the_command_lists_models(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(registry.KNOWN)
    (dac,) = [line.split() for line in lines if line.startswith("descript/dac_44khz ")]
    assert dac[1:7] == ["dac", "44.1", "1", "0.86–7.75", "76.6", "MIT"]
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("model", registry.KNOWN, ids=lambda model: model.name)
def test_what_is_said_of_known_models_is_what_they_are(model):
    module = families.create(model.family, **families.module_of(model.family).hyperparameters(model.config))
    assert (module.sample_rate, module.channels) == (model.sample_rate, model.channels)
    rates = loading._bitrates(module)
    assert (rates is None) == (model.bitrates_kbps is None)
    if rates and model.bitrates_kbps:
        # EnCodec's 48 kHz has overlapping seconds and their loudness on top of what is said of it
        assert rates[1] == pytest.approx(model.bitrates_kbps[1], rel=0.07 if model.channels == 2 else 0.02)
        assert rates[0] <= model.bitrates_kbps[0] * 1.02


@pytest.mark.parametrize("family", families.PUBLISHED)
def test_known_models_have_as_many_parameters_as_is_said(family):
    model = next(model for model in registry.KNOWN if model.family == family)
    module = families.create(family, **families.module_of(family).hyperparameters(model.config))
    n_parameters = sum(leaf.size for leaf in jax.tree.leaves(checkpoint.codec_template(module)["params"]))
    assert n_parameters == pytest.approx(model.parameters, rel=0.005)
