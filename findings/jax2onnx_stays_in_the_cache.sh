#!/usr/bin/env bash
# A jitted function that jax2onnx converts before it was ever called cannot be called in that process any more.
# Versions: jax2onnx 0.17.1, jax and jaxlib 0.10.2, flax 0.12.8, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
# Expected: to_onnx reads a function and leaves it as it is, as jax.export does.
# What happens: while it traces, jax2onnx puts operations of its own in the place of some of jax.numpy's (split, among
#   others). jax keeps what was traced of a jitted function by its shapes, so the next call with the same shapes finds
#   the converter's operations and raises NotImplementedError. With the call first and the conversion after it both
#   work. So call what is converted first (or convert what jax.make_jaxpr made of it), or convert in a process of its own.
# Output seen:
#   called, then converted: both work
#   converted, then called: NotImplementedError: MLIR translation rule for primitive 'jax.numpy.split' not found for platform cpu
#   converted, then called after jax.clear_caches(): works
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jax2onnx==0.17.1 jax==0.10.2 jaxlib==0.10.2 \
    flax==0.12.8 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat >"$work/cache.py" <<'PY'
import logging

import jax
import jax.numpy as jnp
import numpy as np
from jax2onnx import to_onnx

logging.disable(logging.WARNING)
x = np.arange(12, dtype=np.float32).reshape(2, 6)
shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype)]


def made():
    def swapped(x):
        left, right = jnp.split(x, 2, axis=1)
        return jnp.concatenate([right, left], axis=1)

    return jax.jit(swapped)


function = made()
function(x)
to_onnx(function, shapes)
print("called, then converted: both work", function(x).shape)

function = made()
to_onnx(function, shapes)
try:
    function(x)
except NotImplementedError as error:
    print("converted, then called: NotImplementedError:", str(error).splitlines()[0])
else:
    raise SystemExit("changed: it can be called")
jax.clear_caches()
print("converted, then called after jax.clear_caches(): works", function(x).shape)
PY
JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/cache.py"
