"""The same library as files of a store, and in archives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from zoo import audio


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
