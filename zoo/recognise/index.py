"""An index of the sounds below a folder: a vector of each, of which those nearest to another sound are found.

    similar = index.update("sounds", codec)                 # embeds what is new or has changed
    similar.nearest(index.query(codec, similar, samples, sample_rate), top=5)

It is one file, which is mapped into memory: vectors of length one, so that a product with all of them is a search.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo import arguments, audio, given
from zoo.arguments import as_path
from zoo.audio import check_output
from zoo.errors import CheckpointError, ZooError
from zoo.published.files import weights
from zoo.ready import ReadyCodec
from zoo.recognise import clips, embedding
from zoo.recognise.embedding import Embedder

NAME = ".similar.safetensors"
"""of the index, inside the folder; a hidden file is none of the folder's sounds"""
SET = "latent"
SAVE_EVERY_S = 20.0
"""seconds of embedding that a process which is killed loses at most"""
FORMAT = 1


@dataclass(frozen=True)
class Neighbour:
    """A sound of the index, and the cosine of its angle to the one that was asked for."""

    path: Path
    similarity: float


@dataclass(frozen=True, eq=False)
class Index:
    """Sounds below `root`, sorted by name, as a codec embeds them."""

    root: Path
    digest: str
    """that of the codec, in hexadecimal"""
    names: tuple[bytes, ...]
    """paths below the root, as the system has them"""
    stamps: np.ndarray
    """(N, 2) int64: bytes, and nanoseconds of the last change, of each file when it was embedded"""
    vectors: np.ndarray
    """(N, V) float32, of length one"""
    calibration: dict[str, np.ndarray]
    """arrays of the embedder's, so that what is new is embedded as the rest was"""

    def nearest(self, vector: np.ndarray, top: int = 5, *, without: str | Path | None = None) -> tuple[Neighbour, ...]:
        """The `top` sounds nearest to a vector (V,) of length one, or all where there are fewer, the nearest first.

        `without` is a file that is left out, such as the one asked for. Raises ZooError for a vector of another
        size, and for a `top` below 1.
        """
        top = arguments.count(top, "top")
        wanted = arguments.as_array(vector, "vector")
        if wanted.shape != self.vectors.shape[1:]:
            size = self.vectors.shape[1]
            raise ZooError(f"vector must be ({size},), as zoo.recognise.query gives it, got shape {wanted.shape}")
        similarity = self.vectors @ wanted.astype(np.float32)
        n = min(top + 1, len(similarity))
        best = np.argpartition(-similarity, n - 1)[:n]
        best = best[np.lexsort((best, -similarity[best]))]
        found = (Neighbour(self.root / os.fsdecode(self.names[i]), float(similarity[i])) for i in best)
        same = os.path.realpath(without) if without is not None else None
        return tuple(one for one in found if os.path.realpath(one.path) != same)[:top]


def place(root: str | Path) -> Path:
    """Where the index of a folder is kept unless another place is named."""
    return Path(root) / NAME


def update(
    root: str | Path,
    codec: ReadyCodec,
    file: str | Path | None = None,
    *,
    on_note: Callable[[str], None] = lambda line: None,
    on_embedded: Callable[[int, int], None] = lambda done, of: None,
) -> Index:
    """Brings the index of the sounds below `root` up to date, and gives it; `file` is where it is kept.

    What is new or has changed is embedded, what is gone is left out, and a file that cannot be read is told to
    `on_note`, as is an index that must be made anew: one of another codec, or a damaged one. The index is written under
    another name and then replaced, every SAVE_EVERY_S seconds: whenever the process ends, all of it is there. Raises
    ZooError for a folder without audio, or of which nothing can be read, and where the index cannot be written.
    """
    codec, root = given.codec(codec), Path(as_path(root))
    target = place(root) if file is None else Path(as_path(file))
    if target.is_dir() or not target.parent.is_dir():
        raise ZooError(f"{target}: is no place for an index: it is a file in a folder that is there")
    files = audio.find_files(root, on_left_out=on_note)
    kept = _load(target, root, codec, on_note)
    marks = {path: (os.fsencode(path.relative_to(root)), _stamp(path)) for path in files}
    embedder = _embedder(codec, kept)
    calibration = embedder.calibrations[SET].arrays
    before = (
        {}
        if kept is None
        else {name: (tuple(stamp), v) for name, stamp, v in zip(kept.names, kept.stamps.tolist(), kept.vectors)}
    )
    rows = {name: before[name] for name, stamp in marks.values() if name in before and before[name][0] == stamp}
    saved = time.monotonic()
    changed = kept is None or len(rows) != len(kept.names)
    paths = [path for path, (name, _) in marks.items() if name not in rows]
    if paths:
        check_output(target, force=True)
    read = clips.of_files({"codec": embedder}, paths, lambda path, error: on_note(f"skipped {error}"))
    for done, (path, found) in enumerate(read, 1):
        name, stamp = marks[path]
        rows[name] = (stamp, _unit(found["codec"][SET], calibration))
        changed = True
        on_embedded(done, len(paths))
        if time.monotonic() - saved > SAVE_EVERY_S:
            _save(_index(root, codec, rows, calibration), target)
            saved = time.monotonic()
    if not rows:
        raise ZooError(f"{root}: none of its {len(files)} files could be read")
    index = _index(root, codec, rows, calibration)
    if changed:
        _save(index, target)
    return index


def query(codec: ReadyCodec, index: Index, samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The vector (V,) of length one of a clip (T,) or (T, C) at `sample_rate` Hz, comparable with those of the index.

    Raises ZooError for a codec that is not that of the index.
    """
    codec = given.codec(codec)
    index = arguments.instance(index, Index, "index", "zoo.recognise.update(…)")
    if codec.digest.hex() != index.digest:
        raise ZooError("the index was made with another codec")
    embedder = embedding.restored(codec, (), {SET: index.calibration})
    return _unit(clips.vectors(embedder, samples, sample_rate)[SET], index.calibration)


def _unit(vector: np.ndarray, calibration: Mapping[str, np.ndarray]) -> np.ndarray:
    """Standardised by what is usual for reference sounds, cut off far from that, and of length one."""
    spread = calibration["spread"]
    changes = spread > 1e-6
    standard = np.where(changes, (vector - calibration["centre"]) / np.where(changes, spread, 1.0), 0.0)
    standard = np.clip(standard, -10, 10)
    return (standard / max(float(np.linalg.norm(standard)), 1e-12)).astype(np.float32)


def _embedder(codec: ReadyCodec, kept: Index | None) -> Embedder:
    if kept is None:
        return embedding.embedder(codec, (SET,))
    return embedding.restored(codec, (), {SET: kept.calibration})


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere, which reading it says
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _index(root: Path, codec: ReadyCodec, rows: Mapping[bytes, Any], calibration: dict[str, np.ndarray]) -> Index:
    names = tuple(sorted(rows))
    stamps = np.array([rows[name][0] for name in names], np.int64).reshape(-1, 2)
    vectors = np.stack([rows[name][1] for name in names])
    return Index(root, codec.digest.hex(), names, stamps, vectors, calibration)


def _save(index: Index, target: Path) -> None:
    tensors = {
        "names": np.frombuffer(b"\0".join(index.names), np.uint8),
        "stamps": index.stamps,
        "vectors": index.vectors,
        **{f"calibration.{name}": array for name, array in index.calibration.items()},
    }
    try:
        weights.write_safetensors(target, tensors, {"codec_zoo_index": str(FORMAT), "digest": index.digest})
    except OSError as error:
        raise ZooError(
            f"{target}: cannot be written ({error.strerror}); --index (file=…) names another place"
        ) from None


def _load(target: Path, root: Path, codec: ReadyCodec, on_note: Callable[[str], None]) -> Index | None:
    """The index that is there, None where there is none, or none of use; raises ZooError for a file of another kind."""
    if not target.exists():
        return None
    try:
        content = weights.read(target)
    except CheckpointError as error:
        if target.name != NAME:
            raise
        on_note(f"{error}; it is made anew")
        return None
    if "codec_zoo_index" not in content.metadata:
        raise ZooError(f"{target}: is no index of sounds, and is not written over")
    if content.metadata["codec_zoo_index"] != str(FORMAT) or content.metadata.get("digest") != codec.digest.hex():
        on_note(f"{target}: was made with another codec; it is made anew")
        return None
    tensors = content.tensors
    prefix = "calibration."
    calibration = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
    names = tuple(bytes(tensors["names"]).split(b"\0"))
    index = Index(root, codec.digest.hex(), names, tensors["stamps"], tensors["vectors"], calibration)
    if not len(names) == len(index.stamps) == len(index.vectors):
        on_note(f"{target}: is damaged; it is made anew")
        return None
    return index
