#!/usr/bin/env bash
# jax2onnx converts the magnitude and the product of complex arrays without a word, and both come out wrong.
# Versions: jax2onnx 0.17.1, jax and jaxlib 0.10.2, flax 0.12.8, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
# Expected: the graph of jnp.abs(jnp.fft.rfft(x)), the first step of every mel spectrogram, gives an array of the
#   function's shape, or the conversion is refused, as that of jnp.fft.irfft is.
# What happens: jnp.fft.rfft becomes ONNX's DFT, whose last axis holds real and imaginary part. Of what follows only
#   .real and .imag know of that axis: the magnitude is that of each part by itself, with an axis more, and the real part
#   of a product of two spectra has that axis, too. Neither the conversion nor onnxruntime objects. The inverse transform
#   is refused ("IRFFT requires complex64 or complex128 input"), whatever it is given. So audio front ends must be written in real
#   parts before they are converted, and each graph be compared with its function, shapes first.
# Output seen:
#   real part: (2, 33), as the function's, largest difference below 1e-4
#   magnitude: (2, 33, 2) in the place of (2, 33): the magnitudes of both parts
#   real part of a product: (2, 33, 2) in the place of (2, 33)
#   inverse: NotImplementedError: IRFFT requires complex64 or complex128 input.
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jax2onnx==0.17.1 jax==0.10.2 jaxlib==0.10.2 \
    flax==0.12.8 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat >"$work/magnitude.py" <<'PY'
import logging

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from jax2onnx import to_onnx

logging.disable(logging.WARNING)
onnxruntime.set_default_logger_severity(3)
x = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float32)
spectrum = np.fft.rfft(x)


def run(function):
    model = to_onnx(function, [jax.ShapeDtypeStruct(x.shape, x.dtype)])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]


real = run(lambda x: jnp.fft.rfft(x).real)
difference = np.abs(real - spectrum.real).max()
print(f"real part: {real.shape}, as the function's, largest difference {difference:.1e}")
assert real.shape == (2, 33) and difference < 1e-4

parts = np.stack([spectrum.real, spectrum.imag], axis=-1)
magnitude = run(lambda x: jnp.abs(jnp.fft.rfft(x)))
of_both = magnitude.shape == parts.shape and np.allclose(magnitude, np.abs(parts), atol=1e-3)
print(f"magnitude: {magnitude.shape} in the place of (2, 33){': the magnitudes of both parts' if of_both else ''}")
product = run(lambda x: (jnp.fft.rfft(x) * jnp.fft.rfft(x)).real)
print(f"real part of a product: {product.shape} in the place of (2, 33)")
if not of_both or product.shape == (2, 33):
    raise SystemExit("changed")

try:
    run(lambda x: jnp.fft.irfft(jnp.fft.rfft(x)))
except NotImplementedError as error:
    print(f"inverse: NotImplementedError: {error}")
else:
    raise SystemExit("changed: the inverse is converted")
PY
JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/magnitude.py"
