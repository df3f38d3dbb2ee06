"""A store in memory, and a small library."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.audio_files import noise, write


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
