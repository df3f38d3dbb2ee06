"""What an ONNX file says of a network: its tensors by name, and what its convolutions are. No code of it is run.

ONNX files are protocol buffers (https://onnx.ai/onnx/repo-docs/IR.html); what is read here is a small part of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import CheckpointError

Field = tuple[int, "int | memoryview"]
"""number and content of a field: a varint or fixed number, or bytes"""

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS = 1, 8
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_BYTES = 1, 2, 4, 8, 9
_TYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
_LONGEST_VARINT = 10
"""bytes"""


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors of a file by name, and a configuration: of each weight the shape, strides and dilations it is used with.

    The latter under "convolutions"; and the "sample_rate" (Hz) that a Piper voice has in a .json beside it. Raises
    CheckpointError for a file that is damaged, or no ONNX.
    """
    data = memoryview(path.read_bytes())
    tensors: dict[str, np.ndarray] = {}
    convolutions: dict[str, dict[str, Any]] = {}
    try:
        for number, graph in _fields(data):
            for kind, content in _fields(_bytes(graph)) if number == _MODEL_GRAPH else ():
                if kind == _GRAPH_INITIALIZER:
                    name, array = _tensor(_bytes(content))
                    tensors[name] = array
                elif kind == _GRAPH_NODE:
                    convolutions |= _convolution(_bytes(content))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise CheckpointError(f"damaged, or no ONNX ({error})") from None
    if not tensors:
        raise CheckpointError("an ONNX file that holds no tensors")
    used = {
        name: {"shape": list(tensors[name].shape), **found} for name, found in convolutions.items() if name in tensors
    }
    return tensors, {"convolutions": used, **_beside(path)}


def _beside(path: Path) -> dict[str, int]:
    """The sample rate that a Piper voice has in a .json beside it."""
    try:
        rate = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))["audio"]["sample_rate"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {"sample_rate": rate} if isinstance(rate, int) else {}


def _fields(data: memoryview) -> Iterator[Field]:
    """The fields of a message, in their order; raises ValueError or IndexError where it is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(kind, -1)
        if not 0 <= length <= len(data) - at:
            raise ValueError(f"field {number} at byte {at} is cut off")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits to the byte, and where the next byte is."""
    value = 0
    for i in range(_LONGEST_VARINT):
        byte = data[at + i]
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, at + i + 1
    raise ValueError(f"the number at byte {at} has no end")


def _bytes(content: int | memoryview) -> memoryview:
    if isinstance(content, int):
        raise ValueError("a number where a message should be")
    return content


def _numbers(content: int | memoryview) -> list[int]:
    """One number of a repeated field, or all of them packed."""
    if isinstance(content, int):
        return [content]
    found, at = [], 0
    while at < len(content):
        value, at = _varint(content, at)
        found.append(value)
    return found


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    dims: list[int] = []
    kind, name, content = 1, "", memoryview(b"")
    for number, value in _fields(data):
        if number == _TENSOR_DIMS:
            dims += _numbers(value)
        elif number == _TENSOR_TYPE:
            (kind,) = _numbers(value)
        elif number == _TENSOR_NAME:
            name = bytes(_bytes(value)).decode()
        elif number in (_TENSOR_BYTES, _TENSOR_FLOATS):
            content = _bytes(value)
    if kind not in _TYPES:
        raise ValueError(f"{name:.80} has elements of type {kind}, which is not known here")
    array = np.frombuffer(content, _TYPES[kind])
    if array.size != np.prod(dims, dtype=np.int64):
        raise ValueError(f"{name:.80} does not have the elements of {dims!s:.80}")
    return name, array.reshape(dims)


def _convolution(data: memoryview) -> dict[str, dict[str, Any]]:
    """Strides and dilations of a convolution by the name of its weight; nothing for another operator."""
    inputs: list[str] = []
    operator, found = "", {}
    for number, value in _fields(data):
        if number == _NODE_INPUT:
            inputs.append(bytes(_bytes(value)).decode())
        elif number == _NODE_OPERATOR:
            operator = bytes(_bytes(value)).decode()
        elif number == _NODE_ATTRIBUTE:
            name, ints = "", []
            for part, content in _fields(_bytes(value)):
                if part == _ATTRIBUTE_NAME:
                    name = bytes(_bytes(content)).decode()
                elif part == _ATTRIBUTE_INTS:
                    ints += _numbers(content)
            if name in ("strides", "dilations"):
                found[name] = ints
    return {inputs[1]: found} if operator in ("Conv", "ConvTranspose") and len(inputs) > 1 else {}
