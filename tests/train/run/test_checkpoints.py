"""Checkpoints by themselves: which are kept, what is done with damaged ones, and what a full disk costs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import zoo
from tests.train.run.initialised import TINY, contents, differing, flat, truncate
from train.devices import parallel
from train.run.checkpoints import Checkpoints, check_metric
from train.run.tables import TableFitter, TableKeeper, Tables
from train.step.state import TrainState, create_state
from train.step.task import CodecTask
from train.watch.log import MetricsLog
from zoo.bitstream.entropy import EntropyModel, Fitter
from zoo.errors import CheckpointError, ZooError
from zoo.saved import checkpoint, runs

# reads that orbax had begun when another failed end as "exceptions ignored", some of them later
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONFIG = dataclasses.replace(TINY, keep_checkpoints=2, keep_best="held_out/mel")
TASK = CodecTask(CONFIG)
TEMPLATE: TrainState = jax.eval_shape(lambda: create_state(TASK, 0))


def state_of(step: int) -> TrainState:
    rng = np.random.default_rng(step)
    state = jax.tree.map(lambda x: rng.normal(0, 1, x.shape).astype(x.dtype), TEMPLATE)
    return state.replace(step=np.int32(step), next_example=np.uint32(4 * step))  # type: ignore[no-any-return]


def flat_tables() -> EntropyModel:
    return Fitter(TASK.module.bottleneck.symbols()).fit()


def write(workdir: Path, values: dict[int, float], metric: str = "held_out/mel", **changes: Any) -> Checkpoints:
    checkpoints = Checkpoints(workdir, dataclasses.replace(CONFIG, **{"keep_best": metric} | changes))
    for step, value in values.items():
        checkpoints.save(state_of(step), flat_tables(), {"loss": 1.0, metric: value})
    checkpoints.close()
    return checkpoints


def restore(workdir: Path, config: Any = CONFIG, template: TrainState = TEMPLATE, n_devices: int = 1) -> Any:
    checkpoints = Checkpoints(workdir, config)
    try:
        return checkpoints.restore(template, parallel.make_mesh(jax.devices()[:n_devices]))
    finally:
        checkpoints.close()


def names(workdir: Path) -> list[str]:
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of steps 2 (the best), 5 and 7; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("saved") / "run"
    write(workdir, {1: 0.9, 2: 0.3, 3: 0.8, 5: 0.6, 7: 0.5})
    return workdir


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


# --- which are kept


@pytest.mark.parametrize(
    ("metric", "values", "kept", "best"),
    [
        ("held_out/mel", {1: 0.5, 2: float("nan"), 3: 0.3, 4: 0.4, 5: float("inf"), 6: 0.6}, [3, 5, 6], 3),
        ("held_out/snr_db", {1: 2.0, 2: 5.0, 3: 3.0, 4: 1.0}, [2, 3, 4], 2),
        ("snr", {1: -2.0, 2: -5.0, 3: -6.0, 4: -1.0, 5: -1.0}, [3, 4, 5], 3),  # a loss: minus the ratio
        ("loss", {1: 0.5, 2: 0.5, 3: 0.7, 4: 0.7}, [2, 3, 4], 2),  # of equals the last
        ("mel", {1: float("nan"), 2: float("nan"), 3: float("nan")}, [2, 3], None),
    ],
)
def test_the_newest_and_the_best_are_kept(
    tmp_path: Path, metric: str, values: dict[int, float], kept: list[int], best: int | None
) -> None:
    checkpoints = write(tmp_path, values, metric)
    assert runs.steps(tmp_path) == kept
    assert checkpoints.best == best
    place = tmp_path / "checkpoints" / "best"
    if best is None:
        with pytest.raises(CheckpointError, match=f"none of steps .* has a value of {metric}"):
            zoo.load(place)
    else:
        assert zoo.load(place).metadata["step"] == best
        assert checkpoint.read_metadata(tmp_path / "checkpoints" / str(best))["metrics"][metric] == values[best]


def test_the_best_stays_the_best_after_resuming(run: Path) -> None:
    assert runs.steps(run) == [2, 5, 7]
    assert write(run, {8: 0.4, 9: 0.35}).best == 2
    assert runs.steps(run) == [2, 8, 9]
    write(run, {10: 0.2})
    assert runs.steps(run) == [9, 10]


def test_without_a_metric_only_the_newest_are_kept(tmp_path: Path) -> None:
    assert write(tmp_path, {1: 0.1, 2: 0.2, 3: 0.3}, keep_best="").best is None
    assert runs.steps(tmp_path) == [2, 3]
    with pytest.raises(CheckpointError, match="not trained with keep_best"):
        zoo.load(tmp_path / "checkpoints" / "best")


def test_a_metric_that_does_not_exist_is_told_what_does() -> None:
    check_metric("", ["loss"])
    check_metric("loss", ["loss"])
    with pytest.raises(ZooError, match=r"no metric 'mle'; there are: loss, mel$"):
        check_metric("mle", ["loss", "mel"])


# --- on other devices


@pytest.mark.parametrize("n_devices", [1, 2])
def test_what_four_devices_wrote_others_read(tmp_path: Path, n_devices: int) -> None:
    state = parallel.replicate(state_of(3), parallel.make_mesh())
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.save(state, flat_tables())
    checkpoints.close()
    restored = restore(tmp_path, n_devices=n_devices)
    assert {len(x.sharding.device_set) for x in jax.tree.leaves(restored)} == {n_devices}
    assert differing(flat(restored), flat(state_of(3))) == set()


# --- what is damaged


def _empty(place: Path) -> None:
    shutil.rmtree(place)
    place.mkdir()


def _flip(folder: Path) -> None:
    """One bit in the middle of the largest file: the arrays themselves."""
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _empty,
    "no metadata": lambda place: shutil.rmtree(place / "metadata"),
    "no training state": lambda place: shutil.rmtree(place / "training"),
    "half of the metadata": lambda place: (place / "metadata" / "metadata").write_text('{"format": 2, "fam'),
    "half of the arrays": lambda place: truncate(place / "training"),
    "a bit of the arrays": lambda place: _flip(place / "training"),
    "no numbers among the checksums": lambda place: (place / "checksums.json").write_text('{"codec/_METADATA": []}'),
    "half of the checksums": lambda place: (place / "checksums.json").write_text('{"codec/_METADATA": [1'),
    "nothing in the index": lambda place: (place / "training" / "manifest.ocdbt").write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_named_kept_and_passed_over(
    run: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = run / "checkpoints" / "7"
    DAMAGES[damage](place)
    before = contents(place)
    restored = restore(run)
    assert differing(flat(restored), flat(state_of(5))) == set()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(place) in said
    assert "resuming from step 5, keeping it as 7.damaged" in said
    assert names(run) == ["2", "5", "7.damaged"]
    assert contents(run / "checkpoints" / "7.damaged") == before


def test_a_damaged_checkpoint_is_in_nobodys_way_and_outlives_those_written_later(run: Path) -> None:
    for expected in ("7.damaged", "7.damaged-2"):
        _empty(run / "checkpoints" / "7")
        checkpoints = Checkpoints(run, CONFIG)
        assert checkpoints.restore(TEMPLATE, parallel.make_mesh()) is not None
        checkpoints.save(state_of(7), flat_tables())
        checkpoints.close()
        assert expected in names(run)
    assert runs.steps(run) == [2, 5, 7]
    assert differing(flat(restore(run)), flat(state_of(7))) == set()


def test_where_none_can_be_read_all_are_named_and_none_is_touched(run: Path) -> None:
    for step, damage in zip(("2", "5", "7"), ("empty", "half of the arrays", "no metadata")):
        DAMAGES[damage](run / "checkpoints" / step)
    before = contents(run)
    with pytest.raises(CheckpointError, match=r"7: .*; 5: .*; 2: ") as error:
        restore(run)
    assert "\n" not in str(error.value)
    assert contents(run) == before
    assert names(run) == ["2", "5", "7"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [(truncate, r"codec/\S+: has \d+ bytes, not \d+"), (_flip, r"codec/ocdbt\S+: bytes have changed since")],
)
def test_a_damaged_codec_is_refused_by_load_which_names_the_one_before(
    run: Path, damage: Callable[[Path], None], named: str
) -> None:
    damage(run / "checkpoints" / "7" / "codec")
    (run / "checkpoints" / "5" / "metadata" / "metadata").write_text("")
    usable = run / "checkpoints" / "2"
    for path in (run, run / "checkpoints"):
        with pytest.raises(CheckpointError, match=f"checkpoints/7 is damaged: {named}.*can be loaded: {usable}$"):
            zoo.load(path)
    with pytest.raises(CheckpointError, match=f"is damaged: {named}[^;]*$"):  # the one that was asked for
        zoo.load(run / "checkpoints" / "7")


def test_a_checkpoint_without_checksums_is_read_and_what_is_damaged_told_by_orbax(run: Path) -> None:
    for step in ("5", "7"):
        (run / "checkpoints" / step / "checksums.json").unlink()
    truncate(run / "checkpoints" / "7" / "codec")
    with pytest.raises(CheckpointError, match=r"checkpoints/7 is damaged or truncated: .*can be loaded: .*/5$"):
        zoo.load(run)
    assert zoo.load(run / "checkpoints" / "5").metadata["step"] == 5


def test_a_damaged_codec_does_not_keep_a_run_from_going_on(run: Path) -> None:
    _flip(run / "checkpoints" / "7" / "codec")
    assert differing(flat(restore(run)), flat(state_of(7))) == set()


def test_what_does_not_fit_is_not_taken_for_damage(run: Path) -> None:
    before = names(run)
    unbalanced = dataclasses.replace(CONFIG, optim=dataclasses.replace(CONFIG.optim, balancer=False))
    template = jax.eval_shape(lambda: create_state(CodecTask(unbalanced), 0))
    with pytest.raises(CheckpointError, match=r"checkpoints/7 cannot be resumed: .*optim.balancer is True, not False"):
        restore(run, unbalanced, template)
    # of what changes no shape, too
    other = dataclasses.replace(CONFIG.model, sample_rate=16_000, companding=0.5)  # type: ignore[call-arg]
    with pytest.raises(CheckpointError, match=r"not 16000, .*companding is 1.0, not 0.5, its task is reconstruct,"):
        restore(run, dataclasses.replace(CONFIG, model=other, task="denoise"))
    metadata = run / "checkpoints" / "7" / "metadata" / "metadata"
    stored = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({key: value for key, value in stored.items() if key != "state_fields"}))
    (metadata.parents[1] / "checksums.json").unlink()  # that version wrote none
    with pytest.raises(CheckpointError, match=r"7 was written by another version .* --init .*7$") as error:
        restore(run)
    assert "\n" not in str(error.value)
    assert names(run) == before


# --- a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_stops_with_the_last_good_one_intact(small_disk: Path) -> None:
    checkpoints = Checkpoints(small_disk, CONFIG)

    def fill() -> None:
        for step in range(1, 20):
            checkpoints.save(state_of(step), flat_tables(), {"held_out/mel": 1 / step})
            (small_disk / f"other{step}").write_bytes(bytes(20_000))

    with pytest.raises(CheckpointError, match=r"the one of step \d+ is intact: No space left on device") as error:
        fill()
    checkpoints.close()
    assert "\n" not in str(error.value)
    good = runs.steps(small_disk)
    assert len(good) in (1, 2)
    assert names(small_disk) == [str(step) for step in good]
    assert f"the one of step {good[-1]} is intact" in str(error.value)
    assert differing(flat(restore(small_disk)), flat(state_of(good[-1]))) == set()
    assert zoo.load(small_disk).metadata["step"] == good[-1]
    for path in small_disk.glob("other*"):
        os.remove(path)
    write(small_disk, {20: 0.5})
    assert runs.steps(small_disk)[-1] == 20


def test_a_full_disk_ends_the_log_too_rather_than_to_wait_for_tensorboard(small_disk: Path) -> None:
    log = MetricsLog(small_disk, tensorboard=True)
    row = {f"loss{number}": 1.0 for number in range(20)}
    log.log(1, row)
    with contextlib.suppress(OSError), (small_disk / "other").open("wb", buffering=0) as filling:
        while filling.write(bytes(1000)):
            pass

    def steps() -> None:
        for step in range(2, 100):
            log.log(step, row)
            time.sleep(0.01)

    with pytest.raises(OSError, match="No space left"):
        steps()
    with contextlib.suppress(OSError):
        log.close()


def test_a_failure_is_seen_before_the_next_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {1: 0.5})
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.check()  # nothing yet
    rename = os.rename

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("checkpoints/2"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", full)
    checkpoints.save(state_of(2), flat_tables())

    def steps() -> None:
        for _ in range(500):
            checkpoints.check()
            time.sleep(0.01)

    with pytest.raises(CheckpointError, match=r"after step 2; the one of step 1 is intact: No space left"):
        steps()
    checkpoints.close()
    assert names(tmp_path) == ["1"]


# --- the entropy coder's tables


class CountingFitter(TableFitter):
    """Takes as long as it is told to."""

    n_batches = 50

    def __init__(self, clock: list[float], batch_s: float) -> None:
        self.clock, self.batch_s, self.batches, self.with_networks, self.fits = clock, batch_s, 0, 0, flat_tables()

    def fit(self, params: Any, *, n_batches: int | None = None, networks: bool = False) -> EntropyModel:
        self.with_networks += networks
        self.batches += n_batches or self.n_batches
        self.clock[0] += self.batch_s * (n_batches or self.n_batches)
        return self.fits

    def flat(self) -> EntropyModel:
        return self.fits


def test_tables_are_fitted_in_half_a_percent_of_the_time_and_at_the_end() -> None:
    clock = [1000.0]
    fitter = CountingFitter(clock, batch_s=0.1)
    keeper = TableKeeper(fitter, clock=lambda: clock[0])
    fitted = []
    for step in range(1, 101):
        clock[0] += 60.0
        fitted.append(keeper.at({}, step, last=step == 100).step == step)
        assert fitter.with_networks == (step == 100)
        assert step == 100 or fitter.batches * fitter.batch_s < 0.2 + 0.005 * (clock[0] - 1000.0)
    # a save a minute; all batches take five seconds, which are half a percent of seventeen minutes
    assert [step for step, new in enumerate(fitted, start=1) if new] == [1, 17, 34, 51, 68, 85, 100]


def test_a_checkpoint_in_a_hurry_keeps_the_tables_of_another(run: Path) -> None:
    fitter = CountingFitter([0.0], batch_s=0.1)
    nothing = TableKeeper(fitter, clock=lambda: 0.0).at({}, 3, hurried=True)
    assert (nothing.step, fitter.batches) == (None, 0)
    known = flat_tables()
    known.arrays[min(known.arrays)].flat[0] += 1
    checkpoints = Checkpoints(run, CONFIG)
    checkpoints.save(state_of(8), Tables(known, 4))
    checkpoints.close()
    again = Checkpoints(run, CONFIG)
    again.restore(TEMPLATE, parallel.make_mesh())
    again.close()
    assert isinstance(again.tables, Tables)
    kept = TableKeeper(fitter, again.tables, clock=lambda: 0.0).at({}, 9, hurried=True)
    assert (kept.step, fitter.batches) == (4, 0)
    jax.tree.map(np.testing.assert_array_equal, kept.entropy.arrays, known.arrays)
