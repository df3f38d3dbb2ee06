"""`python -m train prepare`: the same shards whatever happens on the way, and a line for whatever cannot be."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.audio_files import RATE, noise, write
from train import prepare
from train.data import packing, shards
from zoo import audio
from zoo.errors import ZooError


def prepared(root: Path, out: Path, **options) -> shards.Index:
    prepare.run(prepare.Options(str(root), str(out), **{"sample_rate": RATE, "workers": 2, **options}))
    index = shards.read_index(out)
    assert index is not None
    return index


def samples_of(index: shards.Index, name: str) -> np.ndarray:
    (file,) = [f for f in index.files if f["name"] == name]
    return index.open_shard(file["shard"])[file["start"] : file["start"] + file["frames"]]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Mixed rates, channels, formats and lengths; one file is no audio, one is shorter than it says."""
    root = tmp_path_factory.mktemp("library")
    write(root / "music" / "a.flac", noise(70000, 2, seed=1), 22050)
    write(root / "music" / "deep" / "b.ogg", noise(20000, 1, seed=2), 16000)
    write(root / "speech" / "c.wav", noise(9000, 1, seed=3))
    write(root / "speech" / "ø.wav", noise(5000, 2, seed=4), 48000, subtype="FLOAT")
    write(root / "d.mp3", noise(30000, 1, seed=5), 44100)
    for n in range(8):
        write(root / "many" / f"{n}.flac", noise(3000 + 100 * n, 1, seed=6 + n))
    (root / "speech" / "bad.flac").write_text("no audio")
    write(root / "speech" / "cut.wav", noise(4000, seed=20))
    cut = (root / "speech" / "cut.wav").read_bytes()
    (root / "speech" / "cut.wav").write_bytes(cut[:-2000])
    return root


@pytest.fixture(scope="module")
def undisturbed(library, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "shards"
    prepared(library, out, shard_mb=0.03)
    return out


@pytest.fixture
def small(tmp_path) -> Path:
    write(tmp_path / "in" / "a.wav", noise(4000))
    return tmp_path / "in"


# ---------------------------------------------------------------- what lies in a prepared folder


def test_every_file_is_itself_resampled_and_rounded(library, undisturbed):
    index = shards.read_index(undisturbed)
    names = [p.relative_to(library).as_posix() for p in audio.find_files(library)]
    assert [f["name"] for f in index.files] == [n for n in names if n != "speech/bad.flac"]
    for name in ("music/a.flac", "music/deep/b.ogg", "speech/c.wav", "speech/ø.wav", "many/3.flac", "d.mp3"):
        file = audio.read(library / name, channels=1)
        whole = audio.resample(file.samples, file.sample_rate, RATE)
        np.testing.assert_allclose(samples_of(index, name), whole * 32768, rtol=0, atol=0.501)
    # files lie one behind the other and fill their shards, which end before they grow beyond their size
    ends = [0] * len(index.shards)
    for file in index.files:
        assert file["start"] == ends[file["shard"]]
        ends[file["shard"]] += file["frames"]
        stat = (library / file["name"]).stat()
        assert (file["bytes"], file["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)
    assert ends == [shard["frames"] for shard in index.shards]
    assert len(ends) > 3
    for number, frames in enumerate(ends):
        inside = [f["frames"] for f in index.files if f["shard"] == number]
        assert 2 * frames <= 0.03e6 or len(inside) == 1
        if number + 1 < len(ends):
            assert 2 * (frames + next(f["frames"] for f in index.files if f["shard"] == number + 1)) > 0.03e6
    assert {f["name"]: f["group"] for f in index.files if "/" not in f["name"] or "deep" in f["name"]} == {
        "d.mp3": "", "music/deep/b.ogg": "music",
    }  # fmt: skip
    # the format is numpy's own
    assert np.load(undisturbed / "shard-00000.npy").dtype == np.int16
    assert sorted(p.name for p in undisturbed.iterdir()) == ["index.json", *(s["name"] for s in index.shards)]


def test_what_cannot_be_read_is_named_and_written_down(library, tmp_path, capsys):
    index = prepared(library, tmp_path / "out")
    assert [(s["name"], "speech/bad.flac" in s["reason"]) for s in index.skipped] == [("speech/bad.flac", True)]
    (cut,) = [f for f in index.files if f["name"] == "speech/cut.wav"]
    assert cut["frames"] == 3000
    assert "promises 4000" in cut["note"]
    said = capsys.readouterr()
    assert len([line for line in said.err.splitlines() if "bad.flac" in line or "cut.wav" in line]) == 2
    assert "14 files (1 left out)" in said.out
    assert str(library) not in (tmp_path / "out" / "index.json").read_text()  # a library may be moved


def test_links_are_followed_and_those_that_lead_nowhere_named(small, tmp_path):
    (small / "link.wav").symlink_to(small / "a.wav")
    (small / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (small / "loop.wav").symlink_to(small / "loop.wav")
    index = prepared(small, tmp_path / "out")
    assert [f["name"] for f in index.files] == ["a.wav", "link.wav"]
    assert [(s["name"], s["reason"]) for s in index.skipped] == [
        ("gone.wav", "gone.wav: no such file"),
        ("loop.wav", "loop.wav: cannot be read (Too many levels of symbolic links)"),
    ]
    prepared(small, tmp_path / "out")  # finds it as it was


def test_peaks_above_one_are_scaled_down_and_others_kept(tmp_path):
    loud = noise(5000, 2, level=0.5)
    assert np.abs(loud).max() > 1.5
    write(tmp_path / "in" / "loud.wav", loud, subtype="FLOAT")
    soft = (np.random.default_rng(1).integers(-32768, 32768, (4000, 2))).astype(np.int16)
    write(tmp_path / "in" / "soft.wav", soft)
    index = prepared(tmp_path / "in", tmp_path / "out", channels=2)
    np.testing.assert_array_equal(samples_of(index, "soft.wav"), soft)
    scaled = loud / np.abs(loud).max() * 32768
    np.testing.assert_allclose(samples_of(index, "loud.wav"), scaled.clip(-32768, 32767), atol=0.51)
    gains = {f["name"]: f.get("gain_db") for f in index.files}
    assert gains == {"loud.wav": pytest.approx(-20 * np.log10(np.abs(loud).max()), abs=1e-3), "soft.wav": None}


def test_a_file_that_does_not_fit_in_memory_goes_over_the_disk(tmp_path, monkeypatch):
    write(tmp_path / "in" / "long.wav", noise(300_000, 2, level=0.4), 16000, subtype="FLOAT")
    whole = prepared(tmp_path / "in", tmp_path / "whole")
    monkeypatch.setattr(packing, "_SPOOL_BYTES", 1000)
    monkeypatch.setattr(packing, "_COPY_BYTES", 4096)
    monkeypatch.setattr(packing, "BLOCK", 1000)
    assert contents(prepared(tmp_path / "in", tmp_path / "pieces").root) == contents(whole.root)


# ---------------------------------------------------------------- runs that end early


@pytest.mark.parametrize("workers", [1, 5])
def test_the_number_of_workers_changes_nothing(library, undisturbed, tmp_path, workers):
    assert contents(prepared(library, tmp_path / "out", shard_mb=0.03, workers=workers).root) == contents(undisturbed)


def test_a_run_stopped_before_any_of_its_writes_goes_on_to_the_same_shards(library, undisturbed, tmp_path, monkeypatch):
    """Each run may rename five files, then its disk is full; a file has its own name only when it is complete."""
    replace, left = os.replace, 0

    def failing(source, target):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    out, runs, said = tmp_path / "out", 0, set()
    while not (out / "index.json").exists():
        left, runs = 5, runs + 1
        try:
            prepared(library, out, shard_mb=0.03)
        except ZooError as error:
            said.add(str(error))
            with pytest.raises(ZooError, match="has not finished"):
                shards.read_index(out)
    assert runs > 5
    again = "run the same command again and it goes on from here"
    assert said == {f"{out}: cannot be written (no space left on the device); {again}"}
    assert contents(out) == contents(undisturbed)


def test_a_killed_run_goes_on_to_the_same_shards(library, undisturbed, tmp_path):
    out = tmp_path / "out"
    slowly = (
        "import sys, time; from train.data import packing; decode = packing.Workspace.decode\n"
        "packing.Workspace.decode = lambda *a: (time.sleep(0.03), decode(*a))[1]\n"
        "from train import prepare; prepare.main(sys.argv[1:])"
    )
    arguments = [str(library), str(out), "--sample_rate", str(RATE), "--shard_mb", "0.03", "--workers", "2"]
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", slowly, *arguments], cwd=root, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (out / "shard-00001.npy").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert not (out / "index.json").exists()
    (out / ".prepare" / "parts" / "0000012.pcm").write_bytes(b"what was left of a part")
    assert contents(prepared(library, out, shard_mb=0.03).root) == contents(undisturbed)


def test_a_finished_folder_is_checked_and_left_as_it_is(library, tmp_path, capsys):
    out = prepared(library, tmp_path / "out").root
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    prepared(library, out)
    assert "prepared already, and intact: 14 files (1 left out)" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    shard = out / "shard-00000.npy"
    data = bytearray(shard.read_bytes())
    data[5000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ZooError, match=r"shard-00000.npy: this shard is damaged \(its checksum differs\)"):
        prepared(library, out)


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "--sample_rate must be at least 1, got 0"),
        ({"channels": -1}, "--channels must be at least 1, got -1"),
        ({"workers": 0}, "--workers must be at least 1, got 0"),
        ({"shard_mb": 0.0}, "--shard_mb must be positive, got 0.0"),
    ],
)
def test_numbers_that_make_no_sense(small, tmp_path, options, message):
    with pytest.raises(ZooError, match=message):
        prepared(small, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be(small, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "a.wav").write_text("no audio")
    out = tmp_path / "out"
    cases = [
        (tmp_path / "nowhere", out, "nowhere: no such folder"),
        (tmp_path / "empty", out, "empty: holds no audio files"),
        (small, small / "out", "out lies in .*: its shards would be part of the library"),
        (small, small, "in lies in .*: its shards would be part of the library"),
        (small, tmp_path / "file", "file: is a file; prepare writes a folder"),
        (small, tmp_path / "other", "other: is neither empty nor a prepared folder"),
        (tmp_path / "unreadable", out, "none of its 1 audio files can be read"),
    ]
    for root, target, message in cases:
        with pytest.raises(ZooError, match=message):
            prepared(root, target)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.txt"]
    assert sorted(p.name for p in small.iterdir()) == ["a.wav"]


def test_another_library_or_other_settings_are_refused(small, tmp_path, monkeypatch):
    finished, begun = tmp_path / "finished", tmp_path / "begun"
    prepared(small, finished)
    with monkeypatch.context() as patch:
        patch.setattr(packing.Packer, "finish", lambda self: os.kill(os.getpid(), signal.SIGINT) or time.sleep(5))
        with pytest.raises(ZooError, match="interrupted; run the same command again"):
            prepared(small, begun)
    for out in (finished, begun):
        with pytest.raises(
            ZooError, match=r"was prepared with sample_rate 8000, channels 1.* is sample_rate 8000, channels 2"
        ):
            prepared(small, out, channels=2)
    write(small / "b.wav", noise(100))
    for out in (finished, begun):
        with pytest.raises(ZooError, match=r"was prepared from other files: b.wav is new"):
            prepared(small, out)
    (small / "b.wav").unlink()
    os.utime(small / "a.wav", (1, 1))
    for out in (finished, begun):
        with pytest.raises(ZooError, match=r"was prepared from other files: a.wav has changed"):
            prepared(small, out)


def test_two_at_once_in_one_folder_are_refused(small, tmp_path):
    workspace = packing.Workspace(tmp_path / "out")
    workspace.parts.mkdir(parents=True)
    with (
        prepare._alone(workspace.folder / "lock", tmp_path / "out"),
        pytest.raises(ZooError, match="another process is preparing this folder"),
    ):
        prepared(small, tmp_path / "out")
    assert prepared(small, tmp_path / "out").files[0]["frames"] == 4000


def test_the_command_line(small, tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "train", "prepare"]
    wrong = subprocess.run([*command, str(small), str(small)], cwd=root, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")
    assert wrong.stderr.count("\n") == 1
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "train", "prepare", "--help"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0
    assert "--shard_mb" in shown.stdout
    assert not {"jax", "numpy", "soundfile"} & {line.split()[-1] for line in shown.stderr.splitlines()}
    right = subprocess.run([*command, str(small), str(tmp_path / "o")], cwd=root, capture_output=True, text=True)
    assert (right.returncode, json.loads((tmp_path / "o" / "index.json").read_text())["sample_rate"]) == (0, 24000)
    assert "prepared 1 file, 0.00 hours at 24000 Hz" in right.stdout
