"""Training data: every example a pure function of (seed, k), whoever asks for it, in whatever order."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.base import Data
from tests.audio_files import RATE, noise, write, write_tree
from train.data import CropSource, FileCrops, SyntheticCrops, batches, make_source
from train.data.source import example_rng, random_gain, sound_db
from zoo import audio
from zoo.errors import ZooError


def crops(root: Path, **options) -> FileCrops:
    defaults = {"segment_samples": 400, "sample_rate": RATE, "channels": 1, "seed": 3}
    return FileCrops(root, **{**defaults, **options})


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Mixed rates, channels and formats."""
    return write_tree(tmp_path_factory.mktemp("tree"))


class Ramp(CropSource):
    """Example k is full of k's own random number: cheap, and wrong wherever an example is swapped."""

    def __init__(self, seed: int = 0):
        super().__init__(segment_samples=4, sample_rate=RATE, channels=1, seed=seed, gain_db=0, silence_db=-np.inf)

    def _draw(self, rng, k, attempt):
        return np.full((4, 1), rng.random(), np.float32)


# ---------------------------------------------------------------- purity


@pytest.mark.parametrize("channels", [1, 2])
def test_an_example_depends_on_seed_and_number_alone(tree, channels):
    source = crops(tree, channels=channels)
    first = [source[k] for k in range(24)]
    for k, example in enumerate(first):
        assert example["audio"].shape == (400, channels)
        assert example["audio"].dtype == np.float32
        assert example["index"].dtype == np.uint32
        assert int(example["index"]) == k
        assert 0 < np.abs(example["audio"]).max() <= 1
    fresh = crops(tree, channels=channels)
    order = np.random.default_rng(0).permutation(24).tolist()
    with ThreadPoolExecutor(6) as pool:
        threaded = dict(zip(order, pool.map(fresh.__getitem__, order)))
    for k in range(24):
        np.testing.assert_array_equal(threaded[k]["audio"], first[k]["audio"])
    others = [*first[1:], crops(tree, channels=channels, seed=4)[0]]
    assert all(np.abs(first[0]["audio"] - o["audio"]).max() > 1e-3 for o in others)


def test_rejected_and_unreadable_draws_do_not_break_purity(tmp_path):
    write(tmp_path / "loud.wav", noise(4000))
    write(tmp_path / "silent.wav", np.zeros((4000, 1)))
    holes = noise(4000, seed=1)
    holes[2000:, 0] = np.nan
    write(tmp_path / "holes.wav", holes, subtype="FLOAT")
    forward, backward = crops(tmp_path, on_skip=lambda *_: None), crops(tmp_path, on_skip=lambda *_: None)
    ahead = [forward[k]["audio"] for k in range(40)]
    back = [backward[k]["audio"] for k in reversed(range(40))][::-1]
    np.testing.assert_array_equal(ahead, back)
    # The readable half of the file with holes is still drawn from after its other half failed.
    assert list(forward.skipped) == [tmp_path / "holes.wav"]
    readable = [a for a in ahead if _is_from(a[:, 0], holes[:2000, 0])]
    assert len(readable) >= 3


def _is_from(crop: np.ndarray, file: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(file, len(crop))
    similarity = windows @ crop / (np.linalg.norm(windows, axis=1) * np.linalg.norm(crop))
    return bool(similarity.max() > 0.999)


# ---------------------------------------------------------------- crops


@pytest.mark.parametrize("channels", [1, 2])
def test_a_crop_is_a_stretch_of_a_file_times_a_gain(tmp_path, channels):
    files = {"mono": noise(3000, 1, seed=1), "stereo": noise(3000, 2, seed=2)}
    for name, samples in files.items():
        write(tmp_path / f"{name}.wav", samples, subtype="FLOAT")
    mixed = {name: audio.mix_channels(samples, channels) for name, samples in files.items()}
    source = crops(tmp_path, channels=channels, gain_db=12.0)
    seen = set()
    for k in range(20):
        crop = source[k]["audio"]
        (name,) = [n for n, samples in mixed.items() if _is_from(crop[:, 0], samples[:, 0])]
        stretches = np.lib.stride_tricks.sliding_window_view(mixed[name], 400, axis=0).transpose(0, 2, 1)
        stretch = stretches[np.argmax(np.abs(stretches[..., 0] @ crop[:, 0]))]
        gain = np.vdot(crop, stretch) / np.vdot(stretch, stretch)
        np.testing.assert_allclose(crop, gain * stretch, rtol=0, atol=1e-6)
        assert abs(20 * np.log10(gain)) <= 12 + 1e-4
        seen.add(name)
    assert seen == set(files)


def test_short_files_lie_anywhere_in_silence(tmp_path):
    write(tmp_path / "short.wav", np.full((100, 1), 0.5))
    source = crops(tmp_path, gain_db=0.0)
    starts = []
    for k in range(300):
        (place,) = np.nonzero(source[k]["audio"][:, 0])
        assert len(place) == 100
        assert place[-1] - place[0] == 99
        starts.append(place[0])
    assert min(starts) < 15
    assert max(starts) > 285
    assert abs(np.mean(starts) - 150) < 4 * 300 / np.sqrt(12 * 300)


def test_starts_are_uniform_over_a_file(tmp_path):
    write(tmp_path / "ramp.wav", np.linspace(-1, 1, 10_001)[:, None], subtype="FLOAT")
    source = crops(tmp_path, gain_db=0.0, silence_db=-np.inf, segment_samples=1001)
    starts = np.array([source[k]["audio"][0, 0] for k in range(600)])
    starts = (starts + 1) * 5000  # sample numbers, uniform on 0 … 9000
    assert abs(starts.mean() - 4500) < 4 * 9000 / np.sqrt(12 * 600)
    assert starts.min() < 90
    assert starts.max() > 8910
    counts = np.histogram(starts, 6, (0, 9000))[0]
    assert np.sum((counts - 100) ** 2 / 100) < 20.5  # chi-square, 5 degrees of freedom: p = 0.001


def test_resampled_crops_have_no_edges(tmp_path):
    # A sine stays a sine up to the first and last sample only if its surroundings were decoded too.
    n = 44100
    write(tmp_path / "sine.wav", 0.5 * np.sin(2 * np.pi * 1000 * np.arange(n) / n)[:, None], n, subtype="FLOAT")
    source = crops(tmp_path, gain_db=0.0)
    angles = 2 * np.pi * 1000 * np.arange(400) / RATE
    basis = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    inside = 0
    for k in range(40):
        crop = source[k]["audio"][:, 0].astype(np.float64)
        coefficients = np.linalg.lstsq(basis, crop, rcond=None)[0]
        error = np.abs(crop - basis @ coefficients).max()
        inside += error < 2e-5 and abs(np.hypot(*coefficients) - 0.5) < 2e-5
    assert inside >= 38  # at most a crop or two touches the file's own beginning or end


@pytest.mark.parametrize("gain_db", [0.0, 6.0, 20.0])
def test_gain_is_uniform_in_db_and_peaks_stay_below_one(gain_db):
    samples = noise(500, level=0.02)
    gains = np.array(
        [sound_db(random_gain(example_rng(0, k), samples, gain_db)) - sound_db(samples) for k in range(400)]
    )
    assert np.abs(gains).max() <= gain_db + 1e-4
    assert abs(gains.mean()) <= 4 * 2 * gain_db / np.sqrt(12 * 400) + 1e-4
    if gain_db:
        assert gains.min() < -0.9 * gain_db
        assert gains.max() > 0.9 * gain_db
    loud = noise(500, level=0.5)
    peak = np.abs(loud).max()
    for k in range(50):
        scaled = random_gain(example_rng(0, k), loud, gain_db)
        expected = min(10 ** (gains[k] / 20) * peak, 1.0)
        np.testing.assert_allclose(np.abs(scaled).max(), expected, rtol=1e-4)
        np.testing.assert_allclose(scaled * (peak / np.abs(scaled).max()), loud, rtol=0, atol=1e-5)


def test_level_in_dbfs():
    square = np.where(np.arange(10) % 2, 1.0, -1.0)[:, None].astype(np.float32)
    assert sound_db(square) == pytest.approx(0)
    assert sound_db(0.1 * np.repeat(square, 2, axis=1)) == pytest.approx(-20, abs=1e-5)
    assert sound_db(np.zeros((10, 1), np.float32)) == -np.inf
    # what is constant is not heard, be it another constant in each channel
    assert sound_db(0.01 * square + [0.9, -0.5]) == pytest.approx(-40, abs=1e-5)
    assert sound_db(np.full((24_000, 1), 0.3, np.float32)) < -140


def test_silent_crops_are_drawn_again_up_to_ten_times(tmp_path):
    write(tmp_path / "loud.wav", noise(4000))
    write(tmp_path / "quiet.wav", noise(12000, level=5e-4), subtype="FLOAT")  # -66 dBFS
    source = crops(tmp_path, gain_db=0.0)
    levels = np.array([sound_db(source[k]["audio"]) for k in range(200)])
    # Three quarters of the draws are quiet: 0.75^11 = 4 % stay so.
    assert 0 < np.sum(levels < -60) < 25
    patient = crops(tmp_path, gain_db=0.0, silence_db=-90)
    unlimited = np.array([sound_db(patient[k]["audio"]) for k in range(200)])
    assert abs(np.mean(unlimited < -60) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 200)


# ---------------------------------------------------------------- weighting


@pytest.mark.parametrize(
    ("balance", "shares"),
    [
        # at 8 kHz, group "a": 1000 + 3000 samples, "b": 12000; weights 4^(1-balance) : 12^(1-balance)
        (0.0, {"a1": 1 / 16, "a2": 3 / 16, "b1": 12 / 16}),
        (1.0, {"a1": 1 / 8, "a2": 3 / 8, "b1": 1 / 2}),
        (0.5, {"a1": 0.25 / (1 + 3**0.5), "a2": 0.75 / (1 + 3**0.5), "b1": 3**0.5 / (1 + 3**0.5)}),
    ],
)
def test_crops_are_weighted_by_duration_and_balanced_between_folders(tmp_path, balance, shares):
    levels = {"a1": 0.2, "a2": 0.4, "b1": 0.6}
    for name, n, rate in (("a1", 2000, 16000), ("a2", 3000, 8000), ("b1", 12000, 8000)):  # a1: 1/8 s at 16 kHz
        write(tmp_path / name[0] / f"{name}.wav", np.full((n, 1), levels[name]), rate)
    source = crops(tmp_path, balance=balance, gain_db=0.0, segment_samples=50)
    # The file of a crop shows in its level; the median leaves out what rings at a file's ends.
    n = 600
    medians = np.array([np.median(source[k]["audio"]) for k in range(n)])
    counts = {name: int(np.sum(np.abs(medians - level) < 0.01)) for name, level in levels.items()}
    assert sum(counts.values()) == n
    for name, share in shares.items():
        assert abs(counts[name] - n * share) < 4 * np.sqrt(n * share * (1 - share))


# ---------------------------------------------------------------- files that cannot be read


def test_unreadable_files_are_skipped_named_once_and_counted(tmp_path, capsys):
    write(tmp_path / "good.wav", noise(4000))
    (tmp_path / "bad.flac").write_text("no audio")
    write(tmp_path / "cut.flac", noise(40000, seed=1))
    data = (tmp_path / "cut.flac").read_bytes()
    # both ends are whole: found out only when decoding
    (tmp_path / "cut.flac").write_bytes(data[:9000] + bytes(len(data) - 18_000) + data[-9000:])
    source = crops(tmp_path)
    assert list(source.skipped) == [tmp_path / "bad.flac"]
    with ThreadPoolExecutor(4) as pool:
        examples = list(pool.map(source.__getitem__, range(30)))
    good, cut = noise(4000)[:, 0], noise(40000, seed=1)[:, 0]
    assert all(_is_from(e["audio"][:, 0], good) or _is_from(e["audio"][:, 0], cut) for e in examples)
    assert set(source.skipped) == {tmp_path / "bad.flac", tmp_path / "cut.flac"}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for name in ("bad.flac", "cut.flac"):
        assert sum(name in line for line in lines) == 1
        assert str(tmp_path / name) in source.skipped[tmp_path / name]


def test_a_deleted_file_is_reported_to_the_callback(tmp_path):
    write(tmp_path / "a.wav", noise(4000))
    write(tmp_path / "b.wav", noise(4000))
    named = []
    source = crops(tmp_path, on_skip=lambda path, reason: named.append((path.name, reason)))
    (tmp_path / "b.wav").unlink()
    for k in range(20):
        source[k]
    assert [n for n, _ in named] == ["b.wav"]
    assert "No such file" in named[0][1]
    (tmp_path / "a.wav").unlink()
    with pytest.raises(ZooError, match="example 77"):
        source[77]


def test_folders_without_readable_audio_are_errors(tmp_path):
    with pytest.raises(ZooError, match="nowhere: no such folder"):
        crops(tmp_path / "nowhere")
    with pytest.raises(ZooError, match="holds no audio"):
        crops(tmp_path)
    (tmp_path / "bad.wav").write_text("no audio")
    with pytest.raises(ZooError, match="none of its 1 audio files can be read"):
        crops(tmp_path, on_skip=lambda *_: None)


@pytest.mark.parametrize(
    ("field", "value"), [("root", "nowhere"), ("segment_s", 0.0), ("balance", 1.5), ("gain_db", -1.0)]
)
def test_bad_data_settings_name_the_culprit(tree, field, value):
    data = dataclasses.replace(Data(root=str(tree)), **{field: value})
    with pytest.raises(ZooError, match=str(value) if field == "root" else f"data.{field}"):
        make_source(data, sample_rate=RATE, channels=1, hop_length=64, seed=0)


# ---------------------------------------------------------------- pipeline


@settings(max_examples=30, deadline=None)
@given(segment_s=st.floats(1e-6, 3), hop_length=st.integers(1, 2000), rate=st.sampled_from([8000, 24000, 44100]))
def test_segments_are_whole_frames(segment_s, hop_length, rate):
    source = make_source(Data(segment_s=segment_s), sample_rate=rate, channels=2, hop_length=hop_length, seed=0)
    assert isinstance(source, SyntheticCrops)
    assert source.segment_samples % hop_length == 0
    assert 0 <= source.segment_samples - max(round(segment_s * rate), 1) < hop_length


def _take(n: int, source: CropSource, **options) -> list[dict[str, np.ndarray]]:
    iterator = batches(source, data=Data(), **options)
    return [next(iterator) for _ in range(n)]


def test_batches_hold_consecutive_examples_whatever_the_threads(tree):
    source = crops(tree)
    reference = None
    for threads in (1, 2, 5):
        iterator = batches(source, batch_size=6, start_example=10, data=Data(threads=threads, prefetch=3))
        got = [next(iterator) for _ in range(4)]
        index = np.concatenate([b["index"] for b in got])
        np.testing.assert_array_equal(index, np.arange(10, 34))
        assert index.dtype == np.uint32
        stacked = np.concatenate([b["audio"] for b in got])
        assert stacked.shape == (24, 400, 1)
        reference = stacked if reference is None else reference
        np.testing.assert_array_equal(stacked, reference)
    np.testing.assert_array_equal(reference, [source[k]["audio"] for k in range(10, 34)])


@settings(max_examples=15, deadline=None)
@given(batch_size=st.integers(1, 9), start=st.integers(0, 2**32 - 200), done=st.integers(1, 5))
def test_resuming_continues_exactly(batch_size, start, done):
    source = Ramp()
    uninterrupted = _take(done + 2, source, batch_size=batch_size, start_example=start)
    resumed = _take(2, source, batch_size=batch_size, start_example=start + done * batch_size)
    for a, b in zip(uninterrupted[done:], resumed):
        np.testing.assert_array_equal(a["audio"], b["audio"])
        np.testing.assert_array_equal(a["index"], b["index"])


@settings(max_examples=15, deadline=None)
@given(processes=st.integers(1, 4), local=st.integers(1, 4), start=st.integers(0, 1000))
def test_processes_share_each_batch(processes, local, start):
    source, size = Ramp(), processes * local
    whole = _take(3, source, batch_size=size, start_example=start)
    shares = [
        _take(3, source, batch_size=size, start_example=start, process_index=p, process_count=processes)
        for p in range(processes)
    ]
    for i in range(3):
        for key in ("audio", "index"):
            np.testing.assert_array_equal(np.concatenate([s[i][key] for s in shares]), whole[i][key])


@pytest.mark.parametrize(
    "options", [{"batch_size": 6, "process_count": 4}, {"batch_size": 0}, {"batch_size": 4, "process_index": 1}]
)
def test_batches_that_cannot_be(options):
    with pytest.raises(ZooError):
        batches(Ramp(), data=Data(), **options)


def test_an_error_in_a_reader_thread_arrives(tmp_path):
    write(tmp_path / "a.wav", noise(4000))
    source = crops(tmp_path, on_skip=lambda *_: None)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(ZooError, match="no readable crop for example"):
        _take(1, source, batch_size=2)


def test_reader_threads_end_with_their_iterator():
    before = {*threading.enumerate()}  # some of other tests, which may never end
    iterator = batches(Ramp(), batch_size=2, data=Data(threads=3))
    next(iterator)
    readers = {*threading.enumerate()} - before
    assert readers
    del iterator
    for thread in readers:
        thread.join(5)
    assert not any(thread.is_alive() for thread in readers)


# ---------------------------------------------------------------- the embedded generator


def test_synthetic_crops_are_pure_and_levelled():
    options = {"segment_samples": 4000, "sample_rate": RATE, "channels": 2}
    source = SyntheticCrops(**options, seed=5, gain_db=3.0)
    examples = [source[k]["audio"] for k in range(6)]
    assert all(e.shape == (4000, 2) and e.dtype == np.float32 for e in examples)
    assert all(sound_db(e) > -63 and np.abs(e).max() <= 1 for e in examples)
    again = SyntheticCrops(**options, seed=5, gain_db=3.0)
    np.testing.assert_array_equal(again[4]["audio"], examples[4])
    assert np.abs(SyntheticCrops(**options, seed=6, gain_db=3.0)[4]["audio"] - examples[4]).max() > 1e-3
    assert np.abs(examples[0] - examples[1]).max() > 1e-3
