"""`python -m zoo encode --corpus` run again: what has changed since is coded again, what has not is kept."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

import zoo
from tests.zoo.conftest import complaint, music
from zoo.__main__ import main
from zoo.bitstream.container import ContainerReader, ContainerWriter
from zoo.commands.journal import NAME, Journal

pytestmark = pytest.mark.usefixtures("quick_module")

FILES = ("a.wav", "b/b.wav", "c.flac")
KEPT = "3 of 3 files are coded already"


@pytest.fixture(scope="module")
def codec(place: Path) -> zoo.ReadyCodec:
    """What is compiled for it serves all tests of this module."""
    return zoo.load(place / "runs" / "tiny")


@pytest.fixture
def library(here: Path, codec: zoo.ReadyCodec, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of about a second: a.wav and b/b.wav of two channels, c.flac of one; coded on one device."""
    monkeypatch.setattr("zoo.commands.corpus.find_codec", lambda *_: codec)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    for seed, name in enumerate(FILES):
        record(here / "lib" / name, 9_000, seed)
    return here / "lib"


def record(path: Path, n_samples: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, music(n_samples, 1 if path.suffix == ".flac" else 2, seed), 11_025)


def corpus(capfd, *options: str) -> list[str]:
    """Codes lib to coded; the lines that it says."""
    capfd.readouterr()
    main(["encode", "--corpus", "lib", "coded", *options])
    return capfd.readouterr().err.splitlines()


def is_of(codec: zoo.ReadyCodec, name: str, **options: object) -> bool:
    """Whether a coded file is of the recording that is there now."""
    samples, rate = soundfile.read(f"lib/{name}", dtype="float32", always_2d=True)
    return Path("coded", name).with_suffix(".zac").read_bytes() == codec.compress(samples, rate, **options)


def test_a_file_that_was_replaced_is_coded_again(library, codec, capfd):
    corpus(capfd)
    kept = Path("coded/c.zac").stat().st_mtime_ns
    assert corpus(capfd) == [KEPT]
    record(library / "a.wav", 12_000, 7)  # of another length
    record(library / "b/b.wav", 9_000, 8)  # of the same
    said = corpus(capfd)
    assert said[:2] == ["1 of 3 files are coded already", "2 files have changed and are coded again"]
    assert all(is_of(codec, name) for name in FILES)
    os.utime(library / "a.wav", ns=(1, 1))
    assert corpus(capfd) == [KEPT]  # touched
    assert corpus(capfd) == [KEPT]
    assert Path("coded/c.zac").stat().st_mtime_ns == kept


def test_other_options_code_again(library, codec, capfd):
    corpus(capfd)
    assert corpus(capfd, "--level", "1") == [KEPT]  # the default one
    assert "3 files were coded with other options and are coded again" in corpus(capfd, "--level", "2")
    assert all(is_of(codec, name, level=2) for name in FILES)
    # of one channel, there is nothing to separate
    said = corpus(capfd, "--level", "2", "--stereo", "separate")
    assert "2 files were coded with other options and are coded again" in said
    assert corpus(capfd, "--level", "2", "--stereo", "separate") == [KEPT]
    said = corpus(capfd, "--level", "2", "--stereo", "separate", "--packet_s", "0.5")
    assert "3 files were coded with other options and are coded again" in said


def test_tokens_are_always_those_of_the_coded_file(library, codec, capfd):
    corpus(capfd)
    assert "3 files were coded without tokens and are coded again" in corpus(capfd, "--tokens")
    assert corpus(capfd, "--tokens") == [KEPT]
    record(library / "a.wav", 20_000, 7)
    corpus(capfd)
    frames = codec.module.n_frames(-(-20_000 * 8000 // 11_025))
    assert np.load("coded/a.npy").shape[1] == frames
    Path("coded/c.npy").unlink()
    assert "1 file was coded without tokens and is coded again" in corpus(capfd, "--tokens")
    assert Path("coded/c.npy").exists()


def test_other_weights_code_again(library, codec, capfd):
    corpus(capfd)
    other = codec.digest[::-1]
    written = Path("coded", NAME).read_text()
    Path("coded", NAME).write_text(written.replace(codec.digest.hex(), other.hex()))
    with Path("coded/a.zac").open("wb") as stream:  # of which there is no record
        header = ContainerReader(io.BytesIO(Path("coded/b/b.zac").read_bytes())).header
        ContainerWriter(stream, replace(header, weights_hash=other)).finish(9_000)
    assert "3 files were coded with other weights and are coded again" in corpus(capfd)
    assert all(is_of(codec, name) for name in FILES)
    Path("coded/a.zac").write_bytes(b"mine")
    assert "a.zac: in the way" in complaint(capfd, "encode", "--corpus", "lib", "coded")
    assert Path("coded/a.zac").read_bytes() == b"mine"


def test_what_is_gone_stays_coded_and_is_named(library, codec, capfd):
    corpus(capfd)
    (library / "c.flac").unlink()
    said = ["2 of 2 files are coded already", "1 coded file has no source below lib any more and stays: c.zac"]
    assert corpus(capfd) == said
    assert Path("coded/c.zac").exists()


def test_a_folder_without_a_record(library, codec, capfd):
    """Of an earlier version, or of a run that was killed before it could write it down."""
    corpus(capfd)
    Path("coded", NAME).unlink()
    assert corpus(capfd) == [f"{KEPT}, 3 of them without a record of how: their headers fit"]
    assert corpus(capfd) == [KEPT]
    Path("coded", NAME).unlink()
    record(library / "a.wav", 12_000, 7)
    soundfile.write(library / "b/b.wav", music(9_000), 22_050)
    assert "2 files have changed and are coded again" in corpus(capfd)
    assert all(is_of(codec, name) for name in FILES)
    Path("coded", NAME).unlink()
    assert "3 files were coded with other options and are coded again" in corpus(capfd, "--packet_s", "0.5")


def test_a_record_that_was_cut_off_is_read_as_far_as_it_goes(library, codec, capfd):
    corpus(capfd)
    data = Path("coded", NAME).read_bytes()
    Path("coded", NAME).write_bytes(data[:-20])
    assert corpus(capfd) == [f"{KEPT}, 1 of them without a record of how: their headers fit"]
    assert corpus(capfd) == [KEPT]


def test_two_at_once_are_one(library, codec, capfd):
    with Journal(Path("coded")):
        assert "coded: another process is coding into this folder" in complaint(
            capfd, "encode", "--corpus", "lib", "coded"
        )
    assert corpus(capfd)[-1].startswith("3 files, ")


def test_what_a_reader_warns_of_is_said_once(library, codec, capfd):
    data = (library / "a.wav").read_bytes()
    (library / "a.wav").write_bytes(data[:-400])
    warning = "warning: lib/a.wav: ends after 8900 samples, its header promises 9000"
    assert corpus(capfd).count(warning) == 1
    assert corpus(capfd, "--bitrate", "24").count(warning) == 1
    main(["encode", "lib/a.wav", "a.zac"])
    assert warning in capfd.readouterr().err.splitlines()


@pytest.mark.parametrize(("folders", "name"), [(("", "out"), "input"), ((".", ""), "output")])
def test_a_folder_without_a_name_is_not_the_one_where_the_command_runs(here, capfd, folders, name):
    before = sorted(here.iterdir())
    assert complaint(capfd, "encode", "--corpus", *folders) == f"error: the name of an {name} is empty\n"
    assert sorted(here.iterdir()) == before
