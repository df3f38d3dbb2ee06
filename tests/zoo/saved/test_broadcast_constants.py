"""Constants of graphs are stored small where nothing depends on their shape."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.saved import broadcast_constants

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")
SHAPE = (4, 32)
ROW = np.arange(32, dtype=np.float32)


def test_a_constant_keeps_what_is_not_broadcast_again() -> None:
    constants = {
        "filled": np.full(SHAPE, 2.0, np.float32),
        "rows": np.broadcast_to(ROW, SHAPE),
        "all": np.arange(128, dtype=np.float32).reshape(SHAPE),
        "joined": np.zeros(SHAPE, np.float32),
        "alone": np.ones(SHAPE, np.float32),
    }
    make = onnx.helper.make_node
    nodes = [
        make("Mul", ["x", "filled"], ["a"]),
        make("Add", ["a", "rows"], ["b"]),
        make("Sub", ["b", "all"], ["c"]),
        make("Add", ["few", "alone"], ["d"]),  # nothing else there has the shape
        make("Concat", ["c", "joined", "d"], ["y"], axis=0),
    ]

    def value(name: str, shape: tuple[int, ...]):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    tensors = [onnx.numpy_helper.from_array(np.ascontiguousarray(x), name) for name, x in constants.items()]
    inner = [value(name, SHAPE) for name in "abcd"]
    given = [value("x", SHAPE), value("few", (1, 32))]
    graph = onnx.helper.make_graph(nodes, "g", given, [value("y", (12, 32))], tensors, value_info=inner)
    model = onnx.helper.make_model(graph)
    inputs = {"x": np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32), "few": ROW[None]}
    (wanted,) = onnx.reference.ReferenceEvaluator(model).run(None, inputs)
    broadcast_constants.shrink(model)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert shapes == {"filled": (1, 1), "rows": (1, 32), "all": SHAPE, "joined": SHAPE, "alone": SHAPE}
    (found,) = onnx.reference.ReferenceEvaluator(model).run(None, inputs)
    np.testing.assert_array_equal(found, wanted)
