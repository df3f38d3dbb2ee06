"""What is known of a library's files: the same as examining them anew, and never that of a file that has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.audio_files import noise, write
from tests.zoo.audio.test_formats import examples
from zoo import audio
from zoo.audio.decoders.inspect import inspect
from zoo.audio.scan import scan


def test_an_index_gives_what_examining_anew_gives(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("zoo.audio.scan._WORTH_KEEPING_S", 0.0)
    root = tmp_path / "files"
    root.mkdir()
    for example in examples().values():
        (root / example.name).write_bytes(example.data)
    (root / "broken.wav").write_bytes(b"no audio")
    paths = audio.find_files(root)
    for path in paths:
        os.utime(path, (1e9, 1e9))
    first = scan(root, paths)
    opened: list[str] = []

    def watched(path: Path, **options) -> audio.FileInfo:
        opened.append(path.name)
        return inspect(path, **options)

    monkeypatch.setattr("zoo.audio.scan.inspect", watched)
    assert scan(root, paths) == first
    assert opened == ["broken.wav"]  # whose fault may have been mended elsewhere
    (stored,) = (tmp_path / "cache" / "codec-zoo" / "audio").iterdir()
    elsewhere = Path(os.path.relpath(root))
    assert [getattr(info, "n_samples", None) for info in scan(elsewhere, audio.find_files(elsewhere))] == [
        getattr(info, "n_samples", None) for info in first
    ]
    # one that changed is examined anew; so are all once the index is damaged
    os.utime(root / "pcm_16.wav", ns=(1, 1))
    opened.clear()
    scan(root, paths)
    assert sorted(opened) == ["broken.wav", "pcm_16.wav"]
    stored.write_text(json.dumps({"engines": [], "files": 3}))
    opened.clear()
    scan(root, paths)
    assert len(opened) == len(paths)


def test_an_index_never_keeps_what_may_have_changed_since(tmp_path, monkeypatch):
    """A file that was just written may be written again within the grain of its time; one that changes is not kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("zoo.audio.scan._WORTH_KEEPING_S", 0.0)
    root = tmp_path / "files"
    audio_files = [root / name for name in ("new.wav", "old.wav", "turned.wav")]
    for path in audio_files:
        write(path, noise(1000))
    for path in audio_files[1:]:
        os.utime(path, (1e9, 1e9))

    def changing(path: Path, **options) -> audio.FileInfo:
        info = inspect(path, **options)
        if path.name == "turned.wav":  # while it is examined
            write(path, noise(500))
            os.utime(path, (1e9 + 5, 1e9 + 5))
        return info

    with monkeypatch.context() as patch:
        patch.setattr("zoo.audio.scan.inspect", changing)
        scan(root, audio_files)
    opened: list[str] = []

    def watched(path: Path, **options) -> audio.FileInfo:
        opened.append(path.name)
        return inspect(path, **options)

    monkeypatch.setattr("zoo.audio.scan.inspect", watched)
    assert [info.n_samples for info in scan(root, audio_files)] == [1000, 1000, 500]
    assert sorted(opened) == ["new.wav", "turned.wav"]
    # another stream of containers is another matter
    opened.clear()
    scan(root, audio_files[1:], stream=1)
    assert sorted(opened) == ["old.wav", "turned.wav"]


def test_a_scan_that_is_interrupted_keeps_what_it_found(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("zoo.audio.scan._WORTH_KEEPING_S", 0.0)
    root = tmp_path / "files"
    paths = [root / f"{n}.wav" for n in range(9)]
    for path in paths:
        write(path, noise(100))
        os.utime(path, (1e9, 1e9))

    def interrupt(n: int) -> None:
        if n == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(root, paths, advance=interrupt)
    opened: list[str] = []

    def watched(path: Path, **options) -> audio.FileInfo:
        opened.append(path.name)
        return inspect(path, **options)

    monkeypatch.setattr("zoo.audio.scan.inspect", watched)
    assert [info.n_samples for info in scan(root, paths)] == [100] * 9
    assert len(opened) < 9
