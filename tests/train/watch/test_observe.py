"""What a run shows while it trains: held-out clips, histograms, a profile, and the table at its start."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.gan_vocoder import GanVocoder
from evaluate.clips import held_out_clips
from tests.train.run.initialised import TINY, at
from train.data import make_source
from train.run import loop
from train.step.task import CodecTask
from train.watch import profile, summary
from train.watch.log import MetricsLog, read_metrics
from train.watch.observe import HeldOut, Observer, draw, histograms
from train.watch.profile import Profiler
from zoo.errors import ZooError
from zoo.nn.bottlenecks import SymbolFormat

SHOWN = dataclasses.replace(
    TINY,
    tensorboard=True,
    adversarial_start=-1,
    loss=dataclasses.replace(TINY.loss, adversarial=0.0),
    evaluation=dataclasses.replace(TINY.evaluation, samples=2),
)

SHOW = summary.show  # which other runs do without


def events(folder: Path) -> list[Any]:
    """Every value that TensorBoard was given, with its step."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data, start = path.read_bytes(), 0
        while start < len(data):  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
            (size,) = struct.unpack_from("<Q", data, start)
            event = Event.FromString(data[start + 12 : start + 12 + size])
            start += size + 16
            found += [(event.step, value) for value in event.summary.value]
    return found


# --- held-out clips


class Recorder(MetricsLog):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str, Any]] = []

    def audio(self, tag: str, samples: np.ndarray, sample_rate: int, step: int) -> None:
        self.given.append(("audio", tag, samples))

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        self.given.append(("image", tag, pixels))

    def histogram(self, tag: str, counts: np.ndarray, step: int, *, first: int = 0) -> None:
        self.given.append(("histogram", tag, counts))


@pytest.mark.usefixtures("short")
def test_held_out_clips_are_measured_with_the_parameters_that_are_given() -> None:
    module = CodecTask(SHOWN).module
    log = Recorder()
    source = make_source(SHOWN.data, sample_rate=8000, channels=1, hop_length=module.hop_length, seed=0)
    observer = Observer(SHOWN, module, log, HeldOut(SHOWN, source))
    clips = held_out_clips(n_clips=2, clip_s=0.3, sample_rate=8000)
    audio = np.stack([clip.samples for clip in clips])
    params = jax.jit(module.init)(jax.random.key(0), audio)["params"]
    found = observer.at_checkpoint(7, params)
    decoded = np.asarray(module.apply({"params": params}, audio).audio)
    snrs = 10 * np.log10(np.square(audio).sum(axis=(1, 2)) / np.square(audio - decoded).sum(axis=(1, 2)))
    assert found["held_out/snr_db"] == pytest.approx(snrs.mean(), abs=1e-3)
    assert found["held_out/mel"] > 0
    shown = {tag: value for kind, tag, value in log.given if kind == "audio"}
    assert list(shown) == [f"{clip.name}/{what}" for clip in clips for what in ("original", "reconstruction")]
    np.testing.assert_allclose(shown[f"{clips[1].name}/reconstruction"], decoded[1], atol=1e-5)
    log.given.clear()
    silent = observer.at_checkpoint(8, jax.tree.map(jnp.zeros_like, params))
    assert silent["held_out/snr_db"] == pytest.approx(0.0, abs=1e-3)  # it decodes silence: all of the signal is error
    # the originals are not given again
    assert [tag for kind, tag, _ in log.given if kind == "audio"] == [f"{clip.name}/reconstruction" for clip in clips]


def test_the_picture_has_the_original_above() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (8000, 1)).astype(np.float32)
    picture = draw(noise, 0 * noise, 8000)
    height = len(picture)
    assert picture.dtype == np.uint8
    assert picture[: height // 2 - 2].mean() > 10 * picture[height // 2 + 2 :].mean()


def test_histograms_of_names_are_by_codebook_and_those_of_a_grid_together() -> None:
    codes = np.array([[[0, 2], [0, 1]], [[3, 1], [0, 1]]])
    named = histograms(codes, SymbolFormat((4, 3)))
    assert {name: (counts.tolist(), first) for name, (counts, first) in named.items()} == {
        "codes/0": ([3, 0, 0, 1], 0),
        "codes/1": ([0, 3, 1], 0),
    }
    # alphabets of 5 and 3, whose middles are 2 and 1
    on_grid = histograms(codes, SymbolFormat((5, 3), ordered=True))
    assert on_grid["codes"][0].tolist() == [3, 0, 3, 2, 0]
    assert on_grid["codes"][1] == -2
    grouped = histograms(np.array([[[0, 0, 1, 1]]]), SymbolFormat((2, 2), subframes=2))
    assert [grouped[f"codes/{q}"][0].tolist() for q in range(2)] == [[2, 0], [0, 2]]


def test_histograms_in_tensorboard_have_buckets_of_neighbours(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=True)
    log.histogram("codes/0", np.arange(130), 3)
    log.close()
    ((step, value),) = [(step, value) for step, value in events(tmp_path / "tensorboard") if value.HasField("histo")]
    assert step == 3
    assert value.tag == "codes/0"
    assert len(value.histo.bucket) == len(value.histo.bucket_limit) == 44  # of three codes each
    assert list(value.histo.bucket)[:2] == [0 + 1 + 2, 3 + 4 + 5]
    assert value.histo.bucket_limit[0] == 2.5
    assert value.histo.bucket[-1] == 129
    assert value.histo.num == np.arange(130).sum()


@pytest.mark.usefixtures("short")
def test_a_run_logs_held_out_clips_and_learning_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(summary, "show", SHOW)
    config = at(tmp_path / "run", dataclasses.replace(SHOWN, log_every=100, profile="2:3"))
    loop.run("tiny", config)
    rows = {row["step"]: row for row in read_metrics(tmp_path / "run" / "metrics.jsonl")}
    assert list(rows) == [1, 2, 4]  # the first step, and those with a checkpoint
    assert "held_out/mel" not in rows[1]
    assert rows[2]["held_out/mel"] > 0
    assert rows[4]["held_out/snr_db"] != rows[2]["held_out/snr_db"]
    peak = config.optim.learning_rate
    assert rows[1]["learning_rate"] == 0  # before the first of the one step of warm-up
    assert rows[2]["learning_rate"] == pytest.approx(peak)
    assert 0 < rows[4]["learning_rate"] < peak
    shown = events(tmp_path / "run" / "tensorboard")
    kinds = {(step, kind) for step, value in shown for kind in ("audio", "image", "histo") if value.HasField(kind)}
    assert kinds == {(step, kind) for step in (2, 4) for kind in ("audio", "image", "histo")}
    said = capsys.readouterr()
    assert "profile of 2 steps in" in said.err
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
    assert "encoder" in said.out
    assert "GFLOP per s of audio" in said.out


# --- the profile


@pytest.mark.parametrize("text", ["20", "20:", "a:b", "0:3", "5:4", "-1:2", "1:2:3", ""])
def test_a_profile_of_no_steps_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ZooError, match="not FIRST:LAST") as error:
        loop.run("tiny", at(tmp_path / "run", profile=text))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_profile_beyond_the_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="has only 4 steps"):
        loop.run("tiny", at(tmp_path / "run", profile="4:5"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ZooError, match="has only 2 steps"):
        Profiler("2:3", tmp_path, 2)


def test_the_steps_that_are_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: called.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: called.append("stop"))
    with Profiler("2:3", tmp_path, 9) as profiler:
        for n in range(1, 6):
            profiler.before(n, {})
            called.append(str(n))
            profiler.after(n, {})
    assert called == ["1", "start", "2", "3", "stop", "4", "5"]
    called.clear()
    with Profiler("1:3", tmp_path, 9) as profiler:  # stopped early
        profiler.before(1, {})
    assert called == ["start", "stop"]
    assert profile.parse("20:25") == profile.Steps(20, 25)


# --- the table at the start


def test_operations_per_second_are_two_for_each_weight_and_frame() -> None:
    model = GanVocoder(
        sample_rate=8000, n_fft=80, hop_length=40, latent_dim=8, encoder_width=64, encoder_blocks=1, decoder_width=96,
        decoder_blocks=1, n_codebooks=2, codebook_size=16, code_dim=4,
    )  # fmt: skip
    loss = dataclasses.replace(SHOWN.loss, rate=0.0)
    task = CodecTask(dataclasses.replace(SHOWN, model=model, loss=loss))
    params = jax.eval_shape(lambda key: task.module.init(key, task._example()), jax.random.key(0))["params"]
    counted = summary.flops(task.module, params)
    for part, found in (("encoder", counted.encoder), ("decoder", counted.decoder)):
        n = sum(leaf.size for leaf in jax.tree.leaves(params[part]) if leaf.ndim > 1)
        assert found is not None
        # layers at the frame rate, and Fourier transforms; depthwise convolutions are sums of shifted frames here
        assert 1.98 * n * 200 < found < 2.2 * n * 200


def test_parts_are_two_levels_deep_in_the_order_of_the_signal() -> None:
    leaf = np.zeros((10, 10), np.float32)
    params = {
        "decoder": {"head": leaf},
        "bottleneck": {},
        "encoder": {"backbone": {"a": leaf, "b": leaf}, "bias": leaf},
    }
    found = summary.parts(params, {"mpd": leaf})
    assert [(part.name, part.depth, part.parameters) for part in found] == [
        ("encoder", 0, 300),
        ("backbone", 1, 200),
        ("bias", 1, 100),
        ("bottleneck", 0, 0),
        ("decoder", 0, 100),
        ("head", 1, 100),
        ("discriminators", 0, 100),
        ("mpd", 1, 100),
    ]
    assert found[0].megabytes == pytest.approx(1.2e-3)
