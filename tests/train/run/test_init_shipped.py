"""Runs that begin with a codec of the package."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

import zoo
from configs import loading
from configs.base import LossWeights
from tests.complaint import complaint
from tests.train import tiny
from tests.train.run.initialised import STEPS, TINY, begun, below, differing, flat, refused, saved
from train import cli
from train.step.tasks import make_task
from zoo import shipped
from zoo.__main__ import main
from zoo.bitstream import entropy
from zoo.published import discriminators
from zoo.published.load import export
from zoo.saved import checkpoint
from zoo.saved.orbax_read import path_name

pytestmark = pytest.mark.usefixtures("short")


@pytest.fixture
def codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> zoo.ReadyCodec:
    """What the package has as codec_24khz: random weights, of another size than the family's configuration says."""
    model = tiny.RUN.model.kwargs()
    module = zoo.create("autoencoder", **model)
    rng = np.random.default_rng(0)
    template = checkpoint.codec_template(module)["params"]
    params = jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(np.float32), template)
    coder = entropy.Fitter(module.bottleneck.symbols()).fit()
    made = zoo.ReadyCodec(module, {"params": params}, coder, {"family": "autoencoder", "model": model})
    export(made, tmp_path / "models" / "codec_24khz", precision="float16")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return zoo.load("codec_24khz")


def test_its_architecture_and_weights_are_where_a_run_begins(codec: zoo.ReadyCodec) -> None:
    name, config = cli.parse(["--init", "codec_24khz", "--steps", "9", "--loss.mel", "2"])
    family = loading.get("autoencoder")
    assert (name, config.init, config.steps, config.loss.mel) == ("autoencoder", "codec_24khz", 9, 2.0)
    assert config.model == tiny.RUN.model != family.model
    assert config.optim == family.optim
    run = dataclasses.replace(TINY, model=config.model, adversarial_start=-1, loss=LossWeights(waveform_l1=1.0))
    _, after, said = begun(run, Path("codec_24khz"))
    assert " new" not in said
    assert "beginning with codec_24khz (autoencoder, 8000 Hz" in said
    assert differing(flat(after.params), flat(codec.variables["params"])) == set()


def test_a_model_that_is_named_is_trained_as_it_stands(codec: zoo.ReadyCodec) -> None:
    _, config = cli.parse(["--model", "autoencoder", "--init", "codec_24khz"])
    assert config.model == loading.get("autoencoder").model
    assert config.init == "codec_24khz"
    _, config = cli.parse(["--init", "codec_24khz", "--model.n_blocks", "1"])
    assert config.model == dataclasses.replace(tiny.RUN.model, n_blocks=1)  # type: ignore[call-arg]


def test_other_names_leave_the_model_open(codec: zoo.ReadyCodec, tmp_path: Path, capfd) -> None:
    for init in ("codec_48khz", "runs/vae", "descript/dac_24khz"):
        assert "which model? --model" in complaint(capfd, cli.parse, ["--init", init])
    (tmp_path / "codec_24khz").mkdir()  # what exists is preferred
    assert "which model? --model" in complaint(capfd, cli.parse, ["--init", "codec_24khz"])
    (tmp_path / "codec_24khz").rmdir()
    (tmp_path / "models" / "codec_24khz" / "config.json").write_text("{}")
    assert "codec_24khz, a codec of this package, is damaged" in complaint(capfd, cli.parse, ["--init", "codec_24khz"])


@pytest.mark.parametrize("place", ["out", "codec_24khz"])
def test_the_discriminators_beside_it_are_taken(
    finished: Path, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out" if place == "out" else tmp_path / "models" / place
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "models")
    main(["export", str(finished), str(folder), "--precision", "float16", "--discriminators"])
    wanted = below(saved(finished, STEPS), "discriminator")
    _, after, said = begun(TINY, Path(place))
    assert "discriminators: 12 arrays (113 parameters) taken over" in said
    assert (
        differing(flat(after.discriminator), {key: x.astype(np.float16).astype(x.dtype) for key, x in wanted.items()})
        == set()
    )
    assert zoo.load(place).digest != zoo.load(str(finished)).digest  # its weights alone are rounded

    with (folder / "discriminators.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    refused(dataclasses.replace(TINY, init=place, workdir="run"), "discriminators.safetensors: bytes have changed")


def test_only_runs_with_adversaries_have_discriminators(codec: zoo.ReadyCodec, tmp_path: Path, capfd) -> None:
    command = ["export", "codec_24khz", "out", "--discriminators"]
    assert "codec_24khz has no discriminators" in complaint(capfd, main, command)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (
            "codec_24khz",
            "--loss.adversarial 1 --discriminator.periods --discriminator.fft_sizes 1024 512 "
            "--discriminator.stft_channels 12",
        ),
        ("gan_vocoder_24khz", ""),
    ],
)
def test_discriminators_of_the_package_are_those_of_the_commands_on_its_cards(
    name: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "FOLDER", Path(zoo.__file__).parent / "models")
    _, config = cli.parse(["--init", name, "--adversarial_start", "0", *options.split()])
    wanted = jax.eval_shape(make_task(config).init_discriminator, jax.random.key(0))
    shapes = {path_name(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(wanted)}
    assert {path: array.shape for path, array in discriminators.beside(shipped.FOLDER / name).items()} == shapes
