"""The metrics log survives kills and resumption; the picture depends on its data; the live line computes right."""

from __future__ import annotations

import io
import json
import math
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.watch.log import MetricsLog, read_metrics
from train.watch.picture import SamplePair, draw_report, panels_of, write_samples
from train.watch.progress import Progress, duration, short
from zoo.errors import ZooError

ROOT = Path(__file__).parents[3]
SAMPLE_RATE = 8000


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tone(frequency: float, amplitude: float = 0.5, seconds: float = 0.5) -> np.ndarray:
    time_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time_s))[:, None].astype(np.float32)


def curves(offset: float = 1.0) -> list[dict[str, Any]]:
    return [{"step": s, "seconds": 0.1 * s, "mel": offset + 1 / s, "snr": -3.0 - s} for s in range(1, 60)]


# --- the log


def test_log_round_trip(tmp_path: Path) -> None:
    clock = Clock()
    log = MetricsLog(tmp_path, tensorboard=False, clock=clock)
    clock.now_s += 2.5
    log.log(10, {"mel": np.float32(0.1), "kl": np.asarray(3.0), "skipped_steps": 2})
    # flushed line by line: readable before it is closed
    assert read_metrics(log.path) == [{"step": 10, "seconds": 2.5, "mel": 0.1, "kl": 3.0, "skipped_steps": 2}]
    clock.now_s += 1.0
    log.log(20, {"mel": math.inf, "kl": -1e-9})
    log.close()
    lines = log.path.read_text().splitlines()
    # strict JSON: no NaN or Infinity, which other readers refuse
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert rows[1] == {"step": 20, "seconds": 3.5, "mel": None, "kl": -1e-9}
    assert math.isnan(read_metrics(log.path)[1]["mel"])


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_unfinished_last_line_is_dropped_and_not_glued_to_the_next(tmp_path: Path, cut: int) -> None:
    log = MetricsLog(tmp_path, tensorboard=False)
    for step in (10, 20, 30):
        log.log(step, {"mel": step / 8})
    log.close()
    whole = log.path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    log.path.write_bytes(whole[: -len(last) + cut])
    assert [row["step"] for row in read_metrics(log.path)] == [10, 20]
    log = MetricsLog(tmp_path, tensorboard=False)
    log.log(30, {"mel": 9.0})
    log.close()
    assert [(row["step"], row["mel"]) for row in read_metrics(log.path)] == [(10, 1.25), (20, 2.5), (30, 9.0)]


def test_resumed_log_has_each_step_once_and_its_time_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    log = MetricsLog(tmp_path, tensorboard=False, clock=clock)
    for step in range(1, 8):
        clock.now_s += 1.0
        log.log(step, {"mel": float(step)})
    # killed at step 7; the last checkpoint is of step 4
    clock.now_s += 1000.0
    log = MetricsLog(tmp_path, tensorboard=False, clock=clock)
    log.truncate_after(4)
    for step in range(5, 8):
        clock.now_s += 1.0
        log.log(step, {"mel": 10.0 * step})
    log.close()
    rows = read_metrics(log.path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["mel"] for row in rows] == [1, 2, 3, 4, 50, 60, 70]
    assert [row["seconds"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(ValueError, match="step 7 logged after step 7"):
        log.log(7, {})


def test_truncate_before_the_first_row_leaves_nothing(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=False)
    log.log(10, {"mel": 1.0})
    log.truncate_after(0)
    log.log(10, {"mel": 2.0})
    log.close()
    assert [row["mel"] for row in read_metrics(log.path)] == [2.0]


def test_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(ZooError, match="line 2"):
        read_metrics(path)
    with pytest.raises(ZooError, match=r"nowhere\.jsonl"):
        read_metrics(tmp_path / "nowhere.jsonl")


def test_tensorboard_gets_the_same_scalars_and_a_resumed_run_its_own_file(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    log = MetricsLog(tmp_path, tensorboard=True)
    log.log(1, {"mel": 0.5})
    log.log(2, {"mel": 0.25})
    log.audio("clip", tone(440.0), SAMPLE_RATE, 2)
    log.truncate_after(1)
    log.log(2, {"mel": 0.125})
    log.close()
    scalars, purged, audio_rates = [], [], []
    for path in sorted((tmp_path / "tensorboard").iterdir(), key=lambda path: path.name.rsplit(".", 1)[-1]):
        data, at = path.read_bytes(), 0
        while at < len(data):  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            at += size + 16
            purged += [event.step] if event.HasField("session_log") else []
            for value in event.summary.value:
                if value.HasField("audio"):
                    audio_rates.append(value.audio.sample_rate)
                else:
                    scalars.append((event.step, value.tag, value.simple_value))
    assert scalars == [(1, "mel", 0.5), (2, "mel", 0.25), (2, "mel", 0.125)]
    assert purged == [2]
    assert audio_rates == [SAMPLE_RATE]


# --- samples and picture


def test_samples_are_the_clips_up_to_the_step_of_16_bits(tmp_path: Path) -> None:
    import soundfile

    stereo = np.concatenate([tone(300.0), tone(500.0, 0.2)], axis=1)
    paths = write_samples(tmp_path, [SamplePair("music/strings", stereo, 0.5 * stereo, SAMPLE_RATE)])
    assert [p.name for p in paths] == ["music_strings_original.wav", "music_strings_reconstruction.wav"]
    for path, expected in zip(paths, (stereo, 0.5 * stereo)):
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert sample_rate == SAMPLE_RATE
        np.testing.assert_allclose(samples, expected, rtol=0, atol=1.01 / 2**15)


def pixels(path: Path) -> np.ndarray:
    from matplotlib import image

    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return image.imread(path)


def test_picture_is_a_function_of_its_data(tmp_path: Path) -> None:
    pair = SamplePair("tone", tone(1000.0), tone(1000.0, 0.4), SAMPLE_RATE)
    other = SamplePair("tone", tone(1000.0), tone(2500.0, 0.4), SAMPLE_RATE)
    first = pixels(draw_report(tmp_path / "a", [pair], curves(), "run"))
    np.testing.assert_array_equal(first, pixels(draw_report(tmp_path / "b", [pair], curves(), "run")))
    reconstruction = pixels(draw_report(tmp_path / "c", [other], curves(), "run"))
    assert reconstruction.shape == first.shape
    differs = np.any(reconstruction != first, axis=(0, 2)).nonzero()[0] / first.shape[1]
    # only the right-hand spectrogram changed
    assert 0.48 < differs.min() < differs.max() < 0.97
    assert np.any(pixels(draw_report(tmp_path / "d", [pair], curves(2.0), "run")) != first)


def test_picture_of_little_or_odd_data(tmp_path: Path) -> None:
    silent = SamplePair("silent", np.zeros((10, 2), np.float32), np.full((10, 2), np.nan, np.float32), 44100)
    rows: list[dict[str, Any]] = [{"step": 1, "mel": math.nan, "note": "x"}, {"step": 2, "seconds": 1.0, "kl": 0.0}]
    empty = pixels(draw_report(tmp_path, [], [], "nothing yet"))
    odd = pixels(draw_report(tmp_path, [silent], rows, "odd"))
    # a row of panels (for kl alone: mel has no finite value) and one of spectrograms
    assert odd.shape[0] > 2 * empty.shape[0]


def test_drawing_leaves_no_global_state(tmp_path: Path) -> None:
    code = (
        "import sys, matplotlib\n"
        "matplotlib.rcParams['font.size'] = 3.0\n"
        "from train.watch.picture import draw_report\n"
        f"draw_report({str(tmp_path)!r}, [], [{{'step': 1, 'mel': 1.0}}], 'run')\n"
        "assert matplotlib.rcParams['font.size'] == 3.0\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdin=subprocess.DEVNULL)


# --- the live line


def test_rates_are_means_without_the_compiling_step() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress(100, clock=clock, stream=stream) as progress:
        progress.update(1, {"mel": 4.0}, audio_s=16.0, wait_s=5.0, step_s=30.0)
        assert math.isnan(progress.audio_per_second)
        progress.update(2, {"mel": 2.0}, audio_s=16.0, wait_s=0.1, step_s=0.5)
        progress.update(3, {}, audio_s=16.0, wait_s=0.3, step_s=1.5)
        assert progress.audio_per_second == pytest.approx(32.0 / 2.0)
        assert progress.wait_share == pytest.approx(0.4 / 2.0)
        assert progress.eta_s == pytest.approx(97 * 1.0)
        assert progress.losses() == {"mel": 3.0}
        progress.mark_compile()
        assert math.isnan(progress.eta_s)
        progress.update(4, {"mel": math.nan}, audio_s=16.0, wait_s=0.0, step_s=60.0)
        progress.update(5, {"adversarial": 1.0}, audio_s=16.0, wait_s=0.0, step_s=4.0)
        assert progress.audio_per_second == pytest.approx(4.0)
        assert progress.eta_s == pytest.approx(95 * 4.0)
        assert progress.losses() == {"mel": 3.0, "adversarial": 1.0}


def test_averages_forget_what_is_fifty_steps_old() -> None:
    with Progress(1000, start_step=100, stream=io.StringIO(), clock=Clock()) as progress:
        for step in range(101, 211):
            slow = step <= 160
            metrics = {"mel": 9.0 if slow else 1.0} if step % 10 == 0 else {}
            progress.update(step, metrics, audio_s=1.0, wait_s=0.0, step_s=2.0 if slow else 0.25)
        assert progress.audio_per_second == pytest.approx(4.0)
        assert progress.eta_s == pytest.approx(790 * 0.25)
        assert progress.losses() == {"mel": 1.0}


def test_plain_lines_come_every_ten_seconds_and_at_the_end() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress(40, clock=clock, stream=stream) as progress:
        progress.message("checkpoint [0] saved")
        for step in range(1, 41):
            clock.now_s += 1.5
            metrics = {"mel": 0.5, "kl": 12345.6, "skipped_steps": 3 if step > 20 else 0}
            progress.update(step, metrics, audio_s=16.0, wait_s=0.015, step_s=1.5)
    message, *lines = stream.getvalue().splitlines()
    assert message == "checkpoint [0] saved"
    # 1.5 s a step: the first that is ten seconds after the last is the seventh; and the last step of all
    assert [line.split(" · ")[0] for line in lines] == [f"step {s}/40" for s in (1, 8, 15, 22, 29, 36, 40)]
    assert lines[0] == "step 1/40 · compiling · mel 0.5 · kl 12346"
    assert lines[1] == "step 8/40 · ETA 0:48 · 10.7 s audio/s · waiting 1.0% · mel 0.5 · kl 12346"
    assert lines[3] == "step 22/40 · ETA 0:27 · 10.7 s audio/s · waiting 1.0% · skipped 3 · mel 0.5 · kl 12346"
    assert "\x1b" not in stream.getvalue()


def test_terminal_shows_the_same_and_messages_stay_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    clock, stream = Clock(), Terminal()
    with Progress(4, clock=clock, stream=stream) as progress:
        for step in range(1, 5):
            clock.now_s += 1.0
            progress.update(step, {"mel": 0.25 * step, "skipped_steps": 1}, audio_s=8.0, wait_s=0.0, step_s=2.0)
        progress.message("saved [3]")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "saved [3]" in text
    last = text[text.rindex("step 4/4") :]
    for part in ("ETA 0:00", "4 s audio/s", "waiting 0.0%", "skipped 1", "mel=0.625"):
        assert part in last


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0"), (0.012345, "0.0123"), (-4.5678, "-4.57"), (99.96, "100"), (1234.5, "1234")),
        *((2e6, "2.0e+06"), (4e-5, "4.0e-05"), (math.nan, "nan"), (-math.inf, "-inf")),
    ],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59.6, 3599, 3661, math.nan)] == ["0:00", "1:00", "59:59", "1:01:01", "?"]


def test_importing_progress_does_not_import_rich() -> None:
    code = "import sys, train.watch.progress; sys.exit('rich' in sys.modules or 'jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdin=subprocess.DEVNULL)


def test_codebooks_share_a_panel_in_their_order_and_each_has_a_colour(tmp_path) -> None:
    rows = [{"step": step, **{f"dead/{q}": 0.1 * step / (q + 1) for q in range(12)}} for step in (1, 2, 3)]
    assert panels_of(rows) == {"dead": [f"dead/{q}" for q in range(12)]}
    colours = _colours_of(draw_report(tmp_path, [], rows, title=""))
    alone = [{"step": row["step"], "dead/0": row["dead/0"]} for row in rows]
    # the curves themselves; what is smoothed at their edges would count for many
    assert colours > 2 * _colours_of(draw_report(tmp_path, [], alone, title=""))


def _colours_of(picture: Path) -> int:
    """Hues among the saturated pixels."""
    from matplotlib import colors, image

    hsv = colors.rgb_to_hsv(image.imread(picture)[..., :3])
    return len(np.unique(np.round(hsv[(hsv[..., 1] > 0.3) & (hsv[..., 2] > 0.2)][:, 0], 2)))
