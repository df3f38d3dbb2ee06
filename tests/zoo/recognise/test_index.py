"""The index of a folder: what is new, changed or gone; another codec; a process that is killed; a hundred thousand."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tests.audio_files import write
from tests.zoo.conftest import RATE, make
from tests.zoo.recognise.conftest import noise, sine, write_classes
from zoo.errors import ZooError
from zoo.recognise import index
from zoo.recognise.index import Index


class Counted:
    """Counts what is embedded, and keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.embedded = 0

    def update(self, root: Path, codec: object, file: Path | None = None) -> Index:
        self.embedded, self.notes = 0, []

        def count(done: int, of: int) -> None:
            self.embedded = done

        return index.update(root, codec, file, on_note=self.notes.append, on_embedded=count)


def test_only_what_is_new_or_has_changed_is_embedded_and_what_is_gone_is_gone(tmp_path):
    root, codec, run = write_classes(tmp_path / "sounds", 3), make("vae"), Counted()
    first = run.update(root, codec)
    assert run.embedded == len(first.names) == 6
    same = run.update(root, codec)
    assert run.embedded == 0
    np.testing.assert_array_equal(same.vectors, first.vectors)
    write(root / "new" / "x.wav", sine(9))
    write(root / "sine" / "0.wav", noise(3))
    (root / "noise" / "1.wav").unlink()
    (root / "broken.wav").write_bytes(b"nothing")
    changed = run.update(root, codec)
    assert run.embedded == 2
    assert [line for line in run.notes if "broken.wav" in line]
    assert [os.fsdecode(name) for name in changed.names] == [
        "new/x.wav", "noise/0.wav", "noise/2.wav", "sine/0.wav", "sine/1.wav", "sine/2.wav"
    ]  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(changed.vectors, axis=1), 1, rtol=1e-5)
    vector = index.query(codec, changed, sine(1), RATE)
    nearest = changed.nearest(vector, 2)
    assert nearest[0].path == root / "sine" / "1.wav"
    assert nearest[0].similarity == pytest.approx(1, abs=1e-4)
    assert changed.nearest(vector, 1, without=root / "sine" / "1.wav")[0].path != root / "sine" / "1.wav"
    assert len(changed.nearest(vector, 99)) == 6
    with pytest.raises(ZooError, match="top must be at least 1"):
        changed.nearest(vector, 0)
    with pytest.raises(ZooError, match=r"vector must be \(\d+,\), as zoo.recognise.query gives it, got shape \(3,\)"):
        changed.nearest(vector[:3], 2)
    other = make("autoencoder")
    with pytest.raises(ZooError, match="another codec"):
        index.query(other, changed, sine(0), RATE)
    run.update(root, other)
    assert run.embedded == 6
    assert any("made with another codec; it is made anew" in line for line in run.notes)
    index.place(root).write_bytes(b"damaged")
    run.update(root, other)
    assert run.embedded == 6
    assert any("made anew" in line for line in run.notes)


def test_what_was_embedded_before_an_interruption_is_kept(tmp_path, monkeypatch):
    root, codec, run = write_classes(tmp_path / "sounds", 4), make("vae"), Counted()
    monkeypatch.setattr(index, "SAVE_EVERY_S", 0.0)

    def stop(done: int, of: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.update(root, codec, on_embedded=stop)
    run.update(root, codec)
    assert run.embedded == 4
    with pytest.raises(ZooError, match="is no index of sounds"):
        index.update(root, codec, write_safetensors(tmp_path / "x.safetensors"))
    with pytest.raises(ZooError, match="no place for an index"):
        index.update(root, codec, tmp_path / "none" / "x")


def write_safetensors(path: Path) -> Path:
    from zoo.published.files.weights import write_safetensors

    write_safetensors(path, {"a": np.ones(2, np.float32)})
    return path


def test_folders_without_sounds_are_refused_and_write_nothing(tmp_path):
    with pytest.raises(ZooError, match="holds no audio"):
        index.update(tmp_path, make("vae"))
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    with pytest.raises(ZooError, match="none of its 1 files could be read"):
        index.update(tmp_path, make("vae"))
    assert not index.place(tmp_path).exists()


def test_names_that_are_no_text_are_kept(tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    write(tmp_path / "x.wav", sine(0))
    (tmp_path / "x.wav").rename(tmp_path / name)
    run = Counted()
    run.update(tmp_path, make("vae"))
    found = run.update(tmp_path, make("vae"))
    assert run.embedded == 0
    assert found.nearest(found.vectors[0], 1)[0].path == tmp_path / name


def test_a_hundred_thousand_sounds_are_searched_quickly(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100_000, 410), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(b"%06d.wav" % i for i in range(len(vectors)))
    many = Index(tmp_path, "00", names, np.zeros((len(vectors), 2), np.int64), vectors, {})
    seconds = []
    for i in (5, 77_777, 99_999):
        begin = time.perf_counter()
        assert many.nearest(vectors[i], 5)[0].path.name == f"{i:06d}.wav"
        seconds.append(time.perf_counter() - begin)
    # the best of three: on a busy machine the others may wait for a core
    assert min(seconds) < 0.1
