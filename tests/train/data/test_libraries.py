"""Libraries in stores and archives: prepared, trained on and measured as folders are."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from configs.base import Data
from evaluate.clips import clips_from_folder
from tests.audio_files import RATE, noise, write
from tests.train.test_prepare import contents, prepared, samples_of
from train import prepare
from train.data import make_source, packing, shards
from train.data.listing import Listing, Source, difference
from zoo import audio
from zoo.errors import ZooError
from zoo.library import copies


@pytest.fixture
def store(monkeypatch, tmp_path) -> MemoryFileSystem:
    """An empty store at memory://, and a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    return fs


@pytest.fixture
def library(tmp_path) -> Path:
    """Five files in two groups, and one that is no audio."""
    for n in range(5):
        write(tmp_path / "lib" / "ab"[n % 2] / f"{n}.{'wav' if n % 2 else 'flac'}", noise(3000 + 500 * n, seed=n))
    (tmp_path / "lib" / "a" / "broken.wav").write_text("no audio")
    return tmp_path / "lib"


def upload(fs: MemoryFileSystem, folder: Path, to: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"{to}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def tar_of(folder: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, path.relative_to(folder).as_posix())
    return stream.getvalue()


def parquet_of(folder: Path) -> bytes:
    """As the `datasets` library writes audio."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    rows = [{"bytes": path.read_bytes(), "path": path.name} for path in audio.find_files(folder)]
    pq.write_table(pa.table({"audio": rows, "text": ["a"] * len(rows)}), stream)
    return stream.getvalue()


# ---------------------------------------------------------------- preparing


def test_a_store_is_prepared_into_a_store_as_a_folder_into_a_folder(store, library, tmp_path, capsys):
    upload(store, library, "/in")
    out = prepared(library, tmp_path / "out", shard_mb=0.02).root
    options = prepare.Options("memory://in", "memory://out", sample_rate=RATE, workers=2, shard_mb=0.02)
    prepare.run(options)
    there = {path.removeprefix("/out/"): store.cat_file(path) for path in store.find("/out")}
    expected = contents(out)
    assert there.keys() == expected.keys()
    assert len(there) > 3
    for name in there:
        if name.endswith(".npy"):
            assert there[name] == expected[name]
    assert not list((tmp_path / "cache").rglob("*.npy"))  # nothing stays behind
    capsys.readouterr()
    prepare.run(options)
    assert "memory://out is prepared already, and intact: 5 files (1 left out)" in capsys.readouterr().out
    # training takes it from there
    source = make_source(
        Data("memory://out", segment_s=0.1), sample_rate=RATE, channels=1, hop_length=1, seed=0, on_note=print
    )
    own = make_source(Data(str(out), segment_s=0.1), sample_rate=RATE, channels=1, hop_length=1, seed=0)
    assert isinstance(source, shards.ShardCrops)
    np.testing.assert_array_equal(source[3]["audio"], own[3]["audio"])
    store.pipe_file("/out/shard-00001.npy", there["shard-00001.npy"][:-2] + b"xx")
    with pytest.raises(ZooError, match=r"memory://out/shard-00001.npy: this shard is damaged"):
        prepare.run(options)
    store.pipe_file("/in/a/new.wav", store.cat_file("/in/b/1.wav"))
    with pytest.raises(ZooError, match=r"was prepared from other files: a/new.wav is new"):
        prepare.run(options)


def test_a_store_that_breaks_down_goes_on_where_it_was(store, library, tmp_path, monkeypatch):
    out = prepared(library, tmp_path / "out", shard_mb=0.02).root
    put, left = MemoryFileSystem.put_file, 0

    def failing(self, *arguments, **options):
        nonlocal left
        left -= 1
        if left < 0:
            raise PermissionError("Access Denied")
        return put(self, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", failing)
    for n in range(len(contents(out))):
        left = 1 if n else 0
        with pytest.raises(ZooError, match=r"^memory://out/.*: cannot be written \(Access Denied\)$"):
            prepared_to_store(library)
    left = 100
    prepared_to_store(library)
    assert {path.removeprefix("/out/"): store.cat_file(path) for path in store.find("/out")} == contents(out)


def prepared_to_store(library: Path) -> None:
    prepare.run(prepare.Options(str(library), "memory://out", sample_rate=RATE, workers=2, shard_mb=0.02))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_recordings_in_archives_are_those_beside_them(library, tmp_path, kind):
    """Whatever the number of shards that an archive is spread over, and where the run was ended."""
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / f"all.{kind}").write_bytes(tar_of(library) if kind == "tar" else parquet_of(library))
    write(packed / "z.wav", noise(2000, seed=9))
    plain = prepared(library, tmp_path / "plain")
    index = prepared(packed, tmp_path / "out", shard_mb=0.02)
    names = [p.relative_to(library).as_posix() for p in audio.find_files(library)]
    kept = [n for n in range(len(names)) if "broken" not in names[n]]
    inside = [f"all.tar/{names[n]}" if kind == "tar" else f"all.parquet/{n}" for n in kept]
    assert [file["name"] for file in index.files] == [*inside, "z.wav"]
    for name, own in zip(inside, (names[n] for n in kept)):
        np.testing.assert_array_equal(samples_of(index, name), samples_of(plain, own))
    assert [(file["source"], "no audio" in file["reason"]) for file in index.skipped] == [(f"all.{kind}", False)]
    assert len({file["shard"] for file in index.files}) > 2
    prepared(packed, tmp_path / "out", shard_mb=0.02)  # is found as it was


def test_a_run_that_ended_within_an_archive_goes_on_to_the_same_shards(library, tmp_path, monkeypatch):
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "all.tar").write_bytes(tar_of(library))
    write(packed / "z.wav", noise(2000, seed=9))
    expected = contents(prepared(packed, tmp_path / "whole", shard_mb=0.02).root)
    write_shard, left = packing.Packer._write, 0

    def failing(self, *arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        return write_shard(self, *arguments)

    monkeypatch.setattr(packing.Packer, "_write", failing)
    out = tmp_path / "out"
    for n in range(len(expected) - 1):
        left = 1 if n else 0
        with pytest.raises(ZooError, match="no space left"):
            prepared(packed, out, shard_mb=0.02)
        for part in (out / ".prepare" / "parts").iterdir():
            part.unlink()  # as after a loss of power
    left = 100
    assert contents(prepared(packed, out, shard_mb=0.02).root) == expected


def test_a_listing_takes_little_memory_and_tells_what_is_different(tmp_path):
    sources = [Source(f"folder/{n // 100:04d}/recording-{n:07d}.flac", n, n) for n in range(20_000)]
    tracemalloc.start()
    listing = Listing(Source(f"folder/{n // 100:04d}/recording-{n:07d}.flac", n, n) for n in range(20_000))
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / len(listing) < 150  # bytes a file: 0.15 GB for a million
    assert listing[7] == sources[7]
    assert listing[3:5] == sources[3:5]
    assert listing.n_bytes(2, 5) == 2 + 3 + 4
    assert difference(iter(sources), listing) is None
    assert difference(sources[1:], listing) == f"{sources[0].name} is new"
    assert difference(sources, sources[:-1]) == f"{sources[-1].name} is gone"
    assert difference([Source("a", 1, 2)], [Source("a", 1, 3)]) == "a has changed"


def test_preparing_holds_a_library_once_whatever_the_number_of_its_files(tmp_path, monkeypatch):
    """A listing takes some 150 bytes a file; a record of one that is done, as Python has it, would take a thousand."""

    def decode(self, store, number, source, settings, stop):
        self.samples_path(number).write_bytes(b"12")
        record = {"name": source.name, "bytes": source.bytes, "mtime_ns": source.mtime_ns, "frames": 1}
        self.record_path(number).write_text(json.dumps(record))
        return record

    monkeypatch.setattr(packing.Workspace, "decode", decode)

    def peak(n: int) -> int:
        names = (f"folder/{i // 100:04d}/recording-{i:07d}.flac" for i in range(n))
        monkeypatch.setattr("train.data.listing.of_folder", lambda _: Listing(Source(name, 1, 2) for name in names))
        tracemalloc.start()
        options = prepare.Options(str(tmp_path / "in"), str(tmp_path / str(n)), workers=1, shard_mb=2e-4)
        prepare.run(options)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(200)  # what is imported and made but once
    assert (peak(2200) - peak(200)) / 2000 < 300


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
    assert any("../../escaped.wav: is no name of a file below a folder" in line for line in said)
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
        assert "1 files have more than two channels, " in said[0]
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
