"""Weights that no registry knows, with what their owner says of them; and what is wrong with them, in one line."""

import json
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import HUB_CONFIGS
from zoo import families
from zoo.__main__ import main
from zoo.commands.tokenise import _everywhere
from zoo.errors import CheckpointError, ZooError
from zoo.published import registry
from zoo.published.files import weights
from zoo.published.keymap import from_params
from zoo.saved import checkpoint


def model_of(family: str) -> dict[str, Any]:
    """Hyper-parameters of a small model."""
    return dict(families.module_of(family).hyperparameters(HUB_CONFIGS[family]))


def write(path: Path, family: str) -> dict[str, Any]:
    """Writes random weights of the small model as published, nothing else; its parameters."""
    module = zoo.create(family, **model_of(family))
    rng = np.random.default_rng(0)
    template = checkpoint.codec_template(module)["params"]
    params = jax.tree.map(lambda x: (0.3 * rng.standard_normal(x.shape)).astype(x.dtype), template)
    layout = next(iter(families.module_of(family).key_maps(**model_of(family)).values()))
    weights.write_safetensors(path, from_params(params, layout))
    return params


def same(codec: zoo.ReadyCodec, params: dict[str, Any]) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), codec.variables["params"], params)


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        zoo.load(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("family", families.PUBLISHED)
def test_weights_of_every_family_load_by_its_name_and_hyperparameters(tmp_path, family):
    path = tmp_path / "mine.safetensors"
    params = write(path, family)
    codec = zoo.load(path, family=family, config=model_of(family))
    same(codec, params)
    assert (codec.metadata["family"], codec.metadata["path"]) == (family, str(path))
    # what differs from the published model may be said by its authors' names, and a whole configuration says its family
    whole = {key: value for key, value in HUB_CONFIGS[family].items() if key not in ("model_type", "_class_name")}
    assert zoo.load(path, family=family, config=whole).module == codec.module
    if whole != HUB_CONFIGS[family]:
        assert zoo.load(path, config=HUB_CONFIGS[family]).module == codec.module


def test_the_family_stands_before_a_path_too_and_its_settings_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    params = write(tmp_path / "mine.safetensors", "dac")
    (tmp_path / "config.json").write_text(json.dumps(model_of("dac")))
    same(zoo.load("dac:mine.safetensors"), params)
    same(zoo.load("dac:."), params)
    main(["export", "dac:mine.safetensors", "out"])
    same(zoo.load("out"), params)
    assert "ReadyCodec(dac, 8000 Hz" in capsys.readouterr().out
    assert refused("dac:nowhere.pth") == "no checkpoint at nowhere.pth: there is no such file or folder"
    assert "unknown family 'dca'; published families are dac, " in refused("dca:mine.safetensors")
    assert "no checkpoint at s3://a/b" in refused("s3://a/b")
    (tmp_path / "dac:mine.safetensors").write_bytes(b"")  # is there, and so it is meant
    assert refused("dac:mine.safetensors").endswith("dac:mine.safetensors: an empty file")


def test_workers_find_what_stands_after_a_family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(b"")
    assert _everywhere("dac:a.pth") == f"dac:{tmp_path / 'a.pth'}"
    assert _everywhere("a.pth") == str(tmp_path / "a.pth")
    assert [_everywhere(name) for name in ("dac:b.pth", "a/b")] == ["dac:b.pth", "a/b"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"family": "dca"}, "unknown family 'dca'; published families are dac, encodec, "),
        ({"family": "vae"}, "unknown family 'vae'; published"),
        ({"config": {"n_codebooks": 2}}, "config does not say of which family it is: name it; published families are"),
        ({"family": "dac", "config": {"n_codebook": 2}}, "dac has no setting 'n_codebook'; it has code_dim, "),
        ({"family": "dac", "config": {"n_codebooks": 2, "hop": 2}}, "dac has no setting 'hop'"),
        ({"family": "dac", "config": ["n_codebooks"]}, "config must be a dictionary of settings, got list"),
        ({"family": "mimi", "config": HUB_CONFIGS["dac"]}, "its configuration is that of dac, not of mimi"),
        ({"family": "oobleck", "config": {"audio_channels": 1}}, "lacks 'decoder_input_channels', which a oobleck"),
        ({"family": "dac", "config": {"encoder_rates": "x"}}, "dac"),
        ({"family": "dac"}, "misshaped keys: "),
        ({"family": "mimi"}, "missing keys: encoder."),
    ],
)
def test_what_is_wrong_with_what_was_said_is_named(tmp_path, options, complaint):
    path = tmp_path / "mine.safetensors"
    write(path, "dac")
    found = refused(path, **options)
    assert found.startswith(f"{path}: ")
    assert complaint in found


def test_weights_of_another_size_than_was_said_are_named_with_both_sizes(tmp_path):
    path = tmp_path / "mine.safetensors"
    write(path, "dac")
    found = refused(path, family="dac", config=model_of("dac") | {"code_dim": 5})
    assert "misshaped keys: quantizer.quantizers.0.in_proj.weight (4, 16, 1) does not fit" in found
    found = refused(path, family="dac", config=model_of("dac") | {"n_codebooks": 3})
    assert "missing keys: quantizer.quantizers.2.in_proj.weight, " in found


def test_a_run_says_itself_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.saved.runs.is_run", lambda path: True)
    assert "was trained here and says itself" in refused(tmp_path, family="dac")


def test_the_state_dict_of_transformers_mimi_is_read(tmp_path):
    from zoo.published import mimi

    codec = small.ready("mimi", "small")
    layouts = mimi.key_maps(**codec.metadata["model"])
    own = from_params(codec.variables["params"], layouts["state_dict of transformers"])
    hub = from_params(codec.variables["params"], layouts["transformers"])
    assert "encoder.encoder_seanet.layers.0.conv.weight" in own
    assert "decoder.upsample.conv.weight" in own
    assert len(own) == len(hub)
    weights.write_safetensors(tmp_path / "model.safetensors", own)
    (tmp_path / "config.json").write_text(json.dumps(mimi.hub_config(**codec.metadata["model"])))
    same(zoo.load(tmp_path), codec.variables["params"])


def test_weights_in_pieces_are_put_together_and_a_missing_one_is_named(tmp_path):
    params = write(tmp_path / "all.safetensors", "dac")
    tensors = weights.read(tmp_path / "all.safetensors").tensors
    (tmp_path / "config.json").write_text(json.dumps(HUB_CONFIGS["dac"]))
    names = [f"model-0000{i + 1}-of-00003.safetensors" for i in range(3)]
    places = {key: names[i % 3] for i, key in enumerate(tensors)}
    for name in names:
        weights.write_safetensors(tmp_path / name, {key: tensors[key].copy() for key in tensors if places[key] == name})
    (tmp_path / "all.safetensors").unlink()
    assert "has weights in pieces, but not the index of them, model.safetensors.index.json" in refused(tmp_path)
    assert f"{names[0]} is one of several pieces: give their folder" in refused(tmp_path / names[0])
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    same(zoo.load(tmp_path), params)
    (tmp_path / names[1]).unlink()
    found = refused(tmp_path)
    assert found == f"{tmp_path / names[1]} is missing, one of 3 pieces that model.safetensors.index.json names"
    for content in ("{", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../b.safetensors"}}'):
        index.write_text(content)
        assert str(index) in refused(tmp_path)


def test_a_configuration_without_weights_says_so(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(HUB_CONFIGS["dac"]))
    assert refused(tmp_path) == f"{tmp_path} has a config.json, but no weights: expected model.safetensors beside it"


def test_a_family_whose_package_is_missing_says_which(monkeypatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(families.importlib, "import_module", missing)
    with pytest.raises(ZooError, match="family 'dac' needs the package onnx: pip install onnx"):
        families.module_of("dac")


def test_weights_that_are_not_for_commercial_use_say_so_when_loaded(tmp_path, monkeypatch, caplog):
    write(tmp_path / "mine.safetensors", "dac")
    (tmp_path / "config.json").write_text(json.dumps(HUB_CONFIGS["dac"]))
    free, bound = (
        registry.PublishedModel(str(tmp_path), "dac", 8000, 1, None, 5000, licence, HUB_CONFIGS["dac"])
        for licence in ("MIT", "CC-BY-NC 4.0")
    )
    for known, n_lines in ((free, 0), (bound, 1)):
        monkeypatch.setattr(registry, "KNOWN", (known,))
        with caplog.at_level(logging.WARNING, "zoo"):
            zoo.load(tmp_path)
        assert len(caplog.records) == n_lines
    assert caplog.messages == [f"{tmp_path}: its weights are not for commercial use (CC-BY-NC 4.0)"]
