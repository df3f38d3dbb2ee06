"""Weights rounded to half their bytes."""

from __future__ import annotations

import json
import struct

import jax
import ml_dtypes
import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, SMALL
from zoo.bitstream import entropy
from zoo.errors import ZooError
from zoo.published.files import weights
from zoo.published.precision import narrow, rounded
from zoo.saved import checkpoint


def test_numbers_are_rounded_to_the_nearest_the_even_one_of_two():
    x = np.float32([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-7, -3.0e38, np.nan])
    found = narrow(x, "bfloat16")
    assert found.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found.astype(np.float32)[:4], np.float32([1.0, 1.0, 1 + 2**-6, 1 + 2**-7]))
    assert found[4] == ml_dtypes.bfloat16(-3.0e38)
    assert np.isnan(found[5])
    np.testing.assert_array_equal(narrow(np.float32([1 + 2**-11, 65504]), "float16"), np.float16([1.0, 65504]))
    assert narrow(x, "float32") is x
    counts = np.arange(3)
    assert narrow(counts, "float16") is counts


def test_what_a_type_cannot_hold_is_refused():
    with pytest.raises(ZooError, match=r"the weights reach 7e\+04, which is beyond float16"):
        narrow(np.float32([1, -7e4]), "float16")
    assert np.isfinite(narrow(np.float32([1, -7e4]), "bfloat16").astype(np.float32)).all()


def test_a_file_has_the_two_bytes_and_gives_the_same_numbers(tmp_path):
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    arrays = {"wide": x, "narrow": narrow(x, "bfloat16"), "turned": narrow(x.T, "bfloat16"), "none": x[0, 0]}
    arrays |= {"one": np.array(1.5, ml_dtypes.bfloat16), "half": narrow(x, "float16")}
    path = tmp_path / "a.safetensors"
    weights.write_safetensors(path, arrays)
    found = weights.read(path).tensors
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], np.asarray(array, np.float32), err_msg=name)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert [header[name]["dtype"] for name in ("wide", "narrow", "half")] == ["F32", "BF16", "F16"]
    start, end = header["narrow"]["data_offsets"]
    assert end - start == 30
    bits = np.frombuffer(content[8 + length :][start:end], "<u2")
    # the upper half of the float32, and one more where the lower half is more than half of it
    exact = x.reshape(-1).view(np.uint32)
    np.testing.assert_array_equal(bits, (exact >> 16) + ((exact & 0xFFFF) > 0x8000))


def test_a_rounded_codec_is_another_one_and_stays_the_same_when_rounded_again():
    model = {"sample_rate": RATE, **SMALL["vae"]}
    module = zoo.create("vae", **model)
    rng = np.random.default_rng(0)
    template = checkpoint.codec_template(module)["params"]
    params = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), template)
    coder = entropy.Fitter(module.bottleneck.symbols()).fit()
    codec = zoo.ReadyCodec(module, {"params": params}, coder, {"family": "vae", "model": model})
    other = rounded(codec, "bfloat16")
    assert rounded(codec, "float32") is codec
    assert other.digest != codec.digest
    assert rounded(other, "bfloat16").digest == other.digest
    for before, after in zip(jax.tree.leaves(codec.variables), jax.tree.leaves(other.variables)):
        assert after.dtype == before.dtype
        np.testing.assert_allclose(after, before, rtol=2**-8)
    assert isinstance(other, zoo.ReadyCodec)
    assert other.entropy is codec.entropy
