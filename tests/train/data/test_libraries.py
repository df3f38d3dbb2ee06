"""Libraries in stores and archives are trained on and measured as folders are; channels and streams that are taken."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from configs.base import Data
from evaluate.clips import clips_from_folder
from tests.audio_files import RATE, noise, write
from tests.train.libraries import parquet_of, tar_of, upload
from tests.train.test_prepare import prepared, samples_of
from train import prepare
from train.data import make_source
from zoo import audio
from zoo.errors import ZooError
from zoo.library import copies

# ---------------------------------------------------------------- training and measuring


def crops(root: str, **options) -> np.ndarray:
    source = make_source(
        Data(root, segment_s=0.1, **options), sample_rate=RATE, channels=1, hop_length=1, seed=0,
        on_skip=lambda *_: None, on_note=lambda _: None,
    )  # fmt: skip
    return source.batch(range(20))["audio"]


def test_a_store_and_archives_are_trained_on_by_a_copy(store, library, tmp_path):
    upload(store, library, "/in")
    expected = crops(str(library))
    np.testing.assert_array_equal(crops("memory://in"), expected)
    store.pipe_file("/tars/x.tar", tar_of(library))
    found = copies.folder("memory://tars")
    assert [p.relative_to(found).as_posix() for p in audio.find_files(found)] == [
        f"x.tar/{p.relative_to(library).as_posix()}" for p in audio.find_files(library)
    ]
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "x.tar").write_bytes(tar_of(library))
    np.testing.assert_array_equal(crops(str(tmp_path / "tars")), crops("memory://tars"))
    # one beside audio files is none of the library
    write(tmp_path / "tars" / "y.wav", noise(3000))
    assert copies.folder(tmp_path / "tars") == tmp_path / "tars"


def test_a_copy_is_what_the_store_is_now_and_fetches_no_more_than_is_new(store, library, monkeypatch):
    upload(store, library, "/in")
    said: list[str] = []
    folder = copies.folder("memory://in", say=said.append)
    assert contents_below(folder) == contents_below(library)
    assert len(said) == 1
    assert said[0].startswith("copying 6 files, 0 MB, of memory://in to ")
    asked: list[str] = []
    cat_file = MemoryFileSystem.cat_file

    def watched(self, path, *arguments, **options):
        asked.append(path)
        return cat_file(self, path, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", watched)
    assert copies.folder("memory://in", say=said.append) == folder
    assert (asked, len(said)) == ([], 1)
    store.pipe_file("/in/b/1.wav", (library / "b" / "3.wav").read_bytes())
    store.rm_file("/in/a/0.flac")
    (folder / "a" / "2.flac").unlink()
    copies.folder("memory://in")
    assert sorted({path.rpartition("/")[2] for path in asked}) == ["1.wav", "2.flac"]
    assert (folder / "b" / "1.wav").read_bytes() == (library / "b" / "3.wav").read_bytes()
    assert not (folder / "a" / "0.flac").exists()
    # a line that an interruption cut short costs its own file
    journal = folder.parent / "copied.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    asked.clear()
    copies.folder("memory://in")
    assert len(set(asked)) == 1


def contents_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_writes_nowhere_else(store, tmp_path):
    stream = io.BytesIO()
    write(tmp_path / "a.wav", noise(100))
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("../../escaped.wav", "/root.wav", "good.wav"):
            archive.add(tmp_path / "a.wav", name, filter=None)
            archive.members[-1].name = name
    store.pipe_file("/in/x.tar", stream.getvalue())
    said: list[str] = []
    folder = copies.folder("memory://in", say=said.append)
    assert (folder / "x.tar" / "good.wav").is_file()
    assert any("../../escaped.wav: has a name that leads out of its archive" in line for line in said)
    outside = [path for path in (tmp_path / "cache").rglob("*.wav") if not path.is_relative_to(folder)]
    assert not outside
    assert all(path.is_relative_to(folder / "x.tar") for path in folder.rglob("*.wav"))


def test_a_store_is_measured_as_a_folder_is(store, library, capsys):
    upload(store, library, "/in")
    here, there = clips_from_folder(library, limit=4), clips_from_folder("memory://in", limit=4)
    assert [(clip.name, clip.domain) for clip in there] == [(clip.name, clip.domain) for clip in here]
    for one, other in zip(here, there):
        np.testing.assert_array_equal(one.samples, other.samples)
    store.pipe_file("/flat/speech/a.wav", store.cat_file("/in/b/1.wav"))
    assert [clip.domain for clip in clips_from_folder("memory://flat/speech")] == ["speech"]
    store.pipe_file("/table/test.parquet", parquet_of(library))
    assert [clip.name for clip in clips_from_folder("memory://table")] == [
        f"test.parquet/{n}{p.suffix}" for n, p in enumerate(audio.find_files(library)) if p.name != "broken.wav"
    ]
    capsys.readouterr()


class Locked(MemoryFileSystem):
    protocol = "locked"

    def find(self, path, **options):
        raise PermissionError("Access Denied")

    def info(self, path, **options):
        if "nowhere" in path:
            raise FileNotFoundError(path)
        return {"type": "directory", "name": path}


def test_what_cannot_be_reached_is_one_line(store, tmp_path, monkeypatch):
    fsspec.register_implementation("locked", Locked, clobber=True)
    store.pipe_file("/text/readme.txt", b"")
    out = str(tmp_path / "out")
    cases = {
        "locked://bucket/x": r"^locked://bucket/x: cannot be read \(Access Denied\)$",
        "locked://nowhere": r"^locked://nowhere: there is nothing there$",
        "memory://text": r"^memory://text: holds no audio files, nor tar archives or Parquet of them$",
        "nosuch://x": r"^nosuch://x: no store of this kind is known",
    }
    for place, message in cases.items():
        for use in (
            lambda place=place: prepare.run(prepare.Options(place, out, sample_rate=RATE)),
            lambda place=place: crops(place),
            lambda place=place: clips_from_folder(place),
        ):
            with pytest.raises(ZooError, match=message):
                use()
    assert not Path(out).exists()
    with pytest.raises(ZooError, match=r"memory://in/out lies in memory://in"):
        prepare.run(prepare.Options("memory://in", "memory://in/out", sample_rate=RATE))
    store.pipe_file("/taken/thesis.txt", b"")
    write(tmp_path / "lib" / "a.wav", noise(1000))
    with pytest.raises(ZooError, match=r"memory://taken: is neither empty nor a prepared folder"):
        prepare.run(prepare.Options(str(tmp_path / "lib"), "memory://taken", sample_rate=RATE))


# ---------------------------------------------------------------- channels


def test_more_than_two_channels_are_mixed_or_the_first_taken(tmp_path, capsys):
    six = np.round(noise(4000, 6, level=0.1) * 32768) / 32768
    write(tmp_path / "lib" / "six.wav", six)
    root = str(tmp_path / "lib")
    stored = audio.read(tmp_path / "lib" / "six.wav")
    for downmix in ("mix", "first"):
        expected = audio.read(tmp_path / "lib" / "six.wav", channels=2, downmix=downmix).samples
        index = prepared(Path(root), tmp_path / downmix, channels=2, downmix=downmix)
        np.testing.assert_allclose(samples_of(index, "six.wav") / 32768, expected, atol=1 / 32768)
        assert json.loads((tmp_path / downmix / "index.json").read_text())["downmix"] == downmix
        what = {"mix": "mixed to 2 (ITU-R BS.775)", "first": "the first 2 taken"}[downmix]
        assert index.files[0]["channels"] == f"6 channels (FL FR FC LFE BL BR), {what}"
        assert f"1 file of {index.files[0]['channels']}" in capsys.readouterr().out
        (clip,) = clips_from_folder(root, downmix=downmix)
        np.testing.assert_array_equal(clip.mixed(2), expected)
        said: list[str] = []
        source = make_source(
            Data(root, segment_s=0.5, downmix=downmix, gain_db=0.0), sample_rate=RATE, channels=2, hop_length=1, seed=0,
            on_note=said.append,
        )  # fmt: skip
        assert len(said) == 1
        assert "1 file has more than two channels, " in said[0]
        np.testing.assert_array_equal(source[0]["audio"], expected)
    np.testing.assert_array_equal(audio.read(tmp_path / "lib" / "six.wav", channels=2, downmix="first").samples,
                                  stored.samples[:, :2])  # fmt: skip
    with pytest.raises(ZooError, match=r"prepared with .*downmix first; asked for is .*downmix mix"):
        prepared(Path(root), tmp_path / "first", channels=2)


def test_a_stream_of_films_is_chosen(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "lib").mkdir()
    loud = [noise(8000, level=level) for level in (0.05, 0.5)]
    with av.open(str(tmp_path / "lib" / "two.mka"), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in loud]
        for stream, samples in zip(streams, loud):
            data = (samples.T.clip(-1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    root = tmp_path / "lib"
    rms = []
    for number in (None, 1):
        index = prepared(root, tmp_path / f"out-{number}", stream=number)
        (clip,) = clips_from_folder(root, stream=number)
        crop = crops(str(root), stream=number, gain_db=0.0)
        rms.append([np.std(x) for x in (samples_of(index, "two.mka") / 32768, clip.samples, crop)])
    np.testing.assert_allclose(rms[0], np.std(loud[0]), rtol=0.05)
    np.testing.assert_allclose(rms[1], np.std(loud[1].clip(-1, 1)), rtol=0.05)
