#!/usr/bin/env bash
# A reshape that moves no number makes the loop before it up to eight times slower on XLA's CPU backend.
# Versions: jax and jaxlib 0.10.2, numpy 2.4.6, x86-64.
# Expected: folding (samples, channels) into (samples / 4, 4 * channels), the space-to-depth before a strided
#   convolution of audio, costs nothing: in row-major order the array stays as it is.
# What happens: XLA makes the reshape the end of the loop that computes the array, which then runs over the new shape
#   and finds each number's old row and column by division; it is no longer vectorised. lax.optimization_barrier, a pad
#   or a concatenation in between change nothing. A convolution with a stride, which takes the array as it is, is as
#   fast as space-to-depth and a convolution without one, and keeps the loop fast.
# Output seen, on one core:
#   rows 0.20 ms, the same folded 1.66 ms, equal in every bit
# Fails when the behaviour changes (the ratio falls below 2.5). Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$work/folded.py" <<'PY'
import time

import jax
import jax.numpy as jnp
import numpy as np

SAMPLES, CHANNELS, TAPS = 4096, 64, 7
rng = np.random.default_rng(0)
shapes = (SAMPLES + TAPS - 1, 1), (TAPS, CHANNELS), (SAMPLES, CHANNELS)
audio, kernel, residual = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)


def rows(audio, kernel, residual):
    y = residual
    for i in range(TAPS):
        y = y + audio[i : i + SAMPLES] * kernel[i : i + 1]
    return jnp.maximum(y, 0) + jnp.exp(jnp.minimum(y, 0)) - 1  # ELU


def folded(audio, kernel, residual):
    return rows(audio, kernel, residual).reshape(SAMPLES // 4, 4 * CHANNELS)


compiled = {function.__name__: jax.jit(function) for function in (rows, folded)}
found = {name: np.asarray(run(audio, kernel, residual)) for name, run in compiled.items()}
best = dict.fromkeys(compiled, float("inf"))
for _ in range(100):
    for name, run in compiled.items():
        start = time.perf_counter()
        run(audio, kernel, residual).block_until_ready()
        best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
equal = np.array_equal(found["rows"].ravel(), found["folded"].ravel())
print(f"rows {best['rows']:.2f} ms, the same folded {best['folded']:.2f} ms, {'equal' if equal else 'NOT equal'} in every bit")
assert equal
assert best["folded"] > 2.5 * best["rows"], "the reshape is free now"
PY
JAX_PLATFORMS=cpu taskset -c 0 "$work/venv/bin/python" "$work/folded.py"
