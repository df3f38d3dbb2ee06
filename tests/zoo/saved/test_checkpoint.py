"""Saved codecs: what was trained is loaded, from every path that means it; damage is one line that names the path."""

import json
import os
import shutil
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest

import zoo
from configs.base import Config
from configs.vae import VAE
from tests.train import tiny
from tests.zoo.bitstream.test_networked import random_model
from train.devices import parallel
from train.run.checkpoints import Checkpoints
from train.step.state import TrainState, create_state
from train.step.task import CodecTask
from zoo import loading
from zoo.bitstream.entropy import EntropyModel, Fitter
from zoo.codec import parameter_shapes
from zoo.errors import CheckpointError, ZooError
from zoo.saved import checkpoint, runs

AUDIO = 0.3 * np.random.default_rng(0).standard_normal((300, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def trained() -> tuple[CodecTask, TrainState, EntropyModel]:
    """A task, a state whose average differs from its parameters, and tables."""
    task = CodecTask(Config(model=tiny.VOCODER, keep_checkpoints=2))
    shapes = jax.eval_shape(lambda: create_state(task, seed=0))  # to initialise it would take longer than all else here
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    rng = np.random.default_rng(0)
    average = jax.tree.map(lambda x: 0.3 * rng.standard_normal(x.shape).astype(np.float32), shapes.ema)
    fitter = Fitter(task.module.bottleneck.symbols())
    fitter.update(np.sort(rng.integers(0, 16, (4, 60, 2)), axis=1), 1)
    return task, state.replace(ema=average), fitter.fit()


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory) -> Path:
    """A run with checkpoints of steps 5 and 10."""
    task, state, fitted = trained
    run = tmp_path_factory.mktemp("runs") / "demo"
    checkpoints = Checkpoints(run, task.config)
    for step in (2, 5, 10):
        checkpoints.save(state.replace(step=np.int32(step), next_example=np.uint32(7 * step)), fitted)
    checkpoints.close()
    return run


@pytest.fixture
def run(saved, tmp_path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


def test_what_is_loaded_is_the_average_and_codes_alike(trained, saved):
    task, state, fitted = trained
    codec = zoo.load(saved)
    jax.tree.map(np.testing.assert_array_equal, codec.variables["params"], state.ema)
    jax.tree.map(np.testing.assert_array_equal, codec.entropy.arrays, fitted.arrays)
    before = zoo.ReadyCodec(task.module, {"params": state.ema}, fitted)
    expected, encoded = before.encode(AUDIO), codec.encode(AUDIO)
    np.testing.assert_array_equal(encoded.codes, expected.codes)
    np.testing.assert_array_equal(codec.decode(encoded), before.decode(expected))
    assert codec.count_bytes(encoded) == before.count_bytes(expected)
    assert (codec.sample_rate, codec.channels, codec.hop_length) == (8000, 1, 40)


def test_networks_are_loaded_from_a_later_format_and_contexts_from_that_which_they_always_had(saved, tmp_path):
    small = VAE(sample_rate=8000, latent_dim=6, widths=(4, 4), strides=(5, 8), dilations=(1,), grid_steps=(8.0, 4.0))
    task = CodecTask(Config(model=small))
    shapes = jax.eval_shape(lambda: create_state(task, seed=0))
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    coder = random_model(task.module.bottleneck.symbols(), 0)
    for step in (1, 2):  # what was resumed is saved as what it was
        checkpoints = Checkpoints(tmp_path / "run", task.config)
        checkpoints.restore(state, parallel.make_mesh())
        checkpoints.save(state.replace(step=np.int32(step)), checkpoints.tables or coder)
        checkpoints.close()
    codec = zoo.load(tmp_path / "run")
    assert (codec.metadata["format"], zoo.load(saved).metadata["format"]) == (3, 2)
    jax.tree.map(np.testing.assert_array_equal, codec.entropy.arrays, coder.arrays)
    codes = codec.encode(AUDIO).codes
    payload = codec.entropy.encode(codes, codec.default_level)
    again = codec.entropy.decode(payload, n_streams=1, n_frames=codes.shape[1], level=codec.default_level)
    np.testing.assert_array_equal(again, codes)


def test_the_newest_is_loaded_unless_one_is_named(saved):
    assert runs.steps(saved) == [5, 10]  # as many as the configuration keeps
    for path in (saved, saved / "checkpoints", str(saved), saved / "checkpoints" / "10"):
        codec = zoo.load(path)
        assert codec.metadata["step"] == 10
        assert codec.metadata["path"] == str(saved / "checkpoints" / "10")
    assert zoo.load(saved / "checkpoints" / "5").metadata["step"] == 5


def test_a_path_may_be_a_link_bytes_or_in_the_home_directory(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(saved)
    digest = zoo.load(saved).digest
    for path in ("~/link", Path("~/link"), b"~/link", os.fsencode(saved), f"{saved}/", "~/link/checkpoints/10"):
        assert zoo.load(path).digest == digest
    for path in (None, 3, ["a"]):
        with pytest.raises(ZooError, match="is no path"):
            zoo.load(path)


def test_metadata_says_where_the_data_stood(saved):
    metadata = checkpoint.read_metadata(saved / "checkpoints" / "10")
    assert metadata["next_example"] == 70
    assert metadata["family"] == "gan_vocoder"
    assert zoo.create(metadata["family"], **metadata["model"]) == zoo.create("gan_vocoder", **tiny.VOCODER.kwargs())


# reads that orbax had begun when another failed end as "exceptions ignored", some of them later
pytestmark = [
    pytest.mark.usefixtures("quick_module"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def refused(path: Path, named: Path | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        zoo.load(path)
    message = str(caught.value)
    assert str(named or path) in message
    assert "\n" not in message
    return message


def test_what_is_no_checkpoint_is_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    (empty / "checkpoints").mkdir(parents=True)
    assert "expected a run directory" in refused(empty)
    refused(empty / "checkpoints")
    file = tmp_path / "file"
    file.write_text("{}")
    refused(file)
    (empty / "checkpoints" / "7.orbax-checkpoint-tmp").mkdir()  # what a killed process leaves
    refused(empty)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"format": 1}',
        '{"format": "x"}',
        '{"format": 1, "family": "vae", "model": 3}',
        "\x00\xff",
    ],
)
def test_damaged_metadata_is_refused(run, content):
    newest = run / "checkpoints" / "10"
    (newest / "metadata" / "metadata").write_text(content, encoding="latin-1")
    assert "metadata" in refused(run, newest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"format": 1}, "format 1, whose tables this version cannot use"),
        ({"family": "other"}, "unknown model 'other'"),
        ({"model": {"colour": 3}}, "colour"),
        ({"model": {"latent_dim": "wide"}}, "latent_dim|wide"),
        ({"model": {**tiny.VOCODER.kwargs(), "latent_dim": 12}}, "damaged"),  # weights of another shape
        ({"family": "vae", "model": {}}, "damaged"),
    ],
)
def test_metadata_of_another_codec_or_format_is_refused(run, change, message):
    newest = run / "checkpoints" / "10"
    file = newest / "metadata" / "metadata"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        zoo.load(run)
    refused(run, newest)


@pytest.mark.parametrize("part", ["metadata", "codec"])
def test_a_missing_part_is_refused(run, part):
    newest = run / "checkpoints" / "10"
    shutil.rmtree(newest / part)
    refused(run, newest)
    refused(newest)


def test_a_file_deleted_or_cut_is_an_error_or_does_not_matter(trained, saved, tmp_path):
    _, state, fitted = trained
    source = saved / "checkpoints" / "10"
    files = [file.relative_to(source) for file in sorted((source / "codec").rglob("*")) if file.is_file()]
    refusals = 0
    for i, file in enumerate(files):
        content = (source / file).read_bytes()
        for kept in (None, content[: len(content) // 2]):
            copy = tmp_path / f"{i}{'' if kept is None else '-cut'}"
            shutil.copytree(source / "codec", copy / "codec")
            shutil.copytree(source / "metadata", copy / "metadata")
            (copy / file).unlink() if kept is None else (copy / file).write_bytes(kept)
            message = ""
            try:
                codec = zoo.load(copy)
            except CheckpointError as error:
                message = str(error)
            if message:
                assert str(copy) in message
                assert "\n" not in message
                refusals += 1
            else:  # redundant, then: everything must be there all the same
                jax.tree.map(np.testing.assert_array_equal, codec.variables["params"], state.ema)
                jax.tree.map(np.testing.assert_array_equal, codec.entropy.arrays, fitted.arrays)
    assert refusals >= 3


def test_models_lists_what_load_takes(saved, run, tmp_path, monkeypatch):
    found, *published = zoo.models(saved.parent)
    # two codebooks of four bits, 200 times a second
    assert found == zoo.ModelInfo(str(saved), "gan_vocoder", 8000, 1, 10, bitrates_kbps=(0.8, 1.6))
    assert {model.step for model in published} == {None}
    assert zoo.load(found.name).metadata["step"] == 10
    # what cannot be loaded is not listed, and does not hide the others
    runs = tmp_path / "runs"
    for name in ("bad", "good", "strange"):
        shutil.copytree(run, runs / name)
    (runs / "bad" / "checkpoints" / "10" / "metadata" / "metadata").write_text("{")
    file = runs / "strange" / "checkpoints" / "10" / "metadata" / "metadata"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"family": "other"}))
    (runs / "notes.txt").write_text("")
    (runs / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert [model.name for model in loading.list_runs()] == ["runs/good"]
    assert zoo.models()[1:] == zoo.models(tmp_path / "nowhere") == tuple(published)


def test_an_unknown_family_or_hyperparameter_is_told_what_exists():
    with pytest.raises(ZooError) as caught:
        zoo.create("vea")
    assert "'vea'" in str(caught.value)
    assert all(name in str(caught.value) for name in zoo.names())
    with pytest.raises(ZooError) as caught:
        zoo.create("vae", latent_dims=3)
    assert "'latent_dims'" in str(caught.value)
    assert "latent_dim," in str(caught.value)


@pytest.mark.parametrize(
    ("family", "hyperparameters"),
    [
        ("autoencoder", {"latent_dim": 7, "levels": (3, 5)}),
        ("autoencoder", {"latent_dim": 500}),
        ("autoencoder", {"levels": (1,)}),
        ("vae", {"widths": (8, 8), "strides": (2,)}),
        ("vae", {"latent_dim": 500}),
        ("vae", {"latent_dim": "wide"}),
    ],
)
def test_hyperparameters_that_do_not_go_together_are_refused(family, hyperparameters):
    with pytest.raises(ZooError, match=f"model '{family}'"):
        zoo.create(family, **hyperparameters)


def test_lists_are_taken_for_tuples():
    lists = zoo.create("vae", latent_dim=8, widths=[8, 8], strides=[4, 5])
    assert lists == zoo.create("vae", latent_dim=8, widths=(8, 8), strides=(4, 5))
    assert isinstance(hash(lists), int)


def test_shapes_found_once_belong_to_whoever_asks_and_fields_may_be_lists():
    class Listed(nn.Module):
        widths: list[int]

        def example(self):
            return (np.zeros((1, 2), np.float32),)

        @nn.compact
        def __call__(self, x):
            return nn.Dense(sum(self.widths), name="dense")(x)

    for fields in ((1, 2), [1, 2]):
        shapes = parameter_shapes(Listed(fields))
        assert shapes["dense"]["kernel"] == jax.ShapeDtypeStruct((2, 3), np.float32)
        del shapes["dense"]["kernel"]
        assert "kernel" in parameter_shapes(Listed(fields))["dense"]
