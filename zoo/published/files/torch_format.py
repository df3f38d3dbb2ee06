"""Reads the files of `torch.save` without torch and without running them: the zip archive and the legacy form.

Tensors are views of the mapped file: nothing is copied, and nothing allocated for sizes that a file merely claims.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import CheckpointError, one_line
from zoo.published.files.pickle_machine import Machine, Storage, Stream, Tensor

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_MALFORMED = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError, OSError, NotImplementedError,
    RuntimeError, RecursionError, MemoryError, struct.error, zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile,
)  # fmt: skip


def read(path: Path) -> Any:
    """What a file of `torch.save` holds: containers, strings, numbers, and numpy arrays for its tensors.

    bfloat16 becomes float32. Raises CheckpointError for a damaged file, or one with anything else in it.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        tree, find = _read_legacy(data) if data[: len(LEGACY_MAGIC)] == LEGACY_MAGIC else _read_zip(path, data)
        return _with_arrays(tree, find, len(data))
    except _MALFORMED as error:
        raise CheckpointError(f"damaged or truncated ({one_line(error)})") from None


Find = Callable[[Storage], np.ndarray]


def _read_zip(path: Path, data: mmap.mmap) -> tuple[Any, Find]:
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError("a zip archive, but none of torch.save: there is no data.pkl in it")
    prefix = pickles[0].removesuffix("data.pkl")

    def content(name: str) -> memoryview:
        info = records.get(prefix + name)
        if info is None:
            raise CheckpointError(f"damaged or truncated: {name} is missing")
        if info.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{name} is compressed, which torch.save does not do")
        signature, name_length, extra_length = struct.unpack_from("<4s22xHH", data, info.header_offset)
        start = info.header_offset + 30 + name_length + extra_length
        if signature != b"PK\x03\x04" or start + info.file_size > len(data):
            raise CheckpointError(f"damaged or truncated: {name} is not where it should be")
        piece = memoryview(data)[start : start + info.file_size]
        if info.CRC and zlib.crc32(piece) != info.CRC:  # torch can be told to leave the sum out
            raise CheckpointError(f"damaged: {name} has another checksum")
        return piece

    order = ">" if f"{prefix}byteorder" in records and bytes(content("byteorder")) == b"big" else "<"
    tree = Machine(Stream(content("data.pkl"))).run()
    return tree, lambda storage: _elements(content(f"data/{storage.key}"), storage, order)


def _read_legacy(data: mmap.mmap) -> tuple[Any, Find]:
    stream = Stream(memoryview(data))
    stream.position = len(LEGACY_MAGIC)
    version, system = Machine(stream).run(), Machine(stream).run()
    if version != 1001 or not isinstance(system, dict):
        raise CheckpointError("torch.save wrote it in a protocol that is not known")
    order = "<" if system.get("little_endian", True) else ">"
    machine = Machine(stream)
    tree = machine.run()
    places: dict[str, memoryview] = {}
    for key in Machine(stream).run():
        storage = machine.storages[key]
        (count,) = struct.unpack(f"{order}q", stream.read(8))
        if count != storage.n_elements:
            raise CheckpointError(f"damaged or truncated: storage {key} has another size than its tensors")
        places[key] = stream.view(count * _item_size(storage.dtype))
    return tree, lambda storage: _elements(places[storage.key], storage, order)


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _elements(data: memoryview, storage: Storage, order: str) -> np.ndarray:
    if len(data) != storage.n_elements * _item_size(storage.dtype):
        raise CheckpointError(f"damaged or truncated: storage {storage.key} is {len(data)} bytes long")
    bits = "u2" if storage.dtype == "bfloat16" else storage.dtype
    dtype = np.dtype(bits).newbyteorder(">" if order == ">" else "<")
    return np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)


def _with_arrays(tree: Any, find: Find, limit: int) -> Any:
    """The same tree, of which each tensor is replaced by an array; containers are changed in place."""
    storages: dict[str, np.ndarray] = {}

    def view(tensor: Tensor) -> np.ndarray:
        storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
        if storage.key not in storages:
            storages[storage.key] = find(storage)
        elements = storages[storage.key]
        size = 1
        for n in shape:
            size *= n
        last = tensor.offset + sum((n - 1) * stride for n, stride in zip(shape, strides))
        # repeated elements (strides of zero) may not make more of a file than there is in it
        if size and (last >= len(elements) or size * elements.itemsize > limit):
            raise CheckpointError(f"damaged: a tensor {shape} reaches beyond its storage of {len(elements)} elements")
        if not size:
            return np.empty(shape, elements.dtype)
        steps = [stride * elements.itemsize for stride in strides]
        array = np.ndarray(shape, elements.dtype, elements, tensor.offset * elements.itemsize, steps)
        return bfloat16_to_float32(array) if storage.dtype == "bfloat16" else array

    done: set[int] = set()  # by identity: containers may hold each other, and even themselves
    top = [tree]
    waiting: list[Any] = [top]
    while waiting:
        container = waiting.pop()
        if id(container) in done:
            continue
        done.add(id(container))
        for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(value, Tensor):
                container[key] = view(value)
            elif isinstance(value, list | dict):
                waiting.append(value)
    return top[0]


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """float32 of the 16 bits of bfloat16 numbers, as unsigned integers: its upper half, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
