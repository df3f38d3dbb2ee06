"""Our files in torch's hands; run as a module, it rewrites torch's files for the plain tests of the reader."""

import collections
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.published.files import torch_writer, weights  # noqa: E402
from zoo.published.keymap import fold_weight_norm  # noqa: E402

GOLDEN = Path(__file__).parent.parent / "golden"


def tree() -> dict:
    """Every type of element, and views of all kinds."""
    base = torch.arange(12.0).reshape(3, 4) / 7
    convolution = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(3, 2, 5))
    with torch.no_grad():
        convolution.parametrizations.weight.original0.mul_(torch.tensor([2.0, 0.5]).reshape(2, 1, 1))
    tensors = {
        "plain": base,
        "columns": base[1:, ::2],
        "transposed": base.t(),
        "expanded": base[0].expand(3, 4),
        "parameter": torch.nn.Parameter(-base),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "channels_last": torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        **{
            str(dtype).removeprefix("torch."): base.mul(9).to(dtype)
            for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.int32,
                          torch.int16, torch.int8, torch.uint8, torch.bool)
        },
        **{f"normed.{key}": value for key, value in convolution.state_dict().items()},
        "normed.weight": convolution.weight.detach(),
    }  # fmt: skip
    numbers = {
        "shape": torch.Size([2, 3]),
        "dtype": torch.float16,
        "set": {1, 2},
        "none": None,
        "pi": 3.14,
        "big": 2**70,
    }
    return {
        "epoch": 3,
        "state_dict": collections.OrderedDict(tensors),
        "metadata": {"kwargs": {"rates": [2, 4], "name": "é"}, **numbers},
    }


def expected(tensors: dict) -> dict[str, np.ndarray]:
    wide = (torch.float16, torch.bfloat16)
    return {key: (t.float() if t.dtype in wide else t).detach().numpy() for key, t in tensors.items()}


def main() -> None:
    torch.manual_seed(0)
    everything = tree()
    torch.save(everything, GOLDEN / "torch_zip.pt")
    torch.save(everything, GOLDEN / "torch_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.LSTM(2, 3).state_dict(), GOLDEN / "torch_module.pt", pickle_protocol=5)
    np.savez_compressed(GOLDEN / "torch_expected.npz", **expected(everything["state_dict"]))


@pytest.mark.parametrize("form", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
def test_what_torch_saves_is_read(tmp_path, form):
    everything = tree()
    torch.save(everything, tmp_path / "a.pt", **form)
    found = weights.read(tmp_path / "a.pt").tensors
    for key, array in expected(everything["state_dict"]).items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)
        assert found[key].dtype == array.dtype
    folded = fold_weight_norm({key: array for key, array in found.items() if key != "normed.weight"})
    np.testing.assert_allclose(folded["normed.weight"], found["normed.weight"], rtol=1e-6)


def test_checksums_may_be_left_out(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.arange(3)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    np.testing.assert_array_equal(weights.read(tmp_path / "a.pt").tensors["a"], [0, 1, 2])


@pytest.mark.parametrize("weights_only", [True, False])
def test_torch_loads_what_we_write(tmp_path, weights_only):
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.standard_normal((3, 1, 5)).astype(np.float32),
        "scalar": np.float32(2.5).reshape(()),
        "empty": np.zeros((0, 2), np.float32),
        "steps": np.arange(4, dtype=np.int64),
        "mask": np.array([True, False]),
    }
    torch_writer.write(tmp_path / "a.bin", {**arrays, "kwargs": {"rates": [1, 2.5, None], "name": "é"}})
    found = torch.load(tmp_path / "a.bin", weights_only=weights_only)
    assert found.pop("kwargs") == {"rates": [1, 2.5, None], "name": "é"}
    assert list(found) == list(arrays)
    for key, tensor in found.items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[key])
        assert tensor.numpy().shape == arrays[key].shape


def test_safetensors_of_torch_and_ours(tmp_path):
    theirs = pytest.importorskip("safetensors.torch")
    tensors = {
        "b": torch.randn(3, 4).bfloat16(), "h": torch.randn(5).half(), "i": torch.arange(3), "s": torch.tensor(2.0)
    }  # fmt: skip
    theirs.save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
    found = weights.read(tmp_path / "a.safetensors")
    assert found.metadata == {"format": "pt"}
    for key, array in expected(tensors).items():
        np.testing.assert_array_equal(found.tensors[key], array)
        assert found.tensors[key].dtype == array.dtype
    weights.write_safetensors(tmp_path / "b.safetensors", found.tensors, {"note": "é"})
    for key, tensor in theirs.load_file(tmp_path / "b.safetensors").items():
        np.testing.assert_array_equal(tensor.numpy(), found.tensors[key])


if __name__ == "__main__":
    main()
