"""Shards are read by the programs that they are for, and give back their rows here."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.tokenise import from_record, read
from zoo.tokenise.formats import FIELDS, WRITERS
from zoo.tokenise.rows import Row, from_about
from zoo.tokenise.tracks import Spool


def row(number: int, values: np.ndarray, **changes) -> Row:
    made = {
        "key": f"a.b/{number}.wav", "source": "ü ä", "part": 0, "last": True, "samples": 100 * number,
        "sample_rate": 8_000, "channels": 2, "source_channels": 6, "layout": "FL FR FC LFE SL SR",
        "codec": "0f" * 16, "level": 3, "packet_frames": 200, "mid_side": True, **changes,
    }  # fmt: skip
    return Row(**made, values=values)


CODES = [row(n, np.random.default_rng(n).integers(0, 999, (2, n + 1, 4)).astype(np.int16)) for n in range(5)]
WIDE = [row(n, one.values.astype(np.int32) + 70_000) for n, one in enumerate(CODES)]
LATENTS = [row(n, one.values.astype(np.float16) / 7, level=-1) for n, one in enumerate(CODES)]


@pytest.mark.parametrize("rows", [CODES, WIDE, LATENTS], ids=["int16", "int32", "float16"])
@pytest.mark.parametrize("kind", WRITERS)
def test_rows_come_back(tmp_path, kind, rows):
    pytest.importorskip({"parquet": "pyarrow", "arrayrecord": "array_record"}.get(kind, "numpy"))
    files = WRITERS[kind](rows)
    assert WRITERS[kind](rows) == files  # the same bytes each time
    for suffix, data in files.items():
        (tmp_path / f"x{suffix}").write_bytes(data)
    back = list(read(tmp_path / f"x{[*files][-1]}"))
    assert len(back) == len(rows)
    for one, other in zip(back, rows):
        assert one.about() == other.about()
        assert one.values.dtype == other.values.dtype
        np.testing.assert_array_equal(one.values, other.values)


def test_rows_that_are_put_aside_are_not_in_memory():
    tracemalloc.start()
    spool = Spool()
    for number in range(20):
        spool.add(row(number, np.full((1, 1 << 14, 32), number, np.int16), last=number == 19))  # a megabyte
    assert tracemalloc.get_traced_memory()[0] < 3e6
    tracemalloc.stop()
    assert [int(one.values.max()) for one in spool.rows()] == [*range(20)]
    spool.close()
    assert [*spool.rows()] == []


@pytest.mark.parametrize("name", ["x.parquet", "x.tar", "x.jsonl", "x.arrayrecord", "x.txt"])
def test_what_is_no_shard_is_one_line(tmp_path, name):
    pytest.importorskip("pyarrow")
    pytest.importorskip("array_record")
    (tmp_path / "x.npy").write_bytes(b"")
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ZooError) as error:
        list(read(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_row_without_one_of_its_fields_is_named():
    about = CODES[0].about()
    del about["samples"]
    with pytest.raises(ZooError, match="samples"):
        from_about(about, CODES[0].values)


def test_datasets_and_pyarrow_read_the_folder(tokenise, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    tokenise("out")
    table = pq.read_table("out/data")
    assert table.column_names == [*FIELDS, "codes"]
    rows = [row for shard in sorted(Path("out/data").iterdir()) for row in read(shard)]
    for record, made in zip(table.to_pylist(), rows):
        assert record["duration"] == made.samples / made.sample_rate
        np.testing.assert_array_equal(np.reshape(record["codes"], record["shape"]), made.values)
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(Path("out").absolute()), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["key"][:] == [made.key for made in rows]
    np.testing.assert_array_equal(np.reshape(loaded[1]["codes"], loaded[1]["shape"]), rows[1].values)
    streamed = datasets.load_dataset(str(Path("out").absolute()), split="train", streaming=True)
    assert [record["samples"] for record in streamed] == [made.samples for made in rows]


def test_datasets_writes_what_is_read(tokenise, library):
    """Audio in a column, as the library packs it: bytes, with the name of the file."""
    datasets = pytest.importorskip("datasets")
    names = ["a.wav", "b/b.flac"]
    packed = [{"bytes": (library / name).read_bytes(), "path": name} for name in names]
    Path("packed").mkdir()
    # what it makes of its type Audio too, which takes a decoder of its own
    datasets.Dataset.from_dict({"id": [1, 2], "audio": packed}).to_parquet("packed/x.parquet")
    tokenise("plain")
    tokenise("out", source="packed")
    plain = {made.key: made for shard in sorted(Path("plain/data").iterdir()) for made in read(shard)}
    found = [made for shard in sorted(Path("out/data").iterdir()) for made in read(shard)]
    assert [made.key for made in found] == ["x.parquet/0", "x.parquet/1"]
    assert found[0].source == "x.parquet/0 (a.wav)"
    for made, name in zip(found, names):
        np.testing.assert_array_equal(made.values, plain[name].values)


def test_grain_reads_records(tokenise):
    pytest.importorskip("array_record")
    grain = pytest.importorskip("grain")
    tokenise("out", "--format", "arrayrecord")
    shards = [str(path) for path in sorted(Path("out/data").iterdir())]
    source = grain.MapDataset.source(grain.sources.ArrayRecordDataSource(shards)).map(from_record)
    keys = json.loads(Path("out/manifest.json").read_text())["rows"]
    assert len(source) == keys == 5
    assert source[1].key == "b/b.flac"
    assert dataclasses.asdict(source[1])["samples"] == 20_800


def test_rows_of_an_earlier_version_say_nothing_of_loudspeakers(tmp_path):
    about = CODES[1].about()
    del about["layout"]
    assert from_about(about, CODES[1].values).layout == ""
    shard = tmp_path / "a.parquet"
    shard.write_bytes(WRITERS["parquet"](CODES)[".parquet"])
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pq.read_table(shard).drop_columns(["layout"]), shard)
    assert [found.layout for found in read(shard)] == [""] * len(CODES)
