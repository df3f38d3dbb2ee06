"""Tensors by name in files: `.safetensors`, read and written, and what `torch.save` wrote, or ONNX, read."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zoo.errors import CheckpointError
from zoo.published.files import onnx_format, sharded, torch_format
from zoo.saved import whole

_SAFETENSORS = {  # https://huggingface.co/docs/safetensors: little-endian all of them
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _SAFETENSORS.items() if name != "BF16"}
_NAMES[np.dtype(jax.dtypes.bfloat16)] = "BF16"
_HEADER_LIMIT = 100_000_000
_NESTED = ("state_dict", "best_state", "model_state_dict", "model", "ema", "generator")
"""Under which names training programs keep what matters, the first of them preferred."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of a file by key, and what else it says, such as the arguments that its model was made with."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any] = field(default_factory=dict)


def read(path: str | Path) -> Checkpoint:
    """All tensors of a file, float16 and bfloat16 as float32, others as they are; most are views of the mapped file.

    Nothing in the file is executed. Raises CheckpointError, naming the file, for one that is damaged, that holds more
    than tensors and plain data, or that is no such file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(torch_format.LEGACY_MAGIC))
        if start[:4] == b"PK\x03\x04" or start == torch_format.LEGACY_MAGIC:
            checkpoint = _unwrap(torch_format.read(path))
        elif start[8:9] == b"{":
            checkpoint = _read_safetensors(path)
        elif path.suffix == ".onnx":
            tensors, config = onnx_format.read(path)
            checkpoint = Checkpoint(tensors, {"config": config})
        else:
            raise CheckpointError(_strange(start))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    wide = {name: _as_float32(array) for name, array in checkpoint.tensors.items()}
    return Checkpoint(wide, checkpoint.metadata)


def release(array: np.ndarray) -> None:
    """Gives back the memory of the mapped file behind an array that `read` gave; what is asked for again is read again.

    Pages of it count as this process's own as long as they are mapped.
    """
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def write_safetensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays by name as `.safetensors`; "format": "pt" is added to the metadata, as torch's readers want it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    # by falling size of the elements, so that all are aligned
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    for name in order:
        array = tensors[name]
        place = [end, end := end + array.nbytes]
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": place}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    # under another name first: the arrays may be views of the very file that is replaced
    with whole.file(Path(path), sync=True) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            # as bytes: bfloat16 is no type that a buffer can have
            file.write(np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8).data)


def _read_safetensors(path: Path) -> Checkpoint:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, _HEADER_LIMIT):
            raise CheckpointError("damaged or truncated: its header should be longer than all of it")
        try:
            header = json.loads(file.read(length))
            metadata = dict(header.pop("__metadata__", None) or {})
        except (ValueError, RecursionError, AttributeError, TypeError):
            raise CheckpointError("damaged: its header is no JSON of tensors") from None
    data = np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.empty(0, np.uint8)
    return Checkpoint({name: _tensor(name, entry, data) for name, entry in header.items()}, metadata)


def _tensor(name: str, entry: Any, data: np.ndarray) -> np.ndarray:
    try:
        kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, start, end]
        wrong = len(shape) > 32 or not all(type(number) is int and number >= 0 for number in numbers)
    except (KeyError, TypeError, ValueError):
        wrong = True
    if wrong or not isinstance(kind, str):
        raise CheckpointError(f"damaged: its header does not say what {name:.80} is")
    if kind not in _SAFETENSORS:
        raise CheckpointError(f"{name:.80} has elements of type {kind:.20}, which is not known here")
    dtype = np.dtype(_SAFETENSORS[kind])
    n_bytes = dtype.itemsize
    for n in shape:
        n_bytes *= n
    if end > len(data) or end - start != n_bytes:
        raise CheckpointError(f"damaged or truncated: {name:.80} does not have the bytes of {kind} {shape!s:.80}")
    try:
        array = np.asarray(data[start:end]).view(dtype).reshape(shape)
    except ValueError:  # none of nothing, but too many of them for numpy
        raise CheckpointError(f"{name:.80} has a shape that cannot be, {shape!s:.80}") from None
    return torch_format.bfloat16_to_float32(array) if kind == "BF16" else array


def _as_float32(array: np.ndarray) -> np.ndarray:
    narrow = array.dtype.kind == "f" and array.dtype.itemsize == 2
    return array.astype(np.float32) if narrow else array


def _unwrap(tree: Any) -> Checkpoint:
    """The dictionary of tensors in what a training program saved, and all that stood beside it."""
    metadata: dict[str, Any] = {}
    for _ in range(4):
        if not isinstance(tree, dict):
            break
        tensors = {name: value for name, value in tree.items() if isinstance(value, np.ndarray)}
        metadata |= {str(name): value for name, value in tree.items() if not isinstance(value, np.ndarray | dict)}
        if tensors and all(isinstance(name, str) for name in tensors):
            return Checkpoint(tensors, metadata)
        metadata |= {name: tree[name] for name in ("metadata", "config", "kwargs") if isinstance(tree.get(name), dict)}
        tree = next((tree[name] for name in _NESTED if isinstance(tree.get(name), dict)), None)
    raise CheckpointError("it holds no dictionary of tensors by name")


def _strange(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.startswith(b"version https"):
        return "only a pointer of Git LFS to the file that is meant: fetch that (git lfs pull)"
    if start[:1] == b"\x80":
        return "a pickle, but none of torch.save"
    return "neither .safetensors nor a file of torch.save"


def read_all(path: Path, *others: Path) -> Checkpoint:
    """All tensors of a file of weights, or of the pieces that an index tells of, and of what other files belong to it.

    Raises CheckpointError like `read`, and for a piece that is missing, or is given as though it were all.
    """
    if sharded.is_piece(path.name):
        raise CheckpointError(f"{path} is one of several pieces: give their folder, with the index of them")
    files = [path]
    if path.name.endswith(sharded.SUFFIX):
        files = [path.parent / name for name in sharded.pieces(path)]
    for file in files:
        if file != path and not file.exists():
            raise CheckpointError(f"{file} is missing, one of {len(files)} pieces that {path.name} names")
    read_pieces = [read(file) for file in (*files, *others)]
    tensors = {key: array for piece in read_pieces for key, array in piece.tensors.items()}
    return Checkpoint(tensors, read_pieces[0].metadata)
