"""The scripts in docs/, run as their docstrings say, on a folder of a few seconds and with a small model."""

from __future__ import annotations

import importlib
import importlib.util
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

import zoo

ROOT = Path(__file__).parents[2]
TINY = """
from configs.autoencoder import Autoencoder
from configs.base import Config, Data, Evaluation, LossWeights

CONFIG = Config(
    model=Autoencoder(sample_rate=8000, hop_length=40, latent_dim=20, levels=(9, 5), n_blocks=0),
    steps=2,
    batch_size=4,
    log_every=1,
    tensorboard=False,
    loss=LossWeights(waveform_l1=1.0, rate=0.1),
    data=Data(segment_s=0.1),
    evaluation=Evaluation(clips=1, clip_s=0.3, samples=1, table_s=0.5),
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of 2 s of different rates and channels, and a configuration beside their folder."""
    rng = np.random.default_rng(0)
    for name, rate, channels in (("a.wav", 8000, 1), ("sub/b.flac", 11025, 2), ("sub/c.wav", 8000, 1)):
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.2 * rng.standard_normal((2 * rate, channels)), rate)
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path / "audio"


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(folder: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script, or with -m a package, as Python does with these arguments, from the folder's parent."""
    monkeypatch.chdir(folder.parent)

    def run(*command: str | Path) -> Done:
        name, *arguments = [str(word) for word in command if word != "-m"]
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        status: Any = 0
        try:
            if command[0] == "-m":
                importlib.import_module(f"{name}.__main__").main()
            else:
                runpy.run_path(name, run_name="__main__")
        except SystemExit as ended:
            status = ended.code or 0
        if isinstance(status, str):  # as Python does
            print(status, file=sys.stderr)
            status = 1
        return Done(status, *capsys.readouterr())

    return run


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_codec_trained_on_a_folder_gives_tokens_that_become_audio_again(folder: Path, run: Run) -> None:
    place = folder.parent
    done = run(ROOT / "docs/train_on_a_folder.py", folder, "--workdir", "run", "--config", "tiny.py")
    assert done.status == 0, done.stderr
    lines = done.stdout.splitlines()
    assert next(line for line in lines if line.startswith("  step 2: mel "))
    assert lines[-1].endswith("decoded: example.wav")
    example, rate = soundfile.read(place / "run/example.wav")
    assert (example.shape, rate) == ((16000,), 8000)

    (folder / "broken.wav").write_bytes(b"RIFF")
    script = (ROOT / "docs/tokens_for_a_language_model.py", "--ckpt", "run")
    made = run(*script, "audio", "tokens.npz")
    assert made.status == 0, made.stderr
    assert "broken.wav" in made.stderr
    stored = np.load(place / "tokens.npz")
    assert [*stored["names"]] == ["a.wav", "sub/b.flac", "sub/c.wav"]
    assert stored["tokens"].shape == (stored["offsets"][-1], 20)
    back = run(*script, "tokens.npz", "decoded")
    assert back.status == 0, back.stderr
    # both are the first file, through a .zac file and through tokens
    np.testing.assert_array_equal(soundfile.read(place / "decoded/a.wav.wav")[0], example)
    assert len(soundfile.read(place / "decoded/sub/b.flac.wav")[0]) == 16000

    # a toy that is trained on them, and goes on where the first file is cut off
    made = run("-m", "zoo", "tokenise", "audio", "tokens", "--ckpt", "run", "--workers", "1")
    assert made.status == 1, made.stderr  # broken.wav
    options = ("--steps", "40", "--context", "16", "--batch_size", "4", "--prompt_s", "0.5", "--seconds", "0.1")
    done = run(ROOT / "docs/transformer_on_tokens.py", "tokens", "on.wav", "--ckpt", "run", *options)
    assert done.status == 0, done.stderr
    losses = [float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("step ")]
    assert losses[-1] < losses[0] - 0.1
    continued, rate = soundfile.read(place / "on.wav")
    assert (len(continued), rate) == (zoo.load(place / "run").module.max_samples(120), 8000)


def test_a_loss_of_ones_own_is_trained_and_never_dropped_unseen(folder: Path, run: Run) -> None:
    workdir = folder.parent / "run"
    done = run(ROOT / "docs/custom_loss.py", folder, "--workdir", workdir, "--config", "tiny.py")
    assert done.status == 0, done.stderr
    assert "losses: waveform_l1, rate, level_db" in done.stdout
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        assert row["level_db"] > 0
        assert row["loss"] == pytest.approx(row["waveform_l1"] + 0.1 * row["rate"] + 0.1 * row["level_db"], rel=1e-4)
    assert zoo.load(workdir).metadata["config"]["loss"]["level_db"] == 0.1
    resumed = run("-m", "train", "--config", "tiny.py", "--workdir", workdir, "--resume")
    assert resumed.status == 2
    assert "config.json: unknown key loss.level_db" in resumed.stderr


def test_a_codec_of_ones_own_loop_codes_files(folder: Path, run: Run) -> None:
    place = folder.parent
    done = run(ROOT / "docs/own_training_loop.py", folder, "mine", "--steps", "12", "--batch_size", "2")
    assert done.status == 0, done.stderr
    losses = [float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("step ")]
    assert losses[-1] < losses[0]
    assert "ReadyCodec(vae, 16000 Hz" in done.stdout
    assert zoo.load(place / "mine").metadata["model"]["widths"] == [16, 16]
    again = run(ROOT / "docs/own_training_loop.py", folder, "mine")
    assert (again.status, again.stderr) == (1, "error: mine is there already\n")


def test_the_level_loss_is_the_difference_in_db() -> None:
    level_db = load_script("custom_loss").level_db
    tone = jnp.asarray(np.random.default_rng(0).choice([-0.5, 0.5], (2, 1000, 1)).astype(np.float32))
    softer = jnp.stack([tone[0] * 10 ** (-3 / 20), tone[1] * 10 ** (6 / 20)])
    np.testing.assert_allclose(level_db(tone, softer), [3, 6], rtol=1e-3)
    np.testing.assert_allclose(level_db(tone, tone), 0, atol=1e-6)


def test_what_is_there_already_is_not_written_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script("tokens_for_a_language_model")
    monkeypatch.setattr(sys, "argv", ["script", str(folder), str(folder / "a.wav"), "--ckpt", "dac"])
    with pytest.raises(zoo.ZooError, match=r"a\.wav is there already"):
        script.main()


@pytest.mark.parametrize("pattern", ["flat", "delay"])
def test_each_layout_is_undone_by_its_inverse(pattern: str) -> None:
    forward, back = load_script("tokens_for_a_language_model").PATTERNS[pattern]
    sizes = np.array([4, 3, 5])
    codes = np.random.default_rng(0).integers(0, sizes, (6, 3))
    np.testing.assert_array_equal(back(forward(codes, sizes), sizes), codes)


def test_the_delay_of_a_transformer_is_undone_by_its_inverse() -> None:
    script = load_script("transformer_on_tokens")
    codes = np.random.default_rng(0).integers(0, 9, (6, 3))
    np.testing.assert_array_equal(script.undelay(script.delay(codes, 9)), codes)


def test_the_layouts_are_what_their_docstrings_say() -> None:
    script = load_script("tokens_for_a_language_model")
    codes, sizes = np.array([[1, 2], [3, 0], [0, 1]]), np.array([4, 3])
    assert script.flat(codes, sizes).tolist() == [1, 6, 3, 4, 0, 5]
    assert script.from_flat(np.array([1, 6, 3]), sizes).tolist() == [[1, 2]]
    assert script.delay(codes, sizes).tolist() == [[1, 3], [3, 2], [0, 0], [4, 1]]
