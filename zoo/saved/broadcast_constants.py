"""Constants of an ONNX graph as small as its operators' broadcasting allows.

A converter that stores a constant in the shape of the audio that it is added to makes a graph several times as large as
its codec, and larger by every second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

_BROADCASTING = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where"),
    *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or"),
}
_FEW = 64
"""elements, of which the shapes of other operators are made and nothing is gained"""


def shrink(model: Any) -> None:
    """Keeps of each constant of an ONNX model that repeats itself along an axis one element of that axis.

    It does so in place, where all operators that take the constant broadcast it again to an input of its full shape.
    """
    from onnx import numpy_helper

    graph, consumers = model.graph, defaultdict(list)
    for node in _nodes(graph):
        for name in node.input:
            consumers[name].append(node)
    constants = {tensor.name for tensor in graph.initializer}
    shapes = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
        if value.name not in constants
    }
    results = {value.name for value in graph.output}
    for tensor in graph.initializer:
        shape = tuple(tensor.dims)
        if np.prod(shape) <= _FEW or tensor.name in results:
            continue
        if all(
            node.op_type in _BROADCASTING and any(shapes.get(name) == shape for name in node.input)
            for node in consumers[tensor.name]
        ):
            array = numpy_helper.to_array(tensor)
            small = _without_repetition(array)
            if small.size < array.size:
                tensor.CopyFrom(numpy_helper.from_array(small, tensor.name))


def _nodes(graph: Any) -> Iterator[Any]:
    """Those of a graph, and of the loops and branches in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(inner)


def _without_repetition(array: np.ndarray) -> np.ndarray:
    for axis in range(array.ndim):
        first = array.take([0], axis)
        if np.array_equal(np.broadcast_to(first, array.shape), array):
            array = first
    return np.ascontiguousarray(array)
