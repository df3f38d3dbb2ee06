"""From files to a codec and back, with a toy family; what does not fit is told by name."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.conftest import SMALL
from zoo.__main__ import main
from zoo.bitstream import entropy
from zoo.errors import CheckpointError, ZooError
from zoo.nn.bottlenecks import SymbolFormat
from zoo.published import load, registry
from zoo.published.files import torch_writer, weights
from zoo.published.keymap import CONV, LINEAR, PLAIN, Entry, KeyMap, Layout, flatten
from zoo.saved import checkpoint

pytestmark = pytest.mark.usefixtures("quick_module")

ROOT = Path(__file__).parents[3]
SIZES = {
    "sample_rate": 8000, "n_fft": 80, "hop_length": 40, "latent_dim": 8, "encoder_blocks": 1, "decoder_width": 8,
    "decoder_blocks": 1, "codebook_size": 16, "code_dim": 2,
}  # fmt: skip


def toy(*, encoder_width: int = 8, n_codebooks: int = 3) -> zoo.Codec:
    """A codec of a family that only these tests know."""
    return zoo.create("gan_vocoder", **SIZES, encoder_width=encoder_width, n_codebooks=n_codebooks)


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    if config["width"] < 0:
        raise ValueError(f"width {config['width']}")
    return {"encoder_width": config["width"], "n_codebooks": config["n_codebooks"]}


def hub_config(*, encoder_width: int, n_codebooks: int) -> dict[str, Any]:
    return {"model_type": "dac", "width": encoder_width, "n_codebooks": n_codebooks}


@functools.cache
def key_maps(**model: Any) -> dict[str, KeyMap]:
    def entries(prefix: str) -> tuple[Entry, ...]:
        layouts = {2: LINEAR, 3: CONV}
        shapes = flatten(checkpoint.codec_template(toy(**model))["params"])
        keys = {path: prefix + path.replace("/kernel", "/weight").replace("/", ".") for path in shapes}
        return tuple(
            Entry(path, (keys[path],), layouts.get(leaf.ndim, PLAIN) if path.endswith("kernel") else PLAIN)
            for path, leaf in shapes.items()
        )

    return {
        "transformers": KeyMap(entries(""), (r"\.steps$",), "parametrized"),
        "original": KeyMap(entries("generator."), weight_norm="legacy"),
    }


@pytest.fixture
def family(monkeypatch) -> types.ModuleType:
    """The toy, in place of DAC."""
    module = types.ModuleType("zoo.published.dac")
    functions = {"dac": toy, "hyperparameters": hyperparameters, "hub_config": hub_config, "key_maps": key_maps}
    module.__dict__.update(functions)
    monkeypatch.setitem(sys.modules, "zoo.published.dac", module)
    small = {"model_type": "dac", "width": 8, "n_codebooks": 3}
    known = registry.PublishedModel("toy/small", "dac", 8000, 1, (0.8, 2.4), 5000, "MIT", small)
    wide = registry.PublishedModel("toy/wide", "dac", 8000, 1, (0.8, 2.4), 9000, "MIT", {**small, "width": 16})
    monkeypatch.setattr(registry, "KNOWN", (known, wide))
    return module


MODEL = {"encoder_width": 8, "n_codebooks": 3}


def drawn(family: str, model: dict[str, Any], module: zoo.Codec | None = None) -> zoo.ReadyCodec:
    """A codec with random weights and tables that were fitted to something."""
    module = module or zoo.create(family, **model)
    rng = np.random.default_rng(0)
    template = checkpoint.codec_template(module)["params"]
    params = jax.tree.map(lambda x: 0.3 * rng.standard_normal(x.shape).astype(np.float32), template)
    symbols = module.bottleneck.symbols()
    fitter = entropy.Fitter(symbols)
    for level in range(symbols.n_levels):
        fitter.update(
            np.sort(rng.integers(0, symbols.code_sizes(level), (4, 60, symbols.n_codes(level))), axis=1), level
        )
    return zoo.ReadyCodec(module, {"params": params}, fitter.fit(), {"family": family, "model": model})


@pytest.fixture(scope="session")
def codec() -> zoo.ReadyCodec:
    """A toy, as if DAC."""
    return drawn("dac", MODEL, toy(**MODEL))


OWN = {name: {"sample_rate": 8000, **SMALL[name]} for name in ("autoencoder", "vae")}
OWN["gan_vocoder"] = {**SIZES, "encoder_width": 8, "n_codebooks": 3, "causal": True}


def tensors(codec: zoo.ReadyCodec, layout: str = "transformers") -> dict[str, np.ndarray]:
    return load.keymap.from_params(codec.variables["params"], key_maps(**MODEL)[layout])


def same_weights(a: zoo.ReadyCodec, b: zoo.ReadyCodec, rtol: float = 0) -> None:
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol), a.variables["params"], dict(b.variables["params"])
    )


def place(folder: Path, codec: zoo.ReadyCodec, **config: Any) -> Path:
    """A folder in the hub's layout, without tables of ours."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(hub_config(**MODEL) | config))
    weights.write_safetensors(folder / "model.safetensors", tensors(codec))
    return folder


def refused(name: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        zoo.load(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_of_the_hub_is_a_codec_like_any_other(family, codec, tmp_path):
    folder = place(tmp_path / "hub", codec)
    loaded = zoo.load(folder)
    same_weights(loaded, codec)
    assert loaded.module == codec.module
    assert loaded.metadata == {"family": "dac", "model": MODEL, "path": str(folder)}
    assert "ReadyCodec(dac, 8000 Hz" in repr(loaded)
    audio = 0.3 * np.random.default_rng(1).standard_normal(1234).astype(np.float32)
    np.testing.assert_array_equal(loaded.encode(audio).codes, codec.encode(audio).codes)
    decoded = loaded.decompress(loaded.compress(audio, 8000, level=1))
    np.testing.assert_array_equal(decoded.audio[:, 0], loaded.decode(loaded.encode(audio, level=1)))
    with pytest.raises(ZooError, match=str(folder)):
        loaded.decompress(codec.compress(audio, 8000))  # whose tables are others


def test_names_without_statistics_are_coded_as_equally_likely(family, codec, tmp_path):
    loaded = zoo.load(place(tmp_path / "hub", codec))
    fitted = entropy.Fitter(loaded.symbols).fit()
    jax.tree.map(np.testing.assert_array_equal, loaded.entropy.arrays, fitted.arrays)
    codes = np.random.default_rng(0).integers(0, 16, (1, 50, 3))
    assert loaded.entropy.bits(codes, 2) == pytest.approx(50 * 3 * 4, rel=1e-3)


def test_a_family_may_have_tables_of_its_own(family, codec, tmp_path):
    def default(symbols: SymbolFormat) -> entropy.EntropyModel:
        assert symbols == codec.symbols
        return codec.entropy

    family.default_entropy = default
    assert zoo.load(place(tmp_path / "hub", codec)).digest == codec.digest


@pytest.mark.parametrize("file", ["model.pth", "model.safetensors"])
@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_a_file_whose_configuration_is_in_it_beside_it_or_recognised(family, codec, tmp_path, file, layout):
    path, arrays = tmp_path / file, tensors(codec, layout)
    kwargs = hub_config(**MODEL)

    def write(*, configured: bool) -> None:
        if file.endswith(".pth"):
            metadata = {"kwargs": kwargs if configured else {}}
            torch_writer.write(path, {"state_dict": arrays, "metadata": metadata})
        else:
            weights.write_safetensors(path, arrays, {"config": json.dumps(kwargs)} if configured else {})

    write(configured=True)
    same_weights(zoo.load(path), codec)
    write(configured=False)
    assert zoo.load(path).metadata["model"] == MODEL  # by its keys and shapes
    (tmp_path / "config.json").write_text(json.dumps(kwargs | {"width": 16}))
    assert "misshaped keys: " in refused(path)


def test_weights_that_are_of_no_known_model_or_of_two_are_refused(family, codec, tmp_path, monkeypatch):
    weights.write_safetensors(tmp_path / "a.safetensors", {"x": np.zeros(3, np.float32)})
    assert "no configuration beside it, and its 1 tensors are of no model known here" in refused(
        tmp_path / "a.safetensors"
    )
    twin = registry.PublishedModel("toy/twin", "dac", 16000, 1, None, 5000, "MIT", registry.KNOWN[0].config)
    monkeypatch.setattr(registry, "KNOWN", (*registry.KNOWN, twin))
    weights.write_safetensors(tmp_path / "a.safetensors", tensors(codec))
    assert "those of toy/small or toy/twin" in refused(tmp_path / "a.safetensors")


def test_keys_that_do_not_fit_are_named(family, codec, tmp_path):
    folder = place(tmp_path / "hub", codec)
    arrays = tensors(codec)
    first = next(key for key in arrays if key.endswith(".bias"))
    arrays["strange"] = arrays.pop(first)
    arrays["a.steps"] = np.zeros(1, np.float32)
    weights.write_safetensors(folder / "model.safetensors", arrays)
    assert refused(folder).endswith(f"missing keys: {first}; extra keys: strange")


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"model_type": "bert"}, "of no family known here (bert; known: dac"),
        ({"model_type": None, "n_codebooks": 3}, "unnamed"),
        ({"width": None}, "not that of a dac model"),
        ({"width": -1}, "not that of a dac model (width -1)"),
        ({"n_codebooks": 4}, "misshaped keys: "),
        ({"model_type": "codec-zoo"}, "it has format None"),
        ({"model_type": "codec-zoo", "format": checkpoint.FORMAT}, "does not say family"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(family, codec, tmp_path, config, complaint):
    assert complaint in refused(place(tmp_path / "hub", codec, **config))
    (tmp_path / "hub" / "config.json").write_text('{"model_type": "dac"}')
    assert "lacks 'width'" in refused(tmp_path / "hub")


def test_damaged_files_are_refused(family, codec, tmp_path):
    folder = place(tmp_path / "hub", codec)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-7])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged or truncated"):
        zoo.load(folder)
    (folder / "model.safetensors").write_bytes(content)
    weights.write_safetensors(folder / "entropy.safetensors", {"x": np.zeros(3, np.uint8)})
    assert "entropy coder" in refused(folder)
    weights.write_safetensors(folder / "entropy.safetensors", codec.entropy.arrays, {"codec": "["})
    assert "does not say what codec" in refused(folder)


def test_a_model_that_another_one_completes(family, codec, tmp_path):
    arrays = tensors(codec)
    encoder = {key: array for key, array in arrays.items() if key.startswith("encoder.")}
    other = tmp_path / "other"
    other.mkdir()
    bare = {key.removeprefix("encoder."): array for key, array in encoder.items()}
    weights.write_safetensors(other / "model.safetensors", bare)
    folder = place(tmp_path / "hub", codec)
    weights.write_safetensors(folder / "model.safetensors", {k: a for k, a in arrays.items() if k not in encoder})
    assert "missing keys: encoder." in refused(folder)
    family.needs = lambda **_: {"encoder.": str(other)}
    same_weights(zoo.load(folder), codec)
    weights.write_safetensors(folder / "model.safetensors", arrays)
    shutil.rmtree(other)  # which is not asked for what is there
    same_weights(zoo.load(folder), codec)
    family.needs = lambda **_: {"encoder.": "nowhere/to be found"}
    weights.write_safetensors(folder / "model.safetensors", {k: a for k, a in arrays.items() if k not in encoder})
    assert "nowhere/to be found" in refused(folder)


def test_what_was_exported_is_the_same_codec(family, codec, tmp_path):
    load.export(codec, tmp_path / "out")
    loaded = zoo.load(tmp_path / "out")
    assert loaded.digest == codec.digest
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert files == {"config.json", "model.safetensors", "entropy.safetensors"}
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == hub_config(**MODEL)
    stored = weights.read(tmp_path / "out" / "model.safetensors").tensors
    assert stored.keys() == tensors(codec).keys()
    assert any(key.endswith("parametrizations.weight.original0") for key in stored)
    load.export(loaded, tmp_path / "again")
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "out" / file).read_bytes()


def test_parameters_that_rounding_would_change_come_back_to_the_bit(family, codec, tmp_path):
    scaled = Layout("SCALED", lambda there: there / np.float32(0.3), lambda here: (np.float32(0.3) * here,))
    entries = list(key_maps(**MODEL)["transformers"].entries)
    (at,) = [i for i, entry in enumerate(entries) if entry.path == "decoder/head/bias"]
    first = entries[at] = replace(entries[at], layout=scaled)
    family.key_maps = lambda **_: {"transformers": KeyMap(tuple(entries))}
    load.export(codec, tmp_path / "out")
    assert zoo.load(tmp_path / "out").digest == codec.digest
    stored = dict(weights.read(tmp_path / "out" / "model.safetensors").tensors)
    original = flatten(codec.variables["params"])[first.path]
    assert not np.array_equal(scaled.read(stored[first.keys[0]]), original)
    # what others did to the weights since is what counts
    stored[first.keys[0]] = 2 * stored[first.keys[0]]
    weights.write_safetensors(tmp_path / "out" / "model.safetensors", stored)
    changed = flatten(zoo.load(tmp_path / "out").variables["params"])[first.path]
    np.testing.assert_allclose(changed, 2 * original, rtol=1e-6)


@pytest.mark.parametrize("name", OWN)
def test_families_trained_here_are_exported_too(tmp_path, name, caplog):
    codec = drawn(name, OWN[name])
    trained = zoo.ReadyCodec(codec.module, codec.variables, codec.entropy, {**codec.metadata, "step": 7})
    load.export(trained, tmp_path / "out")
    loaded = zoo.load(tmp_path / "out")
    assert loaded.digest == trained.digest
    assert loaded.metadata["step"] == 7
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["model_type"], config["family"]) == ("codec-zoo", codec.metadata["family"])
    weights_file = tmp_path / "out" / "model.safetensors"
    content = weights_file.read_bytes()
    weights_file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "model.safetensors: bytes have changed" in refused(tmp_path / "out")
    weights_file.write_bytes(content)
    other = config | {"hyperparameters": config["hyperparameters"] | {"sample_rate": 1}}
    (tmp_path / "out" / "config.json").write_text(json.dumps(other))
    assert "are of two codecs: their hyperparameters differ" in refused(tmp_path / "out")
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    assert not caplog.records
    (tmp_path / "out" / "entropy.safetensors").unlink()  # the rest is a codec all the same
    same_weights(zoo.load(tmp_path / "out"), codec)
    assert "has no entropy.safetensors, without which its files take several times the bytes" in caplog.text
    config["format"] = 99
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    assert "it has format 99" in refused(tmp_path / "out")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_no_half_written_folder_stays_behind(family, codec, tmp_path, monkeypatch, failure):
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(weights, "write_safetensors", fail)
    with pytest.raises(ZooError if isinstance(failure, OSError) else KeyboardInterrupt):
        load.export(codec, tmp_path / "below" / "out")
    assert [path for path in tmp_path.rglob("*") if path.name != "below"] == []


def test_what_exists_is_replaced_only_if_told_and_of_its_kind(family, codec, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ZooError, match=r"exists: .* --force"):
        load.export(codec, out)
    load.export(codec, out, force=True)  # it was empty
    (out / "old.txt").write_text("")
    load.export(codec, out, force=True)
    assert not (out / "old.txt").exists()
    assert zoo.load(out).digest == codec.digest
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    for path in (mine, mine / "letter.txt"):
        with pytest.raises(ZooError, match="no exported model"):
            load.export(codec, path, force=True)
    assert (mine / "letter.txt").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_the_commands_take_published_models(tmp_path, monkeypatch, capsys):
    import soundfile

    monkeypatch.chdir(tmp_path)
    load.export(drawn("gan_vocoder", OWN["gan_vocoder"]), tmp_path / "model")
    soundfile.write("in.wav", 0.1 * np.sin(np.arange(3000) / 9), 8000)
    main(["encode", "in.wav", "out.zac", "--ckpt", "model"])
    main(["decode", "out.zac", "out.wav", "--ckpt", "model"])
    assert len(soundfile.read("out.wav")[0]) == 3000
    main(["export", "model", "copy"])
    assert "ReadyCodec(gan_vocoder" in capsys.readouterr().out
    main(["decode", "out.zac", "again.wav", "--ckpt", "copy"])
    np.testing.assert_array_equal(soundfile.read("again.wav")[0], soundfile.read("out.wav")[0])
    for arguments, complaint in [
        (["export", "model", "copy"], "copy exists"),
        (["encode", "in.wav", "b.zac"], "--ckpt is needed: there is no run in runs/"),  # and none from the hub instead
        (["decode", "out.zac", "b.wav"], "a published model must be named"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert complaint in capsys.readouterr().err


def test_without_the_hubs_package_local_models_load(tmp_path):
    load.export(drawn("gan_vocoder", OWN["gan_vocoder"]), tmp_path / "model")
    code = (
        "import sys; sys.modules['huggingface_hub'] = sys.modules['safetensors'] = None\n"
        "import zoo; zoo.load('model'); assert len(zoo.models()) > 9; assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=100)
