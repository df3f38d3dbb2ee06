"""Codecs that the package brings: by name, by default, by the hash in a file; damaged, unknown and former ones."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

import zoo
from tests.zoo.conftest import complaint, make, sound
from zoo import loading, shipped
from zoo.__main__ import main
from zoo.commands import sources
from zoo.errors import BitstreamError, CheckpointError, ZooError
from zoo.published import hub, load
from zoo.published.precision import rounded

pytestmark = pytest.mark.usefixtures("quick_module")
ROOT = Path(__file__).parents[2]
LICENCE, DATA = "CC0 1.0", "tones"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder as zoo/models is, with a VAE as the default codec, and another one."""
    folder = tmp_path_factory.mktemp("models")
    trained = dataclasses.replace(make("vae"), metadata={**make("vae").metadata, "step": 7})
    for name, codec in (("codec_24khz", trained), ("bright_8khz", another())):
        load.export(codec, folder / name, precision="float16", licence=LICENCE, trained_on=DATA)
    return folder


def another() -> zoo.ReadyCodec:
    """The VAE with other weights."""
    codec = make("vae")
    return dataclasses.replace(codec, variables=jax.tree.map(lambda x: 0.5 * x, codec.variables))


@pytest.fixture
def package(made, monkeypatch, tmp_path) -> Path:
    """The same, as the folder that is looked into, from an empty working directory."""
    monkeypatch.setattr(shipped, "FOLDER", made)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def own(made, package, monkeypatch, tmp_path_factory) -> Path:
    """A copy that a test may damage."""
    copy = tmp_path_factory.mktemp("copy") / "models"
    shutil.copytree(made, copy)
    monkeypatch.setattr(shipped, "FOLDER", copy)
    return copy


def refused(call, *arguments) -> str:
    with pytest.raises(CheckpointError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_name_loads_the_rounded_weights_and_none_means_the_default(package):
    codec = zoo.load("codec_24khz")
    assert codec.digest == rounded(make("vae"), "float16").digest != make("vae").digest
    assert codec.digest.hex() == shipped.about("codec_24khz").digest
    assert zoo.load().digest == codec.digest
    assert zoo.load("bright_8khz").digest == rounded(another(), "float16").digest
    # so that what is written beside a codec does not end in the package
    assert codec.metadata["path"] == "codec_24khz"
    assert [codec.metadata[key] for key in ("step", "licence", "trained_on")] == [7, LICENCE, DATA]


def test_what_exists_under_the_name_is_preferred(package, tmp_path):
    other = another()
    load.export(other, tmp_path / "codec_24khz", precision="bfloat16")
    assert zoo.load("codec_24khz").digest == rounded(other, "bfloat16").digest
    assert zoo.load().digest == zoo.load("codec_24khz").digest  # whose name it is as well
    assert loading.find_by_hash(bytes.fromhex(shipped.about("codec_24khz").digest)).metadata["path"] == "codec_24khz"


def test_they_are_listed_first_and_are_at_hand(package, capsys):
    first, second, *published = zoo.models()
    assert (first.name, second.name) == ("codec_24khz", "bright_8khz")
    assert first == zoo.ModelInfo(
        "codec_24khz", "vae", 8000, 1, 7, parameters=first.parameters, licence=LICENCE, at_hand=True
    )
    assert first.parameters == sum(x.size for x in jax.tree.leaves(make("vae").variables))
    assert {model.name.count("/") for model in published} == {1}
    main(["list"])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("codec_24khz")
    assert LICENCE in line
    assert line.endswith("yes")


def test_what_bitrates_were_measured_is_listed(own):
    load.export(zoo.load("bright_8khz"), own / "measured", kbps=(1.5, 9))
    assert {model.name: model.bitrates_kbps for model in zoo.models()[:3]}["measured"] == (1.5, 9.0)
    config = own / "measured" / "config.json"
    config.write_text(config.read_text().replace("1.5,", ""))
    assert "config.json does not say what it is" in refused(shipped.about, "measured")


def test_commands_need_no_codec_named(package, capsys):
    soundfile.write("in.wav", sound(6000), 8000)
    main(["encode", "in.wav", "a.zac"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1  # there is nothing else that might have been meant
    main(["decode", "a.zac", "a.wav"])
    main(["info", "a.zac"])
    assert "from     codec_24khz" in capsys.readouterr().out
    main(["encode", "in.wav", "b.zac", "--ckpt", "codec_24khz"])
    assert Path("a.zac").read_bytes() == Path("b.zac").read_bytes()
    decoded = zoo.decompress(Path("b.zac").read_bytes())  # by the hash in it
    assert decoded.audio.shape == (6000, 1)
    np.testing.assert_allclose(decoded.audio[:, 0], soundfile.read("a.wav")[0], atol=2**-15)


def test_beside_runs_the_default_is_named(package, here, capsys):
    main(["encode", "song.wav", "a.zac"])
    told, _ = capsys.readouterr().err.splitlines()
    assert "codec_24khz, the package's own codec" in told
    assert "--ckpt runs/tiny" in told
    with pytest.MonkeyPatch.context() as patch:  # a run that codes is none that denoises
        patch.setattr(shipped, "default", lambda *, denoises: "codec_24khz")
        sources.find_codec(None, denoises=True)
    assert capsys.readouterr().err == ""
    # a run is found by a file's hash as ever, and is the one where a run is meant
    run = zoo.load("runs/tiny")
    assert loading.find_by_hash(run.digest).digest == sources.find_run(None).digest == run.digest


def test_noise_is_taken_off_by_the_packages_own_denoiser(own, capsys):
    trained = dataclasses.replace(another(), metadata={**another().metadata, "config": {"task": "denoise"}})
    load.export(trained, own / shipped.DENOISER, precision="float16", licence=LICENCE, trained_on=DATA)
    assert zoo.load(shipped.DENOISER).denoises
    assert not zoo.load().denoises
    assert shipped.about(shipped.DENOISER).task == "denoise"
    load.export(zoo.load(shipped.DENOISER), "again")
    assert zoo.load("again").denoises
    soundfile.write("in.wav", sound(6000), 8000, subtype="FLOAT")
    for output, ckpt in (("own.wav", ()), ("named.wav", ("--ckpt", "again")), ("codec.wav", ("--ckpt", "codec_24khz"))):
        main(["denoise", "in.wav", output, *ckpt])
        assert ("was not trained to denoise" in capsys.readouterr().err) == (output == "codec.wav")
    assert Path("own.wav").read_bytes() == Path("named.wav").read_bytes() != Path("codec.wav").read_bytes()


def test_without_one_the_only_run_is_the_default(here, capsys):
    main(["encode", "song.wav", "a.zac"])
    assert capsys.readouterr().err.count("\n") == 1
    assert loading.find_by_hash(zoo.load("runs/tiny").digest).metadata["path"].startswith("runs/tiny")
    said = "no checkpoint at codec_24khz: there is no such file or folder, nor has the package any codec"
    assert refused(zoo.load) == said


def test_an_unknown_name_is_told_which_there_are(package, capfd):
    for name in ("codec_48khz", "Codec_24khz"):
        said = refused(zoo.load, name)
        assert said == (
            f"no checkpoint at {name}: there is no such file or folder; the package has codec_24khz, bright_8khz"
        )
    assert "the package has" not in refused(zoo.load, "runs/none")
    assert "the package has" not in refused(zoo.load, "none.safetensors")
    soundfile.write("in.wav", sound(500), 8000)
    assert "the package has codec_24khz" in complaint(capfd, "encode", "in.wav", "a.zac", "--ckpt", "codec24")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "entropy.safetensors", "checksums.json"])
def test_a_damaged_file_is_told_and_hides_no_other_codec(own, file):
    good, other = (bytes.fromhex(shipped.about(name).digest) for name in ("codec_24khz", "bright_8khz"))
    path = own / "codec_24khz" / file
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    for damage in (bytes(changed), content[:-9], b"", None):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        for call, argument in ((zoo.load, "codec_24khz"), (loading.find_by_hash, good)):
            said = refused(call, argument)
            assert said.startswith("codec_24khz, a codec of this package, is damaged: install the package anew")
        assert loading.find_by_hash(other).metadata["path"] == "bright_8khz"
        assert "bright_8khz" in [model.name for model in zoo.models()]
    path.write_bytes(content)
    assert loading.find_by_hash(good).digest == good


def test_a_file_by_a_codec_of_an_earlier_release_is_told_which(package, monkeypatch, capfd, tmp_path):
    old = make("vae")
    monkeypatch.setattr(shipped, "FORMER", {old.digest.hex(): ("codec_24khz", "0.1.0")})
    blob = old.compress(sound(500), 8000)
    assert "codec_24khz has other weights now" in refused(zoo.decompress, blob)
    (tmp_path / "old.zac").write_bytes(blob)
    said = complaint(capfd, "decode", "old.zac", "old.wav")
    assert "release 0.1.0 of codec-zoo" in said
    assert not (tmp_path / "old.wav").exists()
    assert {len(bytes.fromhex(digest)) for digest in shipped.FORMER} == {16}


def test_a_file_by_another_codec_of_the_package_names_it(package, capfd, tmp_path):
    (tmp_path / "a.zac").write_bytes(zoo.load("codec_24khz").compress(sound(500), 8000))
    said = complaint(capfd, "decode", "a.zac", "a.wav", "--ckpt", "bright_8khz")
    assert "a.zac: it was made with codec_24khz, not with bright_8khz" in said
    with pytest.raises(BitstreamError, match="it was made with codec_24khz, not with bright_8khz"):
        zoo.load("bright_8khz").decompress((tmp_path / "a.zac").read_bytes())


def test_the_function_models_stays_one_where_there_is_a_folder_of_that_name(tmp_path):
    with pytest.raises(ModuleNotFoundError):
        __import__("zoo.models")
    assert callable(zoo.models)


def test_what_an_export_writes_is_data_of_the_package(package, tmp_path):
    wheel = tmp_path / "zoo"
    shutil.copytree(package, wheel / "models")
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["zoo"]
    taken = {file for pattern in patterns for file in wheel.glob(pattern)}
    assert {file for file in wheel.rglob("*") if file.is_file()} <= taken


def test_precision_and_licence_are_for_codecs_trained_here(tmp_path, package, capfd):
    main(["export", "codec_24khz", "out", "--licence", "MIT", "--kbps", "1.5", "9"])
    again = zoo.load("out")  # with what was known of it, but for what is said now
    assert again.metadata["kbps"] == [1.5, 9]
    assert [again.metadata[key] for key in ("step", "licence", "trained_on")] == [7, "MIT", DATA]
    assert again.digest == zoo.load().digest
    sizes = [Path(folder, "model.safetensors").stat().st_size for folder in ("out", package / "codec_24khz")]
    assert sizes[0] - sizes[1] == pytest.approx(2 * shipped.about("codec_24khz").parameters, rel=0.02)
    published = zoo.ReadyCodec(again.module, again.variables, again.entropy, {"family": "dac", "model": {}})
    with pytest.raises(ZooError, match="dac is a published family"):
        load.export(published, tmp_path / "dac", precision="bfloat16")
    assert not (tmp_path / "dac").exists()
    for kbps in ((9, 1.5), (0, 9), (1, float("nan")), (1, float("inf")), 9, "ab"):
        with pytest.raises(ZooError, match="kbps must be the lowest and the highest"):
            load.export(again, tmp_path / "no", kbps=kbps)
    with pytest.raises(ZooError, match="precision 'float8' is none"):
        load.export(again, tmp_path / "no", precision="float8")
    assert not (tmp_path / "no").exists()


def test_the_packages_own_codecs_are_whole_and_small(monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", Path(zoo.__file__).parent / "models")
    total = 0
    for name in shipped.names():
        installed = [file for file in (shipped.FOLDER / name).iterdir() if file.name != hub.DISCRIMINATORS]
        size = sum(file.stat().st_size for file in installed)
        assert size <= shipped.MAX_BYTES, name
        total += size
        about = shipped.about(name)
        assert about.licence, name
        assert about.trained_on, name
        assert about.kbps or about.task == "denoise", name
        assert zoo.load(name).digest.hex() == about.digest
        assert about.digest not in shipped.FORMER
        assert json.loads((shipped.FOLDER / name / "config.json").read_text())["precision"] != "float32"
    assert total <= shipped.MAX_BYTES_IN_ALL


def test_the_packages_own_codec_takes_a_loud_tone_among_silence(monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", Path(zoo.__file__).parent / "models")
    codec, kbps = zoo.load(), 6
    tone = 0.9 * np.sin(2 * np.pi * 3000 / codec.sample_rate * np.arange(2 * codec.sample_rate))
    audio = tone.astype(np.float32)[:, None]
    blob = codec.compress(audio, codec.sample_rate, bitrate=kbps)
    assert len(blob) * 8 / 2000 < kbps + 0.5
    for coded in (blob, codec.compress(audio, codec.sample_rate, level=codec.n_levels - 1)):
        error = codec.decompress(coded).audio - audio
        assert np.square(error).mean() < np.square(audio).mean() / 300
