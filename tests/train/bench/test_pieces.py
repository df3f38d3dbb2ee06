"""What is cut in pieces comes together again to the same bytes, and only to these."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.complaint import complaint
from train.bench import latest, pack, pieces
from zoo.errors import ZooError


def filled(folder: Path, sizes: dict[str, int]) -> Path:
    rng = np.random.default_rng(0)
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(rng.bytes(size))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cut(root: Path, limit: int, sizes: dict[str, int]) -> tuple[list[Path], pieces.Archive]:
    filled(root / "there", sizes)
    pieces.pack(root, ["there"], root / "there.tar")
    archive = pieces.cut(root / "there.tar", pack.bundles(root, limit))
    folders = sorted(root.glob("bundle-*"))
    for folder in folders:
        pieces.write_manifest(folder, [archive])
    return folders, archive


def test_pieces_join_to_the_same_bytes(tmp_path: Path) -> None:
    folders, archive = cut(tmp_path, 30_000, {"a/one.bin": 50_000, "a/two.bin": 7, "three": 0})
    assert len(folders) == len(archive.pieces) > 2
    assert all(piece.n_bytes <= 30_000 for piece in archive.pieces)
    pieces.main(["join", *map(str, reversed(folders)), "--into", str(tmp_path / "back")])
    assert contents(tmp_path / "back" / "there") == contents(tmp_path / "there")
    assert list((tmp_path / "back").iterdir()) == [tmp_path / "back" / "there"]


def test_a_bundle_is_filled_before_the_next_is_begun(tmp_path: Path) -> None:
    places = pack.bundles(tmp_path, 1000)
    for name, size in (("first", 400), ("second", 900)):
        (tmp_path / name).write_bytes(bytes(size))
        pieces.cut(tmp_path / name, places)
    sizes = {p.relative_to(tmp_path).as_posix(): p.stat().st_size for p in tmp_path.glob("bundle-*/*")}
    assert sizes == {"bundle-1/first.000": 400, "bundle-1/second.000": 600, "bundle-2/second.001": 300}


def test_the_same_contents_are_the_same_archive(tmp_path: Path) -> None:
    found = [cut(tmp_path / name, 10**6, {"a": 100, "b": 2000})[1].sha256 for name in ("here", "elsewhere")]
    assert found[0] == found[1]


def test_what_is_missing_or_damaged_is_named_and_the_rest_is_joined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders, archive = cut(tmp_path, 30_000, {"one": 50_000})
    (tmp_path / "small").write_bytes(b"small")
    pieces.pack(tmp_path, ["small"], tmp_path / "small.tar")
    small = pieces.cut(tmp_path / "small.tar", itertools.repeat((folders[0], 10**6)))
    pieces.write_manifest(folders[0], [archive, small])
    last = folders[-1] / archive.pieces[-1].file
    damaged = bytearray(last.read_bytes())
    damaged[0] ^= 1
    last.write_bytes(damaged)
    with pytest.raises(SystemExit) as stopped:
        pieces.main(["join", *map(str, folders), "--into", str(tmp_path / "back")])
    assert stopped.value.code == 1
    assert f"{last} is damaged" in capsys.readouterr().err
    assert contents(tmp_path / "back") == {"small": b"small"}
    last.unlink()
    assert pieces.join(folders, tmp_path / "again") == [f"there.tar: its piece {last.name} is missing"]
    with pytest.raises(ZooError, match=r"no manifest\.json"):
        pieces.join([tmp_path / "there"], tmp_path / "again")


def test_an_archive_stays_in_its_folder(tmp_path: Path) -> None:
    filled(tmp_path, {"evil": 10})
    pieces.pack(tmp_path, ["evil"], tmp_path / "evil.tar", below="../out")
    archive = pieces.cut(tmp_path / "evil.tar", itertools.repeat((tmp_path / "box", 10**6)))
    pieces.write_manifest(tmp_path / "box", [archive])
    assert len(pieces.join([tmp_path / "box"], tmp_path / "into")) == 1
    assert not (tmp_path / "out").exists()


def test_pieces_are_posted_as_far_as_there_is_room(tmp_path: Path) -> None:
    filled(tmp_path, {"run": 1000, "out/table.md": 100})
    pieces.pack(tmp_path, ["run"], tmp_path / "run.tar")
    archive = pieces.cut(tmp_path / "run.tar", itertools.repeat((tmp_path / "outbox", 2500)))
    pieces.write_manifest(tmp_path / "outbox", [archive])
    n = len(archive.pieces)
    assert n > 3
    assert pieces.post(tmp_path / "outbox", tmp_path / "out", files=4, n_bytes=10**6) == n - 2  # beside the manifest
    assert pieces.post(tmp_path / "outbox", tmp_path / "second", files=9, n_bytes=4000) == n - 3
    assert pieces.post(tmp_path / "outbox", tmp_path / "third", files=99, n_bytes=10**6) == 0
    folders = [tmp_path / name for name in ("out", "second", "third")]
    assert pieces.join(folders, tmp_path / "back") == []
    assert (tmp_path / "back" / "run").read_bytes() == (tmp_path / "run").read_bytes()


def test_the_latest_state_can_be_begun_from_without_that_of_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = filled(tmp_path / "run", {
        "config.json": 5, "report.png": 50, "checkpoints/9/codec/a": 3, "checkpoints/10/codec/a": 300,
        "checkpoints/10/metadata/m": 7, "checkpoints/10/training/t": 9000,
    })  # fmt: skip
    latest.main([str(run), "--outbox", str(tmp_path / "outbox"), "--piece_mib", "0.01"])
    assert pieces.join([tmp_path / "outbox"], tmp_path / "back") == []
    expected = {name: data for name, data in contents(run).items() if "10" in name or name == "config.json"}
    assert contents(tmp_path / "back") == expected
    assert not any("training" in name for name in latest.contents(run, state=False)[latest.WEIGHTS])
    (tmp_path / "empty").mkdir()
    assert "no checkpoints/STEP" in complaint(
        capsys, latest.main, [str(tmp_path / "empty"), "--outbox", str(tmp_path / "outbox")]
    )
    assert (tmp_path / "outbox" / pieces.MANIFEST).exists()  # nothing was lost
