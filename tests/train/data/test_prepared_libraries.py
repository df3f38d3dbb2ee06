"""Libraries in stores and archives are prepared as folders are, at the memory of one listing."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from configs.base import Data
from tests.audio_files import RATE, noise, write
from tests.train.libraries import parquet_of, tar_of, upload
from tests.train.test_prepare import contents, prepared, samples_of
from train import prepare
from train.data import make_source, packing, shards
from train.data.listing import Listing, Source, difference
from zoo import audio
from zoo.errors import ZooError


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

    peak(100)  # what is imported and made but once
    assert (peak(900) - peak(100)) / 800 < 300
