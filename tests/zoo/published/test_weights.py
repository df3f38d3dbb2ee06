"""Files of tensors: what torch wrote is read, and nothing that a file may hold does any harm."""

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoo.errors import CheckpointError
from zoo.published.files import torch_writer, weights

GOLDEN = Path(__file__).parent / "golden"
FILES = ["torch_zip.pt", "torch_legacy.pt"]
RNG = np.random.default_rng(0)
TENSORS = {"a.weight": RNG.standard_normal((3, 4)).astype(np.float32), "a.bias": np.arange(3, dtype=np.float32)}


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        weights.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 400
    return message


def read_or_complaint(path: Path) -> weights.Checkpoint | str:
    try:
        return weights.read(path)
    except CheckpointError as error:
        return str(error)


def check_read_or_refused(path: Path) -> None:
    """Asserts that a damaged file is refused in a line, or gives no more than it has."""
    found = read_or_complaint(path)
    if isinstance(found, weights.Checkpoint):
        assert all(array.nbytes < 10**6 for array in found.tensors.values())
    else:
        assert "\n" not in found


@pytest.mark.parametrize("name", FILES)
def test_all_that_torch_saves_is_read(name):
    found = weights.read(GOLDEN / name)
    with np.load(GOLDEN / "torch_expected.npz") as expected:
        assert set(found.tensors) == set(expected)
        for key, array in expected.items():
            np.testing.assert_array_equal(found.tensors[key], array, err_msg=key)
            assert found.tensors[key].dtype == array.dtype, key
    numbers = {"shape": (2, 3), "dtype": "torch.float16", "set": {1, 2}, "none": None, "pi": 3.14, "big": 2**70}
    assert found.metadata == {"epoch": 3, "metadata": {"kwargs": {"rates": [2, 4], "name": "é"}, **numbers}}


def test_a_bare_state_dict_with_versions_is_read():
    found = weights.read(GOLDEN / "torch_module.pt")
    shapes = {"weight_ih_l0": (12, 2), "weight_hh_l0": (12, 3), "bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    assert {key: array.shape for key, array in found.tensors.items()} == shapes


@pytest.mark.parametrize(
    "nest",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "metadata": {"kwargs": {}}},
        lambda state: {"best_state": {"model": state}, "xp.cfg": "a: 1"},
        lambda state: {"model": state, "optimizer": {"state": {0: {"step": TENSORS["a.bias"]}}}, "epoch": 1},
    ],
)
def test_what_training_programs_wrap_around_it_is_taken_off(tmp_path, nest):
    torch_writer.write(tmp_path / "a.ckpt", nest(TENSORS))
    found = weights.read(tmp_path / "a.ckpt").tensors
    assert list(found) == list(TENSORS)
    for key, array in TENSORS.items():
        np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("tree", [{}, {"a": 1}, {"state_dict": {"x": {}}}, {"state_dict": {"epoch": 3}}])
def test_a_file_without_tensors_is_refused(tmp_path, tree):
    torch_writer.write(tmp_path / "a.pth", tree)
    assert "no dictionary of tensors" in refused(tmp_path / "a.pth")


def packed(path: Path, program: bytes, data: bytes = bytes(16), compression: int = zipfile.ZIP_STORED) -> Path:
    """A file of torch.save with this pickle, and one storage."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", data)
    return path


class Harm:
    """Unpickled in the usual way, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_file_is_run(tmp_path, protocol):
    program = pickle.dumps({"a": Harm(tmp_path / "harm")}, protocol)
    message = refused(packed(tmp_path / "a.pth", program))
    assert not (tmp_path / "harm").exists()
    assert "it asks for" in message
    assert "which is refused" in message
    pickle.loads(program)
    assert (tmp_path / "harm").exists()  # or the above showed nothing


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        (b"cos\nsystem\n(X\x04\x00\x00\x00truetR.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "os.system"),
        (b"\x80\x04]]\x93.", "without a name"),
        (b"c__builtin__\neval\n(X\x03\x00\x00\x001+1tR.", "__builtin__.eval"),
        (b"(X\x04\x00\x00\x00trueios\nsystem\n.", "INST os system"),
        (b"(" + TENSOR + b"X\x01\x00\x00\x00ao.", "OBJ"),
        (TENSOR + b")\x81.", "NEWOBJ"),
        (TENSOR + b")}\x92.", "NEWOBJ_EX"),
        (TENSOR + b"}X\x01\x00\x00\x00aK\x01sb.", "sets attributes"),
        (TENSOR + b"N}X\x0c\x00\x00\x00__defaults__)s\x86b.", "sets attributes"),
        (b"\x82\x01.", "EXT1"),
        (b"P0\n.", "PERSID"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"K\x01)R.", "calls what is no function"),
        (b"ctorch\nFloatStorage\n)R.", "calls what is no function"),
        (b"X\x01\x00\x00\x00aQ.", "damaged"),
        (b"ctorch\nload\n(X\x01\x00\x00\x00atR.", "torch.load"),
        (b"ctorch.storage\n_load_from_bytes\n(X\x01\x00\x00\x00atR.", "_load_from_bytes"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)R.", "numpy.core.multiarray"),
        (b"K\x01K\x02e.", "damaged"),
        (b"", "damaged"),
        (b".", "damaged"),
        (b"(K\x01", "damaged"),
        # what would cost all memory
        (b"}r\xff\xff\xff\xff.", "no dictionary of tensors"),
        (b"X\xff\xff\xff\xff.", "damaged"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
        (b"}" + b")" + b"\x85" * 200_000 + b"K\x01s.", "tuples"),
        (b"(" * 200_000 + b".", "damaged"),
        (b"]" * 2000 + b"a" * 1999 + b".", "no dictionary of tensors"),
        (b"]q\x00h\x00a.", "no dictionary of tensors"),
        (b"}q\x00K\x01h\x00s.", "no dictionary of tensors"),
    ],
)  # fmt: skip
def test_programs_that_do_more_than_build_data_are_refused(tmp_path, program, complaint):
    assert complaint in refused(packed(tmp_path / "a.pth", program))


def integers(*numbers: int) -> bytes:
    return b"(" + b"".join(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in numbers) + b"t"


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "fine"),
    [
        (0, (2, 2), (2, 1), True),
        (1, (3,), (1,), True),
        (3, (), (), True),
        (3, (4,), (0,), True),
        (9, (0,), (1,), True),
        (1, (2, 2), (2, 1), False),
        (4, (), (), False),
        (0, (2,), (4,), False),
        (0, (2,), (-1,), False),
        (-1, (1,), (1,), False),
        (0, (-1,), (1,), False),
        (0, (2, 2), (1,), False),
        (0, (2**60,), (0,), False),
        (0, (2**40, 2**40), (0, 0), False),
        (2**62, (1,), (1,), False),
        (0, (2**62,), (2**62,), False),
        (0, (1,) * 40, (1,) * 40, False),
    ],
)
def test_a_view_stays_within_its_storage(tmp_path, offset, shape, strides, fine):
    view = integers(offset)[1:-1] + integers(*shape) + integers(*strides)
    program = b"}X\x01\x00\x00\x00a" + TENSOR + b"(" + STORAGE + view + b"\x89}tRs."
    path = packed(tmp_path / "a.pth", program, np.arange(4, dtype="<f4").tobytes())
    if not fine:
        refused(path)
        return
    array = weights.read(path).tensors["a"]
    assert array.shape == shape
    for index in np.ndindex(shape):
        assert array[index] == offset + np.dot(index, strides)


def test_big_endian_files_are_read(tmp_path):
    program = b"}X\x01\x00\x00\x00a" + TENSOR + b"(" + STORAGE + b"K\x00K\x04\x85K\x01\x85\x89}tRs."
    path = packed(tmp_path / "a.pth", program, np.arange(4, dtype=">f4").tobytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", b"big")
    np.testing.assert_array_equal(weights.read(path).tensors["a"], [0, 1, 2, 3])


def test_storages_of_another_size_are_refused(tmp_path):
    program = b"}X\x01\x00\x00\x00a" + TENSOR + b"(" + STORAGE + b"K\x00K\x04\x85K\x01\x85\x89}tRs."
    assert "12 bytes long" in refused(packed(tmp_path / "a.pth", program, bytes(12)))
    assert "compressed" in refused(packed(tmp_path / "b.pth", program, bytes(16), zipfile.ZIP_DEFLATED))
    two = program.replace(b"s.", b"X\x01\x00\x00\x00b" + TENSOR + b"(" + STORAGE.replace(b"Float", b"Int"), 1)
    assert "two types" in refused(packed(tmp_path / "c.pth", two + b"K\x00))\x89}tR."))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
        (b"\x80\x02}q\x00.", "none of torch.save"),
        (b"<html>404</html>", "neither"),
        (b"PK\x03\x04", "damaged"),
        (struct.pack("<Q", 2) + b"{}", "no dictionary"),
    ],
)
def test_other_files_are_told_apart(tmp_path, content, complaint):
    (tmp_path / "a.pth").write_bytes(content)
    if complaint != "no dictionary":
        assert complaint in refused(tmp_path / "a.pth")
    else:
        assert weights.read(tmp_path / "a.pth").tensors == {}  # the key map says what is missing
    assert "cannot be read" in refused(tmp_path)
    assert "cannot be read" in refused(tmp_path / "nowhere.pth")


@given(st.sampled_from(FILES), st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_damaged_torch_files_are_read_or_refused(tmp_path_factory, name, data):
    content = bytearray((GOLDEN / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        # more often where the structure is than in the numbers
        at = data.draw(st.integers(0, min(len(content) - 1, data.draw(st.sampled_from([60, 3000, 10**6])))))
        kind = data.draw(st.sampled_from(["set", "cut", "drop", "insert"]))
        if kind == "set":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at:]
            break
        else:
            content[at : at + 4 * (kind == "drop")] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(content)
    check_read_or_refused(path)


@given(st.binary(max_size=60))
@example(b"\x80\x02}.")
@settings(max_examples=300, deadline=None, derandomize=True)
def test_pickles_of_noise_are_refused(tmp_path_factory, noise):
    refused(packed(tmp_path_factory.getbasetemp() / "noise.pt", b"\x80\x02" + noise))


def test_every_cut_of_a_file_is_refused(tmp_path):
    weights.write_safetensors(tmp_path / "a.safetensors", TENSORS)
    torch_writer.write(tmp_path / "a.pt", TENSORS)
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pt", GOLDEN / FILES[1]):
        content = path.read_bytes()
        cut = tmp_path / "cut.pt"
        for n in range(0, len(content), 1 + len(content) // 100):
            cut.write_bytes(content[:n])
            refused(cut)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "i4", "i2", "i1", "u1", "?", "u4"])
def test_safetensors_are_written_and_read(tmp_path, dtype):
    theirs = pytest.importorskip("safetensors.numpy")
    arrays = {
        "a": (100 * RNG.random((3, 5))).astype(dtype), "b": np.zeros((0, 4), dtype), "c": np.ones((), dtype),
        "transposed": (100 * RNG.random((3, 5))).astype(dtype).T, "float": np.float32([1.5]),
    }  # fmt: skip
    weights.write_safetensors(tmp_path / "ours.safetensors", arrays, {"note": "é"})
    theirs.save_file({key: np.ascontiguousarray(a) for key, a in arrays.items()}, tmp_path / "theirs.safetensors")
    for name in ("ours.safetensors", "theirs.safetensors"):
        found = weights.read(tmp_path / name)
        loaded = theirs.load_file(tmp_path / name)
        for key, array in arrays.items():
            for read in (found.tensors[key], loaded[key]):
                np.testing.assert_array_equal(read, array)
                assert read.dtype == array.dtype
    assert weights.read(tmp_path / "ours.safetensors").metadata == {"format": "pt", "note": "é"}


def safetensors(path: Path, header: bytes, data: bytes = bytes(8)) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def test_narrow_floats_become_wide(tmp_path):
    halves = np.array([1.5, -2.0, 65504.0], np.float16)
    bits = np.array([0x3FC0, 0xC000, 0x7F7F], np.uint16)  # 1.5, −2, and the largest bfloat16
    header = (
        b'{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[6,12]}}'
    )
    found = weights.read(safetensors(tmp_path / "a.safetensors", header, halves.tobytes() + bits.tobytes())).tensors
    np.testing.assert_array_equal(found["h"], np.float32([1.5, -2.0, 65504.0]))
    np.testing.assert_array_equal(found["b"], np.float32([1.5, -2.0, 3.3895313892515355e38]))
    assert found["h"].dtype == found["b"].dtype == np.float32


@pytest.mark.parametrize(
    "header",
    [
        b"{", b"{]}", b'{"a":1}', b'{"a":{}}', b'{"__metadata__":3}', b"{" + b'"a":{' * 100_000, b'{"\xff":1}',
        *(
            b'{"a":{"dtype":%s,"shape":%s,"data_offsets":%s}}' % entry
            for entry in [
                (b'"F32"', b"[2]", b"[0,12]"), (b'"F32"', b"[3]", b"[0,8]"), (b'"F32"', b"[-2]", b"[0,8]"),
                (b'"F8_E4M3"', b"[8]", b"[0,8]"), (b'"F32"', b"[2]", b"[0]"), (b'"F32"', b"[2.0]", b"[0,8]"),
                (b'"F32"', b"2", b"[0,8]"), (b'"F32"', b"[4611686018427387904,4]", b"[0,0]"), (b"7", b"[2]", b"[0,8]"),
                (b'"F32"', b"[2]", b"[8,0]"), (b'"F32"', b"[0,18446744073709551616]", b"[0,0]"),
            ]
        ),
    ],
)  # fmt: skip
def test_headers_that_do_not_fit_are_refused(tmp_path, header):
    refused(safetensors(tmp_path / "a.safetensors", header))


@given(st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_damaged_safetensors_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    weights.write_safetensors(path, TENSORS)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    check_read_or_refused(path)
