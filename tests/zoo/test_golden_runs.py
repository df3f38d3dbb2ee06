"""Run directories that earlier versions wrote, and the `.zac` files coded with them, are read for ever."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

import zoo

GOLDEN = Path(__file__).parent / "golden" / "run_directories"


def unpacked(name: str, folder: Path) -> Path:
    """The golden run directory `name`, unpacked below `folder`."""
    with tarfile.open(GOLDEN / f"{name}.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    return folder / name


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_an_old_run_loads_and_decodes_its_files(name: str, tmp_path: Path) -> None:
    run = unpacked(name, tmp_path)
    codec = zoo.load(run)
    blob = (run / "song.zac").read_bytes()
    decoded = np.load(run / "decoded.npy")
    # the file names the weights it was made with, so that they are found again below the folder of the run
    audio, sample_rate = zoo.decompress(blob, root=tmp_path)
    assert sample_rate == codec.sample_rate
    np.testing.assert_allclose(audio, decoded, atol=1e-4)
    again = codec.decompress(codec.compress(np.load(run / "song.npy"), sample_rate)).audio
    # another machine's rounding may send a code or two elsewhere
    assert np.mean((again - decoded) ** 2) < 1e-3 * np.mean(decoded**2)
