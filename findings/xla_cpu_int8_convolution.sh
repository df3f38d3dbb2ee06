#!/usr/bin/env bash
# A convolution of int8 takes 28 times as long as one of float32 on XLA's CPU backend, where products of int8 take less.
# Versions: jax and jaxlib 0.10.2, numpy 2.4.6, x86-64 (a processor with AVX512-VNNI and -BF16).
# Expected: a codec whose weights and activations are int8, summed in int32, runs at least as fast as in float32: the
#   machine has instructions for it, and a product of matrices of these types is faster than one of float32.
# What happens: lax.dot_general of int8 goes to a library; lax.conv_general_dilated of int8 becomes a plain loop over
#   all output numbers, although it is a sum of such products, one to each tap. Written as these it is fast, and equal.
#   (A convolution of bfloat16 takes as long as one of float32, a product of 512 x 512 matrices half as long.)
# Output seen, on one core:
#   convolution: float32 2.4 ms, int8 68.4 ms; product of the same operations: float32 2.2 ms, int8 1.4 ms
# Fails when the behaviour changes (int8 falls below five times float32). Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$work/narrow.py" <<'PY'
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

FRAMES, CHANNELS, TAPS = 4000, 64, 7
rng = np.random.default_rng(0)
audio = rng.integers(-127, 128, (1, FRAMES, CHANNELS))
kernel = rng.integers(-127, 128, (TAPS, CHANNELS, CHANNELS))
windows = np.stack([audio[0, i : FRAMES - TAPS + 1 + i] for i in range(TAPS)], 1).reshape(-1, TAPS * CHANNELS)


@jax.jit
def convolution(x, kernel):
    total = jnp.float32 if x.dtype == jnp.float32 else jnp.int32
    dimensions = ("NWC", "WIO", "NWC")
    y = lax.conv_general_dilated(
        x, kernel, (1,), "VALID", dimension_numbers=dimensions, preferred_element_type=total
    )
    return y[0]


@jax.jit
def product(windows, kernel):
    total = jnp.float32 if windows.dtype == jnp.float32 else jnp.int32
    flat = kernel.reshape(-1, kernel.shape[-1])
    return lax.dot_general(windows, flat, (((1,), (0,)), ((), ())), preferred_element_type=total)


best, found = {}, {}
for dtype in (jnp.float32, jnp.int8):
    for run, x in ((convolution, audio), (product, windows)):
        given = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
        name = f"{run.__name__} {dtype.__name__}"
        found[name] = np.asarray(run(*given))
        best[name] = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            run(*given).block_until_ready()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
assert np.array_equal(found["convolution int8"], found["product int8"])
assert np.array_equal(found["convolution float32"], found["convolution int8"])  # all sums are below 2**24
print(
    f"convolution: float32 {best['convolution float32']:.1f} ms, int8 {best['convolution int8']:.1f} ms; "
    f"product of the same operations: float32 {best['product float32']:.1f} ms, int8 {best['product int8']:.1f} ms"
)
assert best["product int8"] < 2 * best["product float32"]
assert best["convolution int8"] > 5 * best["convolution float32"], "convolutions of int8 are fast now"
PY
JAX_PLATFORMS=cpu taskset -c 0 "$work/venv/bin/python" "$work/narrow.py"
