#!/usr/bin/env bash
# jax2onnx converts random numbers of a fixed key to ONNX's own, which are others in each run.
# Versions: jax2onnx 0.17.1, jax and jaxlib 0.10.2, flax 0.12.8, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
# Expected: what jax draws of a key is a function of the key, so that the graph of a decoder that adds noise by position
#   gives the decoder's audio, the same in each run; or the conversion is refused, as that of jax.random.split is.
# What happens: jax.random.normal becomes RandomNormal with a seed of 0 and jax.random.bits RandomUniform without a seed,
#   whatever the key: graphs of two keys have the same nodes. Neither the conversion nor onnxruntime 1.32 objects at
#   opset 21; of these operators' next version, 22, onnxruntime has no implementation and says so. So a graph's noise
#   must be drawn by operations on integers before it is converted, and each graph be run twice.
# Output seen:
#   normal: RandomNormal, RandomNormalLike, the same nodes for another key; two runs differ, neither is jax's
#   bits: RandomUniform, RandomUniformLike, the same nodes for another key; two runs differ, neither is jax's
#   split: NotImplementedError: [converter] No plugins registered for primitive 'random_split'
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jax2onnx==0.17.1 jax==0.10.2 jaxlib==0.10.2 \
    flax==0.12.8 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat >"$work/draw.py" <<'PY'
import logging

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from jax2onnx import to_onnx

logging.disable(logging.WARNING)
onnxruntime.set_default_logger_severity(3)
x = np.zeros(8, np.float32)


def normal(x, key):
    return x + jax.random.normal(key, x.shape)


def bits(x, key):
    return x + (jax.random.bits(key, x.shape, jnp.uint32) >> jnp.uint32(12)).astype(jnp.float32)


def split(x, key):
    return x + jax.random.normal(jax.random.split(key)[1], x.shape)


def converted(function, seed):
    return to_onnx(lambda x: function(x, jax.random.key(seed)), [jax.ShapeDtypeStruct(x.shape, x.dtype)], opset=21)


for function in (normal, bits):
    model, other = converted(function, 7), converted(function, 8)
    same = [node.SerializeToString() for node in model.graph.node] == [
        node.SerializeToString() for node in other.graph.node
    ]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    first, second = (session.run(None, {session.get_inputs()[0].name: x})[0] for _ in range(2))
    wanted = np.asarray(function(x, jax.random.key(7)))
    names = ", ".join(sorted({node.op_type for node in model.graph.node if node.op_type.startswith("Random")}))
    print(f"{function.__name__}: {names}, {'the same' if same else 'other'} nodes for another key;", end=" ")
    if not same or np.array_equal(first, second) or np.allclose(first, wanted) or np.allclose(second, wanted):
        raise SystemExit("changed")
    print("two runs differ, neither is jax's")

try:
    converted(split, 7)
except NotImplementedError as error:
    print(f"split: NotImplementedError: {error}")
else:
    raise SystemExit("changed: a split key is converted")
PY
JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/draw.py"
