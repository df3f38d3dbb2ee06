"""Where a model's files are found: here, in the hub's cache, on the hub; no network is asked without need."""

import json
import socket
import sys
from pathlib import Path

import pytest

import zoo
from zoo.errors import CheckpointError
from zoo.published import configurations, hub, registry

huggingface_hub = pytest.importorskip("huggingface_hub")
errors = pytest.importorskip("huggingface_hub.errors")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, and no network."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    monkeypatch.chdir(tmp_path)
    return folder


def unreachable(repository: str, file: str, **_: object) -> str:
    raise errors.LocalEntryNotFoundError(f"no network\nfor {file} of {repository}")


def keep(cache: Path, name: str, *files: str) -> Path:
    """Puts files into the cache, as the hub's library does; their folder."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "abc"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text("abc")
    for file in files:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).write_text(file)
    return snapshot


def refused(name: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        hub.find(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("config", ["config.json", "config.yaml", "model_config.json"])
@pytest.mark.parametrize(
    "weights", ["model.safetensors", "diffusion_pytorch_model.safetensors", "pytorch_model.bin", "weights_44khz.pth"]
)
def test_a_folder_in_the_hubs_layout(tmp_path, config, weights):
    for name in (config, weights, "README.md", "entropy.safetensors"):
        (tmp_path / name).write_text("")
    assert hub.find(tmp_path) == hub.Files(tmp_path / weights, tmp_path / config, tmp_path / "entropy.safetensors")
    (tmp_path / config).unlink()
    (tmp_path / "entropy.safetensors").unlink()
    assert hub.find(str(tmp_path)) == hub.Files(tmp_path / weights, None)


def test_of_two_forms_the_safe_one_is_taken(tmp_path):
    for name in ("config.json", "pytorch_model.bin", "model.safetensors"):
        (tmp_path / name).write_text("")
    assert hub.find(tmp_path).weights.name == "model.safetensors"


def test_folders_without_weights_are_refused(tmp_path):
    assert "config.json and model.safetensors" in refused(tmp_path)
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_text("")
    assert str(tmp_path) in refused(tmp_path)


def test_a_file_and_the_configuration_beside_it(tmp_path):
    file = tmp_path / "encodec_24khz-d7cc33bc.th"
    file.write_text("")
    assert hub.find(file) == hub.Files(file, None)
    (tmp_path / "config.yaml").write_text("")
    assert hub.find(file).config == tmp_path / "config.yaml"
    (tmp_path / "song.wav").write_text("")
    assert ".safetensors" in refused(tmp_path / "song.wav")


def test_what_is_cached_is_used_without_a_network(cache):
    snapshot = keep(cache, "someone/model", "config.json", "pytorch_model.bin")
    assert hub.find("someone/model") == hub.Files(snapshot / "pytorch_model.bin", snapshot / "config.json")
    keep(cache, "someone/model", "entropy.safetensors")
    assert hub.find("someone/model").tables == snapshot / "entropy.safetensors"


def test_weights_in_a_folder_of_the_repository(cache):
    name = "stabilityai/stable-audio-open-1.0"
    assert hub.cached(name) is None
    snapshot = keep(cache, name, "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "model.safetensors")
    assert hub.find(name).weights == snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    assert hub.find(f"{name}/vae") == hub.find(name)
    snapshot = keep(cache, "a/b", "x/y/config.json", "x/y/model.safetensors")
    assert hub.find("a/b/x/y").config == snapshot / "x" / "y" / "config.json"
    assert hub.cached("a/b") is None


def test_what_is_here_is_preferred_to_the_hub(cache, tmp_path):
    keep(cache, "someone/model", "config.json", "model.safetensors")
    here = tmp_path / "someone" / "model"
    here.mkdir(parents=True)
    (here / "model.safetensors").write_text("")
    assert hub.find("someone/model").weights == Path("someone/model/model.safetensors")
    # a folder of that name means that its contents are meant, unless the model is well known
    assert "there is no such file or folder" in refused("someone/other")
    (tmp_path / "descript").mkdir()
    assert "cannot be fetched" in refused("descript/dac_44khz")


def test_results_in_a_folder_of_its_name_do_not_hide_a_known_model(cache, tmp_path):
    snapshot = keep(cache, "descript/dac_24khz", "config.json", "model.safetensors")
    here = tmp_path / "descript" / "dac_24khz"
    (here / "evaluation").mkdir(parents=True)
    assert hub.is_hub_id("descript/dac_24khz")
    assert hub.find("descript/dac_24khz").weights == snapshot / "model.safetensors"
    (here / "weights.pth").write_text("")
    assert not hub.is_hub_id("descript/dac_24khz")
    assert hub.find("descript/dac_24khz").weights == Path("descript/dac_24khz/weights.pth")


@pytest.mark.parametrize("name", ["nowhere", "/no/where", "./no/where", "../nowhere", "a b/c", "runs/typo", ""])
def test_what_can_be_no_hub_id_is_a_path(cache, name):
    if name:
        assert refused(name) == f"no checkpoint at {name}: there is no such file or folder"
    assert not hub.is_hub_id(name)


def test_without_a_network_the_model_and_a_way_out_are_named(cache):
    message = refused("descript/dac_44khz")
    assert message.startswith("descript/dac_44khz is not on this machine and cannot be fetched")
    assert "give a folder with its config.json and weights instead" in message
    keep(cache, "descript/dac_44khz", "config.json")  # half of it
    assert "cannot be fetched" in refused("descript/dac_44khz")


def test_a_hub_without_an_address_is_not_asked_again_and_again(cache, monkeypatch):
    def unknown(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("asked"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert "huggingface.co is not to be reached" in refused("descript/dac_44khz")
    # a proxy knows addresses that this machine does not
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    assert "LocalEntryNotFoundError" in refused("descript/dac_44khz")


def serve(cache: Path, files: dict[str, list[str]], asked: list[str] | None = None):
    """A hub that has these files by repository."""

    def download(repository: str, file: str) -> str:
        if asked is not None:
            asked.append(file)
        if repository not in files:
            raise not_found(errors.RepositoryNotFoundError)
        if file not in files[repository]:
            raise errors.EntryNotFoundError(file)
        return str(keep(cache, repository, file) / file)

    return download


def not_found(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)  # its constructor differs between versions
    Exception.__init__(error, "404\nnot found")
    return error


def test_what_is_not_cached_is_fetched_once(cache, monkeypatch):
    asked: list[str] = []
    hosted = {"charactr/vocos-mel-24khz": ["config.yaml", "pytorch_model.bin"]}
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", serve(cache, hosted, asked))
    found = hub.find("charactr/vocos-mel-24khz")
    assert found.weights.read_text() == "pytorch_model.bin"
    assert found.config is not None
    assert found.config.name == "config.yaml"
    assert asked
    asked.clear()
    assert hub.find("charactr/vocos-mel-24khz") == found
    assert asked == []


def test_files_that_belong_together_are_fetched_together(cache, monkeypatch):
    name = "google/magenta-realtime-2"
    parts = [f"resources/spectrostream/{part}.safetensors" for part in ("encoder", "decoder")]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", serve(cache, {name: parts[:1]}))
    lacks = "does not have both encoder.safetensors and decoder.safetensors"
    assert refused(name) == f"{name}: the model on the hub {lacks}"
    assert hub.cached(name) is None
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", serve(cache, {name: parts}))
    found = hub.find(name)
    assert [file.read_text() for file in (found.weights, *found.others)] == parts
    assert found.config is None
    assert hub.cached(name) == found
    assert hub.find(found.weights.parent) == found


def test_what_the_hub_does_not_have_or_give_is_told(cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", serve(cache, {"a/text": ["config.json"]}))
    assert refused("a/nothing") == "a/nothing: there is no such file or folder, nor a model of that name on the hub"
    assert "has none of model.safetensors" in refused("a/text")

    def gated(*_: object) -> str:
        raise not_found(errors.GatedRepoError)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gated)
    message = refused("stabilityai/stable-audio-open-1.0")
    assert "https://huggingface.co/stabilityai/stable-audio-open-1.0" in message
    assert "hf auth login" in message

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    assert "cannot be fetched from the hub (OSError)" in refused("a/b")


def test_without_its_package_it_is_named(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install huggingface_hub" in refused("descript/dac_44khz")
    assert hub.cached("descript/dac_44khz") is None


def test_configurations_are_read_or_refused(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("head:\n  init_args: {dim: 8, scale: 1.5}\n")
    assert hub.read_config(tmp_path / "config.yaml") == {"head": {"init_args": {"dim": 8, "scale": 1.5}}}
    for name, text in [
        ("config.json", "{"), ("config.json", "[1]"), ("config.json", "[" * 100_000), ("config.yaml", "a: [1"),
        ("config.yaml", "!!python/object/apply:os.system [true]"), ("config.yaml", "- 1"), ("config.yaml", "\x00"),
    ]:  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(CheckpointError) as caught:
            hub.read_config(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(CheckpointError, match="pip install pyyaml"):
        hub.read_config(tmp_path / "config.yaml")


def test_models_are_listed_with_what_is_at_hand(cache, tmp_path):
    keep(cache, "kyutai/mimi", "config.json", "model.safetensors")
    models = zoo.models(tmp_path / "runs")
    assert [model.name for model in models] == [model.name for model in registry.KNOWN]
    assert [model.name for model in models if model.at_hand] == ["kyutai/mimi"]
    assert all(model.licence and model.parameters and model.step is None for model in models)


def test_configurations_that_are_known_survive_json_and_tell_their_family():
    for model in registry.KNOWN:
        assert json.loads(json.dumps(model.config)) == model.config
        assert configurations.family_of(model.config) == model.family, model.name
        assert registry.known(model.name) is model
    assert configurations.family_of({"encoder_rates": [2], "n_codebooks": 9, "sample_rate": 44100}) == "dac"
    assert configurations.family_of({"model_type": "bert"}) is None
    assert configurations.family_of({"model_type": ["dac"]}) is None


def test_a_model_that_is_a_file_is_where_its_authors_keep_it(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    name = "descript/dac_44khz_16kbps"
    complaint = refused(name)
    assert complaint.startswith(f"{name} is a file, and on no hub: fetch https://github.com/descriptinc/")
    assert complaint.endswith("weights_44khz_16kbps.pth, and give its path instead")
    kept = tmp_path / ".cache" / "descript" / "dac" / "weights_44khz_16kbps_1.0.0.pth"
    kept.parent.mkdir(parents=True)
    kept.write_text("")
    assert hub.find(name) == hub.Files(kept, None)
    assert [model.name for model in zoo.models(tmp_path) if model.at_hand] == [name]


def test_weights_in_pieces_are_used_when_all_are_there(cache, monkeypatch):
    index = json.dumps({"weight_map": {"a": "model-00001-of-00002.bin", "b": "model-00002-of-00002.bin"}})
    snapshot = keep(cache, "a/b", "config.json", "model-00001-of-00002.bin", "model.safetensors.index.json")
    (snapshot / "model.safetensors.index.json").write_text(index)
    assert hub.cached("a/b") is None
    asked = []

    def fetch(repository: str, file: str) -> str:
        asked.append(file)
        if file in ("config.json", "model.safetensors.index.json") or "-of-" in file:
            return str(snapshot / file)
        raise errors.EntryNotFoundError(file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert hub.find("a/b").weights == snapshot / "model.safetensors.index.json"
    assert "model-00002-of-00002.bin" in asked
    keep(cache, "a/b", "model-00002-of-00002.bin")
    assert hub.cached("a/b").weights == snapshot / "model.safetensors.index.json"
