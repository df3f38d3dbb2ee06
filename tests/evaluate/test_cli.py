"""The commands: their files, their tables, and one line for each way of getting them wrong."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import jax
import numpy as np
import pytest
import soundfile

import zoo
from configs.autoencoder import Autoencoder
from configs.base import Config, Evaluation
from evaluate import __main__ as command
from evaluate import cli, pca
from evaluate.__main__ import main, parse_levels
from evaluate.bench import coding
from tests.complaint import complaint
from train.run.checkpoints import Checkpoints
from train.step.state import create_state
from train.step.task import CodecTask
from zoo import shipped
from zoo.bitstream.entropy import Fitter
from zoo.errors import ZooError
from zoo.published.load import export
from zoo.ready import ReadyCodec

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 8000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with random weights."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    model = Autoencoder(sample_rate=RATE, hop_length=80, latent_dim=32, levels=(15, 7), width=8, n_blocks=1)
    config = Config(model=model, steps=1, evaluation=Evaluation(clips=4, clip_s=0.4))
    task = CodecTask(config)
    # as after training: small values are common
    fitter = Fitter(task.module.bottleneck.symbols())
    zero = np.repeat([7, 3], 16)
    fitter.update(
        np.clip(np.rint(np.random.default_rng(1).laplace(zero, 1.0, (8, 100, 32))), 0, 2 * zero).astype(np.int32)
    )
    checkpoints = Checkpoints(run, config)
    # drawn by numpy: compiling the initialisers would take longer than the tests; no biases, so silence stays silent
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: create_state(task, 0))
    state = jax.tree.map(lambda x: rng.normal(0, 0.1 * (x.ndim > 1), x.shape).astype(x.dtype), shapes)
    checkpoints.save(state.replace(step=np.zeros((), np.int32)), fitter.fit())
    checkpoints.close()
    return run


@pytest.fixture
def run_dir(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(trained, tmp_path / "tiny"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of all sorts in two domains, one of them no audio."""
    root = tmp_path / "audio"
    rng = np.random.default_rng(0)
    for name, n, rate, channels, level in (
        ("music/stereo.wav", 4000, 16_000, 2, 0.1),
        ("music/silent.flac", 3000, RATE, 1, 0.0),
        ("voice/high.wav", 15_000, 44_100, 1, 0.1),
        ("voice/shorter_than_a_hop.wav", 9, RATE, 1, 0.1),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, level * rng.standard_normal((n, channels)), rate)
    (root / "music" / "letter.wav").write_text("this is no audio")
    return root


def test_a_folder_against_opus(run_dir: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    main(["--ckpt", str(run_dir), "--data.root", str(folder), "--against", "opus:12", "--output", str(out)])
    printed = capsys.readouterr()
    rows = json.loads((out / "results.json").read_text())
    names = ["music/silent.flac", "music/stereo.wav", "voice/high.wav", "voice/shorter_than_a_hop.wav"]
    assert [(row["system"], row["clip"]) for row in rows] == [(s, n) for s in ("tiny", "opus:12") for n in names]
    assert [row["domain"] for row in rows] == 2 * ["music", "music", "voice", "voice"]
    assert [row["seconds"] for row in rows[:2]] == [3000 / RATE, 2000 / RATE]
    assert all(value is not None for row in rows[1:4] for value in row.values())
    assert [row["remark"] for row in rows[:4]] == ["silent", "", "", ""]
    assert rows[0]["snr_db"] is rows[4]["snr_db"] is None
    assert "1 clip, silent as compared, has no SNR and is in no mean: music/silent.flac" in printed.out
    with (out / "results.csv").open() as file:
        assert [line["clip"] for line in csv.DictReader(file)] == 2 * names
    assert {"tiny", "opus:12", "music", "voice", "overall"} <= set(printed.out.split())
    assert not (run_dir / "evaluation").exists()
    complaints = printed.err.splitlines()
    assert len(complaints) == 3
    assert "letter.wav" in complaints[0]
    assert "1 file" in complaints[1]
    assert complaints[2].startswith("1 of the files have more than one channel: they were mixed")


def test_embedded_clips_are_those_of_the_run(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--ckpt", str(run_dir)])
    rows = json.loads((run_dir / "evaluation" / "results.json").read_text())
    assert [(row["domain"], row["seconds"], row["level"]) for row in rows] == [
        (domain, 0.4, 0) for domain in ("music", "voice", "sound", "music")
    ]
    *table, place = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 120
    assert place.endswith(str(run_dir / "evaluation"))


def test_results_of_what_is_no_folder_get_one_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "weights.pth").write_text("")

    def place(path: str) -> Path:
        return cli.results_folder(None, cast(ReadyCodec, SimpleNamespace(metadata={"path": path})))

    assert place("descript/dac_24khz") == Path("evaluation/dac_24khz")
    assert place("weights.pth") == Path("evaluation/weights.pth")
    assert place("out") == Path("out/evaluation")


def test_a_codec_of_the_package_goes_by_its_name(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(zoo.load(run_dir), tmp_path / "models" / "codec_24khz", precision="float16")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    ((name, codec),) = cli.load_codecs(["codec_24khz"]).items()
    assert name == "codec_24khz"
    # nothing is written into the package
    assert cli.results_folder(None, codec) == Path("evaluation/codec_24khz")


def test_limit_is_for_each_domain(folder: Path, run_dir: Path) -> None:
    (codec,) = cli.load_codecs([str(run_dir)]).values()
    clips = cli.load_clips(cli.Measured(str(folder)), codec, limit=1)
    assert sorted(clip.domain for clip in clips) in (["music", "voice"], ["voice"])
    assert len(clips) == 2
    assert len(cli.load_clips(cli.Measured(), codec, limit=1)) == 3


def test_runs_of_one_name_are_told_apart(run_dir: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run_dir, tmp_path / "other" / "tiny"))
    assert list(cli.load_codecs([str(run_dir), str(other)])) == [str(run_dir), str(other)]
    single = run_dir / "checkpoints" / "0"
    assert list(cli.load_codecs([str(single)])) == ["tiny"]
    with pytest.raises(ZooError, match="twice"):
        cli.load_codecs([str(run_dir), str(run_dir)])


def test_levels() -> None:
    assert [parse_levels(words) for words in (["all"], ["default"], ["5", "0", "5"])] == ["all", "default", [0, 5]]
    for words in ([], ["most"], ["-1"], ["all", "3"], ["1.5"]):
        with pytest.raises(ZooError, match="levels"):
            parse_levels(words)


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--ckpt", "nowhere"], "nowhere"),
        (["--ckpt", "."], "no checkpoint at ."),
        (["--ckpt"], "--ckpt"),
        ([], "ckpt"),
        (["--ckpt", "RUN", "--data.root", "missing"], "missing: no such folder"),
        (["--ckpt", "RUN", "--data.root", "RUN"], "no audio files"),
        (["--ckpt", "RUN", "--against", "speex:8"], "mp3:64"),
        (["--ckpt", "RUN", "--levels", "1"], "level 1"),
        (["--ckpt", "RUN", "--levels", "best"], "best"),
        (["--ckpt", "RUN", "--limit", "0"], "--limit"),
        (["--ckpt", "nowhere", "--perceptual", "mos"], "no perceptual metric 'mos'"),
        (["--ckpt", "RUN", "--batch_size", "0"], "batch_size"),
        (["--ckpt", "RUN", "--batch_size", "many"], "batch_size"),
        (["--ckpt", "RUN", "--rate", "0"], "0 Hz"),
        (["--ckpt", "RUN", "--data.rot", "x"], "--data.rot"),
        (["--ckpt", "RUN", "--data.root", "NAN"], "bad.wav: NaN at sample 70"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str],
    culprit: str,
    run_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = np.zeros(100, np.float32)
    samples[70] = np.nan
    (tmp_path / "nan").mkdir()
    soundfile.write(tmp_path / "nan" / "bad.wav", samples, RATE, subtype="FLOAT")
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(run_dir), "NAN": str(tmp_path / "nan")}
    assert culprit in complaint(capsys, main, [places.get(word, word) for word in arguments])
    assert not (run_dir / "evaluation").exists()


def test_truncated_checkpoint(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_dir / "checkpoints" / "0" / "metadata" / "metadata").write_text('{"format": 1')
    with pytest.raises(SystemExit) as stop:
        main(["--ckpt", str(run_dir)])
    assert stop.value.code == 2
    assert "damaged" in capsys.readouterr().err


def test_help_does_not_pay_for_jax() -> None:
    check = (
        "import sys, evaluate.__main__, evaluate.bench; sys.exit(bool({'jax', 'numpy', 'rich.table'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0


def test_help_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert not stop.value.code
    out = capsys.readouterr().out
    for flag in (
        "--ckpt",
        "--data.root",
        "--levels",
        "--against",
        "--limit",
        "--output",
        "--report",
        "--require",
        "--rate",
    ):
        assert flag in out


def test_bench(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "speed.json"
    coding.main(["--ckpt", str(run_dir), "--seconds", "0.5", "--repeat", "2", "--output", str(path)])
    (speed,) = json.loads(path.read_text())
    (codec,) = cli.load_codecs([str(run_dir)]).values()
    assert speed["parameters"] == sum(np.size(leaf) for leaf in jax.tree.leaves(codec.variables))
    assert (speed["system"], speed["seconds"], speed["batch_size"]) == ("tiny", 0.5, 1)
    # half a second of audio per call, and the first call compiles
    assert speed["encode_first_s"] > 0.5 / speed["encode_rtf"] > 0
    assert speed["decode_first_s"] > 0.5 / speed["decode_rtf"] > 0
    assert "tiny" in capsys.readouterr().out
    for arguments in ([], ["--model", "wavelet"], ["--model", "vae", "--repeat", "0"]):
        with pytest.raises(SystemExit) as stop:
            coding.main(arguments)
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_pca(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pca.main(["--ckpt", str(run_dir), "--train_s", "8"])
    rows = json.loads((run_dir / "evaluation" / "pca.json").read_text())
    assert [row["system"] for row in rows] == 4 * ["tiny"] + 4 * ["mdct_pca"]
    rates = [sum(row["kbps"] * row["seconds"] for row in part) for part in (rows[:4], rows[4:])]
    assert rates[1] == pytest.approx(rates[0], rel=0.01)
    assert "mdct_pca" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["report", "output"])
def test_a_file_in_the_place_of_results_is_named_before_a_codec_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    taken = tmp_path / "ok.wav"
    taken.write_bytes(b"mine")
    words = ["--ckpt", str(tmp_path / "none"), f"--{option}"]
    said = complaint(capsys, main, [*words, str(taken)])
    assert "ok.wav: is a file, not a folder to write to" in said
    below = complaint(capsys, main, [*words, str(taken / "report")])
    assert "ok.wav is a file, not a folder to write to" in below
