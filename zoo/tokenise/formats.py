"""Shards of rows as bytes, in four formats that others read; docs/tokens.md has the schema of each.

parquet      a table: `datasets`, pyarrow, Spark, DuckDB
webdataset   a tar of NUMBER.npy and NUMBER.json
npy          one flat array of all values, to be mapped into memory, and a line of JSON for each row
arrayrecord  records of an array and its JSON: grain
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo.console import extras
from zoo.errors import ZooError, one_line
from zoo.tokenise.rows import FIELDS, Row, from_about

Format = Literal["parquet", "webdataset", "npy", "arrayrecord"]
Files = dict[str, bytes]
"""end of a name → contents"""
_GROUP_ROWS, _GROUP_BYTES = 1024, 1 << 23
"""of Parquet, which is written and read group by group: as many rows at most, and as many bytes unless it is one row"""


def values_name(row: Row) -> str:
    """What a row's values are called where they have a name."""
    return "latents" if row.level < 0 else "codes"


def to_parquet(rows: Sequence[Row]) -> Files:
    """Columns of FIELDS, and `codes` (or `latents`) as a list of `shape` in the order of C."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "key": pa.string(), "source": pa.string(), "part": pa.int32(), "last": pa.bool_(), "samples": pa.int64(),
        "duration": pa.float64(), "sample_rate": pa.int32(), "channels": pa.int32(), "source_channels": pa.int32(),
        "layout": pa.string(), "codec": pa.string(), "level": pa.int32(), "packet_frames": pa.int32(),
        "mid_side": pa.bool_(), "shape": pa.list_(pa.int32()),
    }  # fmt: skip
    name = values_name(rows[0])
    schema = pa.schema([*kinds.items(), (name, pa.list_(pa.from_numpy_dtype(rows[0].values.dtype)))])
    stream = io.BytesIO()
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for group in _groups(rows):  # what is copied on the way is one of them, not all rows
            abouts = [row.about() for row in group]
            columns = [pa.array([about[field] for about in abouts], kind) for field, kind in kinds.items()]
            offsets = np.cumsum([0, *(row.values.size for row in group)]).astype(np.int32)
            values = pa.ListArray.from_arrays(pa.array(offsets), pa.array(_flat(group)))
            writer.write_table(pa.table([*columns, values], schema=schema))
    return {".parquet": stream.getvalue()}


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    n_bytes = 0
    for row in rows:
        if group and (len(group) == _GROUP_ROWS or n_bytes + row.values.nbytes > _GROUP_BYTES):
            yield group
            group, n_bytes = [], 0
        group.append(row)
        n_bytes += row.values.nbytes
    yield group


def from_parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        name = next((name for name in ("codes", "latents") if name in table.schema_arrow.names), None)
        fields = [field for field in FIELDS if field in table.schema_arrow.names]
        if name is None or not {*FIELDS} - {"layout"} <= {*fields}:
            raise ZooError(f"holds no tokens; its columns: {', '.join(table.schema_arrow.names)}"[:300])
        for batch in table.iter_batches(batch_size=16, columns=[*fields, name]):
            values = batch.column(name)
            for index, about in enumerate(batch.select(fields).to_pylist()):
                yield from_about(about, values[index].values.to_numpy(zero_copy_only=False))


def to_webdataset(rows: Sequence[Row]) -> Files:
    """NUMBER.json, what `Row.about` says, and NUMBER.npy, for each row: keys may have dots, so they are in there."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, row in enumerate(rows):
            for suffix, data in (("json", json.dumps(row.about()).encode()), ("npy", _npy(row.values))):
                member = tarfile.TarInfo(f"{number:08d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return {".tar": stream.getvalue()}


def from_webdataset(path: Path) -> Iterator[Row]:
    about: dict[str, Any] | None = None
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is None:
                continue
            if member.name.endswith(".json"):
                about = json.loads(stream.read())
            elif member.name.endswith(".npy") and about is not None:
                yield from_about(about, np.load(io.BytesIO(stream.read()), allow_pickle=False))
                about = None


def to_npy(rows: Sequence[Row]) -> Files:
    """All values in one flat array; each line of the other file has the offset of its row's in it."""
    stream = io.BytesIO()
    np.save(stream, _flat(rows))
    lines, offset = [], 0
    for row in rows:
        lines.append(json.dumps({**row.about(), "offset": offset}))
        offset += row.values.size
    return {".npy": stream.getvalue(), ".jsonl": ("\n".join(lines) + "\n").encode()}


def from_npy(path: Path) -> Iterator[Row]:
    """The rows of a .jsonl file, and of the .npy file beside it."""
    values = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
    for line in path.read_text(encoding="utf-8").splitlines():
        about = json.loads(line)
        size = int(np.prod(about["shape"]))
        yield from_about(about, values[about["offset"] : about["offset"] + size])


def to_arrayrecord(rows: Sequence[Row]) -> Files:
    """Records that `from_record` reads."""
    from array_record.python.array_record_module import ArrayRecordWriter

    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        place = Path(folder, "shard")
        writer = ArrayRecordWriter(str(place), "group_size:1")
        for row in rows:
            writer.write(_npy(row.values) + _npy(np.frombuffer(json.dumps(row.about()).encode(), np.uint8)))
        writer.close()
        return {".arrayrecord": place.read_bytes()}


def from_arrayrecord(path: Path) -> Iterator[Row]:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    try:
        for _ in range(reader.num_records()):
            yield from_record(reader.read())
    finally:
        reader.close()


def from_record(record: bytes) -> Row:
    """The row of a record, as `grain.sources.ArrayRecordDataSource` gives it; raises ZooError for what is none."""
    stream = io.BytesIO(record)
    try:
        values = np.lib.format.read_array(stream, allow_pickle=False)
        about = json.loads(np.lib.format.read_array(stream, allow_pickle=False).tobytes())
    except (ValueError, EOFError) as error:
        raise ZooError(f"is no record of tokens ({one_line(error)})") from None
    return from_about(about, values)


def _flat(rows: Sequence[Row]) -> np.ndarray:
    return np.concatenate([row.values.reshape(-1) for row in rows])


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


WRITERS: dict[Format, Callable[[Sequence[Row]], Files]] = {
    "parquet": to_parquet,
    "webdataset": to_webdataset,
    "npy": to_npy,
    "arrayrecord": to_arrayrecord,
}
READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": from_parquet,
    ".tar": from_webdataset,
    ".jsonl": from_npy,
    ".arrayrecord": from_arrayrecord,
}
"""by the end of a shard's name"""
BESIDE = {".jsonl": ".npy"}
"""ends of the names of two files that are one shard"""


def require(kind: Format) -> None:
    """Raises ZooError where the packages that a format takes are missing."""
    if kind == "parquet":
        extras.require("tokens")
    elif kind == "arrayrecord":
        extras.require("arrayrecord")


def read(path: Path) -> Iterator[Row]:
    """The rows of a shard; raises ZooError, which does not name it, for what is none or is damaged."""
    kind: dict[str, Format] = {".parquet": "parquet", ".arrayrecord": "arrayrecord"}
    if path.suffix not in READERS:
        raise ZooError("is no shard of tokens by its name")
    if path.suffix in kind:
        require(kind[path.suffix])
    try:
        yield from READERS[path.suffix](path)
    except ZooError:
        raise
    except Exception as error:  # of four libraries
        raise ZooError(f"cannot be read ({one_line(error)})") from None
