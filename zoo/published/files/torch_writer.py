"""Writes tensors in the zip form of `torch.save`, for implementations that read nothing else."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.saved import whole

_STORAGES = {
    "f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char", "u1": "Byte",
    "b1": "Bool",
}  # fmt: skip


def write(path: str | Path, tree: Mapping[str, Any]) -> None:
    """Writes nested dictionaries, lists, strings, numbers and numpy arrays so that `torch.load` reads them."""
    arrays: list[np.ndarray] = []
    program = b"\x80\x02" + _put(tree, arrays) + b"."
    # under another name first: the arrays may be views of the very file that is replaced
    with whole.file(Path(path)) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", b"little")
        for i, array in enumerate(arrays):
            archive.writestr(f"archive/data/{i}", array.astype(array.dtype.newbyteorder("<")).tobytes())
        archive.writestr("archive/version", b"3\n")


def _put(value: Any, arrays: list[np.ndarray]) -> bytes:
    """The instructions of a pickle (protocol 2) that build a value."""
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple):
        return b"(" + b"".join(_put(item, arrays) for item in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(_put(item, arrays) for item in value) + b"e"
    if isinstance(value, Mapping):
        items = b"".join(_put(key, arrays) + _put(item, arrays) for key, item in value.items())
        return _ORDERED_DICT + b"(" + items + b"u"
    return _put_tensor(np.asarray(value), arrays)


_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def _put_tensor(array: np.ndarray, arrays: list[np.ndarray]) -> bytes:
    storage = b"ctorch\n" + _STORAGES[array.dtype.str[1:]].encode() + b"Storage\n"
    key = str(len(arrays))
    arrays.append(np.ascontiguousarray(array))
    strides = tuple(int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim))
    place = b"".join(_put(value, arrays) for value in (key, "cpu", array.size))
    identity = b"(" + _put("storage", arrays) + storage + place + b"tQ"
    shape = b"".join(_put(numbers, arrays) for numbers in (0, tuple(array.shape), strides, False))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + shape + _ORDERED_DICT + b"tR"
