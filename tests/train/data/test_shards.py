"""Crops from prepared shards: the same as from the files, quickly, and a line for whatever is damaged."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.base import Data
from tests.train.test_prepare import RATE, noise, prepared, write
from train import data_bench
from train.data import FileCrops, ShardCrops, batches, make_source, shards
from train.data.source import is_loud, sound_db
from train.devices.data_wait import DataWait
from zoo.errors import ZooError

SHAPE = {"segment_samples": 400, "sample_rate": RATE, "channels": 1}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """16 bits at the model's rate, so that nothing changes on the way: loud, quiet and silent, long and short."""
    root = tmp_path_factory.mktemp("library")
    for n in range(6):
        write(root / "music" / f"{n}.wav", noise(1000 + 1500 * n, seed=n, level=0.3))
    write(root / "speech" / "quiet.wav", noise(9000, seed=8, level=1e-3))
    write(root / "speech" / "pause.wav", np.concatenate([noise(500, seed=9), np.zeros((9000, 1))]))
    write(root / "short.wav", noise(150, seed=10))
    return root


@pytest.fixture(scope="module")
def folder(library, tmp_path_factory) -> Path:
    return prepared(library, tmp_path_factory.mktemp("prepared") / "shards", shard_mb=0.02).root


def crops(folder: Path, **options) -> ShardCrops:
    index = shards.read_index(folder)
    assert index is not None
    return ShardCrops(index, **{**SHAPE, "seed": 3, **options})


@pytest.mark.parametrize("options", [{}, {"balance": 1.0, "gain_db": 20.0}, {"balance": 0.0, "silence_db": -50.0}])
def test_crops_are_those_of_the_files_bit_for_bit(library, folder, options):
    """So are rejected ones, weights, starts, gains, and short files in silence."""
    from_files, from_shards = FileCrops(library, **SHAPE, seed=3, **options), crops(folder, **options)
    for k in range(150):
        expected, got = from_files[k], from_shards[k]
        np.testing.assert_array_equal(got["audio"], expected["audio"])
        assert got["index"] == k
        assert got["audio"].dtype == np.float32
    assert from_shards.seconds == pytest.approx(from_files.seconds)
    assert len(shards.read_index(folder).shards) > 2


def test_a_batch_is_its_examples_whoever_asks(folder):
    source, fresh = crops(folder), crops(folder)
    order = np.random.default_rng(0).permutation(48).tolist()
    with ThreadPoolExecutor(6) as pool:
        threaded = dict(zip(order, pool.map(fresh.__getitem__, order)))
    batch = source.batch(range(48))
    assert batch["index"].dtype == np.uint32
    for k in range(48):
        np.testing.assert_array_equal(batch["audio"][k], threaded[k]["audio"])
        assert batch["index"][k] == k
    with pytest.raises(IndexError):
        source.batch([0, 2**32 - 1])


def test_stereo_serves_a_model_of_one_channel(tmp_path):
    stereo = noise(3000, 2, level=0.3)
    write(tmp_path / "in" / "a.wav", stereo)
    folder = prepared(tmp_path / "in", tmp_path / "out", channels=2).root
    options = {"seed": 3, "gain_db": 0.0, "silence_db": -np.inf}
    both = crops(folder, **options, channels=2)
    mono = crops(folder, **options)
    for k in range(10):
        np.testing.assert_allclose(mono[k]["audio"][:, 0], both[k]["audio"].mean(axis=1), atol=1e-7)
    files = FileCrops(tmp_path / "in", **SHAPE, **options)
    np.testing.assert_array_equal(mono[5]["audio"], files[5]["audio"])


def test_loudness_by_a_few_samples_decides_as_the_rms_does():
    @settings(max_examples=200, deadline=None)
    @given(
        st.integers(0, 2**32 - 1),
        st.integers(1, 2000),
        st.integers(1, 2),
        st.floats(-80, 0),
        st.floats(-3, 3),
        st.booleans(),
        st.floats(-0.5, 0.5),
    )
    def check(seed, n, channels, level_db, off_db, sparse, offset):
        rng = np.random.default_rng(seed)
        shape = rng.standard_normal((n, channels)) * (rng.random((n, channels)) < (0.05 if sparse else 1))
        offsets = np.array([offset, -0.3])[:channels]
        samples = np.clip((shape * 10 ** (level_db / 20) + offsets) * 32768, -32768, 32767).astype(np.int16)
        level = sound_db(samples / 32768)
        threshold = (level if np.isfinite(level) else -60.0) + off_db
        assert is_loud(samples, threshold, full_scale=32768.0) == (level >= threshold)
        assert is_loud((samples / 32768).astype(np.float32), threshold) == (level >= threshold)

    check()


def test_full_scale_negative_samples(tmp_path):
    square = np.where(np.arange(2000)[:, None] % 2, 1.0, -1.0)
    write(tmp_path / "in" / "square.wav", square)
    folder = prepared(tmp_path / "in", tmp_path / "out").root
    for k in range(20):
        audio = crops(folder, gain_db=12.0)[k]["audio"]
        assert np.abs(audio).max() <= 1
        assert sound_db(audio) > -12.1


# ---------------------------------------------------------------- where a run looks


def options_for(folder: Path) -> Data:
    return Data(root=str(folder), segment_s=0.05)


def test_a_run_finds_out_by_itself(library, folder):
    shape = {"sample_rate": RATE, "channels": 1, "hop_length": 64, "seed": 3}
    source = make_source(options_for(folder), **shape)
    assert isinstance(source, ShardCrops)
    assert source.segment_samples == 448
    assert isinstance(make_source(options_for(library), **shape), FileCrops)
    (batch,) = [b for b, _ in zip(batches(source, batch_size=6, start_example=12, data=Data()), range(1))]
    np.testing.assert_array_equal(batch["audio"], [source[k]["audio"] for k in range(12, 18)])


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (RATE, 2)])
def test_another_rate_or_more_channels_are_named(folder, rate, channels):
    wanted = f"prepared at 8000 Hz with 1 channel, the model has {rate} Hz and {channels} channel.*--sample_rate {rate}"
    with pytest.raises(ZooError, match=wanted):
        make_source(options_for(folder), sample_rate=rate, channels=channels, hop_length=64, seed=0)


def damage(folder: Path, name: str, change) -> None:
    path = folder / name
    data = path.read_bytes()
    path.unlink()
    if (changed := change(data)) is not None:
        path.write_bytes(changed)


def in_index(change):
    def changed(data: bytes) -> bytes:
        change(values := json.loads(data))
        return json.dumps(values).encode()

    return changed


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("shard-00001.npy", lambda data: None, r"shard-00001.npy: this shard is missing"),
        ("shard-00001.npy", lambda data: data[:-2], r"shard-00001.npy: this shard is damaged"),
        ("shard-00001.npy", lambda data: data[:40], r"shard-00001.npy: this shard is damaged"),
        ("shard-00001.npy", lambda data: b"", r"shard-00001.npy: this shard is damaged"),
        ("shard-00001.npy", lambda data: data.replace(b"<i2", b"<u2"), r"int16 .* expected, found uint16"),
        ("index.json", lambda data: None, "holds shards, but no index.json"),
        ("index.json", lambda data: data[:-20], "index.json: this index is damaged"),
        ("index.json", lambda data: b"[]", "index.json: this index is damaged"),
        ("index.json", in_index(lambda v: v.update(version=2)), "has version 2, this program reads version 1"),
        ("index.json", in_index(lambda v: v.pop("channels")), "index is damaged .'channels' is missing"),
        ("index.json", in_index(lambda v: v["files"][0].update(start=-5)), "'music/0.wav' lies outside its shard"),
        ("index.json", in_index(lambda v: v["files"][0].update(frames=10**6)), "'music/0.wav' lies outside its shard"),
        ("index.json", in_index(lambda v: v["shards"][0].update(name="../a.npy")), "'../a.npy' lies elsewhere"),
    ],
)
def test_what_is_damaged_is_named(library, tmp_path, name, change, message):
    folder = prepared(library, tmp_path / "out", shard_mb=0.02).root
    damage(folder, name, change)
    with pytest.raises(ZooError, match=message) as caught:
        make_source(options_for(folder), sample_rate=RATE, channels=1, hop_length=64, seed=0)
    assert "\n" not in str(caught.value)


def test_an_index_of_another_program_is_none(library, tmp_path):
    write(tmp_path / "a.wav", noise(1000))
    (tmp_path / "index.json").write_text('{"pages": []}')
    shape = {"sample_rate": RATE, "channels": 1, "hop_length": 64, "seed": 0}
    assert isinstance(make_source(options_for(tmp_path), **shape), FileCrops)


# ---------------------------------------------------------------- how fast


class _Slow(ShardCrops):
    def batch(self, examples):
        time.sleep(0.05)
        return super().batch(examples)


def test_the_bench_tells_speed_and_waiting(folder, monkeypatch):
    source = crops(folder)
    source.__class__ = _Slow
    monkeypatch.setattr("train.data.make_source", lambda *_, **__: source)
    options = {"data": Data(root=str(folder), threads=1, prefetch=1), "sample_rate": RATE, "batch_size": 8}
    # 50 ms and a little for 8 crops of 50 ms: for a step of 4 ms that is too slow, for one of 400 ms not
    slow = data_bench.measure(data_bench.Options(**options, seconds=0.3, step_audio_per_s=100.0))
    assert 1 < slow.audio_per_s <= 8.01
    assert 0.85 < slow.wait_share < 1
    ample = data_bench.measure(data_bench.Options(**options, seconds=0.8, step_audio_per_s=1.0))
    assert ample.wait_share < 0.2


class _Running:
    """A result that is ready when the test says so."""

    def __init__(self):
        self._done = threading.Event()
        self.is_ready = self._done.is_set
        self.block_until_ready = self._done.wait

    def finish(self) -> float:
        self._done.set()
        return time.monotonic()


def test_only_the_time_for_which_a_device_was_idle_is_waiting():
    running = _Running()
    idle = DataWait({"loss": running})
    time.sleep(0.1)
    assert idle.seconds() == 0
    ended_s = running.finish()
    deadline = ended_s + 30
    while not (waited := idle.seconds()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 0 < waited <= time.monotonic() - ended_s
    idle, started_s = DataWait({"loss": running}), time.monotonic()
    time.sleep(0.02)
    assert 0.019 < idle.seconds() < time.monotonic() - started_s + 0.01
    assert DataWait({}).seconds() >= 0


def test_more_shards_than_files_may_be_open(folder: Path) -> None:
    program = """
import resource, sys
hard = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (16, hard))
from train.data import ShardCrops, shards
index = shards.read_index(sys.argv[1])
many = shards.Index(index.root, index.sample_rate, index.channels, index.shard_mb, index.shards * 20, index.files, [])
crops = ShardCrops(many, segment_samples=400, sample_rate=index.sample_rate, channels=1)
print(len(many.shards), crops[0]["audio"].shape)
"""
    root = Path(__file__).parents[3]
    n = 20 * len(shards.read_index(folder).shards)

    def run(hard: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, str(folder), str(hard)]
        return subprocess.run(command, cwd=root, capture_output=True, text=True)

    assert n > 40
    assert run(4096).stdout == f"{n} (400, 1)\n"
    # where the system does not let it, the shards are not to blame
    assert "this shard cannot be opened (Too many open files)" in run(40).stderr
