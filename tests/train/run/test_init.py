"""Runs that begin with a checkpoint's weights, and parts of a model that do not move."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from configs import loading
from configs.base import Optim
from tests.train.run.initialised import STEPS, TINY, at, begun, below, differing, flat, refused, saved
from train import cli
from train.run import init_from, loop
from train.step import freezing, optim
from train.step.state import create_state
from train.step.task import CodecTask
from zoo.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("short")

# --- what is taken over


def test_the_averaged_weights_and_the_discriminators_are_taken_bit_by_bit(finished: Path) -> None:
    before, after, said = begun(TINY, finished)
    codec, training = saved(finished, STEPS, "codec"), saved(finished, STEPS)
    assert differing(flat(after.params), below(codec, "params")) == set()
    assert differing(flat(after.ema), below(codec, "params")) == set()
    assert differing(flat(after.discriminator), below(training, "discriminator")) == set()
    # or there would be nothing to show
    assert len(differing(flat(before.params), flat(after.params))) == 4
    assert len(differing(below(training, "params"), flat(after.params))) >= 2
    # a new run all the same
    assert differing(flat(after.opt_state), flat(before.opt_state)) == set()
    assert differing(flat(after.discriminator_opt_state), flat(before.discriminator_opt_state)) == set()
    assert int(after.step) == int(after.next_example) == 0
    n = sum(array.size for array in below(codec, "params").values())
    assert f"checkpoints/{STEPS} (autoencoder, 8000 Hz, step {STEPS}, averaged weights)" in said
    assert f"generator: 4 arrays ({n:,} parameters) taken over\n" in said
    assert "discriminators: 12 arrays (113 parameters) taken over" in said


def test_the_codec_to_begin_with_sounds_like_the_one_it_was_taken_from(finished: Path) -> None:
    _, after, _ = begun(TINY, finished)
    codec = zoo.load(finished)
    audio = jax.random.normal(jax.random.key(0), (1, 800, 1)) * 0.1
    for params in (after.params, after.ema):
        again = CodecTask(TINY).module.apply({"params": params}, audio)
        expected = codec.module.apply(codec.variables, audio)
        np.testing.assert_array_equal(again.audio, expected.audio)
        np.testing.assert_array_equal(again.codes, expected.codes)


def test_an_older_checkpoint_of_the_run_can_be_named(finished: Path) -> None:
    _, after, said = begun(TINY, finished / "checkpoints" / "2")
    assert differing(flat(after.params), below(saved(finished, 2, "codec"), "params")) == set()
    assert "step 2" in said


def test_raw_weights_and_optimisers_on_request(finished: Path) -> None:
    before, after, said = begun(TINY, finished, weights="raw", optimisers=True)
    training = saved(finished, STEPS)
    assert differing(flat(after.params), below(training, "params")) == set()
    assert differing(flat(after.ema), below(training, "params")) == set()
    for name, n_steps, n_moments in (("opt_state", STEPS, 8), ("discriminator_opt_state", STEPS - 1, 24)):
        then, now = below(training, name), flat(getattr(after, name))
        # of the bias of the logits the gradients of the hinges of real and fake cancel
        changed = differing(flat(getattr(before, name)), now)
        assert {key for key in now if "/nu/" in key} - changed <= {"2/0/nu/period_2/logits/bias"}
        moments = {key for key in now if "/mu/" in key or "/nu/" in key}
        assert len(moments) == n_moments
        assert [key for key in moments if now[key].tobytes() != then[key].tobytes()] == []
        # Adam's count belongs to its moments; that of the schedule begins anew
        counts = {key: (int(then[key]), int(now[key])) for key in now if key.endswith("/count")}
        assert sorted(counts.values()) == [(n_steps, 0), (n_steps, n_steps)]
        assert counts[f"{next(iter(moments)).split('/mu/')[0].split('/nu/')[0]}/count"] == (n_steps, n_steps)
        # what gradients are usual depends on the losses: AutoClip learns it anew
        assert (int(then["0/steps"]), int(now["0/steps"]), float(now["0/norms"].max())) == (n_steps, 0, 0.0)
    assert "optimiser: 9 arrays of moments taken over; its schedule begins anew" in said


def test_moments_find_their_place_in_an_optimiser_of_other_parts(finished: Path) -> None:
    frozen = dataclasses.replace(TINY, freeze=("encoder",))
    _, after, said = begun(frozen, finished, optimisers=True)
    then = below(saved(finished, STEPS), "opt_state")
    now = {key.removeprefix("inner_state/"): value for key, value in flat(after.opt_state).items()}
    assert {key for key in then if key not in now} == {key for key in then if "/encoder/" in key} != set()
    assert [key for key in now if "/mu/" in key and now[key].tobytes() != then[key].tobytes()] == []
    assert "7 arrays of moments" in said


def test_a_checkpoint_without_its_training_state_still_has_its_codec(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "checkpoints" / str(STEPS), tmp_path / "codec", ignore=lambda *_: ["training"])
    _, after, said = begun(TINY, tmp_path / "codec")
    assert differing(flat(after.params), below(saved(finished, STEPS, "codec"), "params")) == set()
    assert "discriminators: all new" in said
    for options in ({"weights": "raw"}, {"optimisers": True}):
        with pytest.raises(CheckpointError, match="no training state for init_"):
            begun(TINY, tmp_path / "codec", **options)


def test_what_is_new_and_what_is_left_out_is_said(finished: Path) -> None:
    more = dataclasses.replace(
        TINY,
        model=dataclasses.replace(TINY.model, n_blocks=1, levels=(5, 5)),  # type: ignore[call-arg]
        discriminator=dataclasses.replace(TINY.discriminator, periods=(2, 3)),
    )
    source = init_from.read(str(finished))
    extra = {f"decoder/gone/{i}": np.zeros(3, np.float32) for i in range(5)}
    source = dataclasses.replace(source, generator=source.generator | extra)
    before = create_state(CodecTask(more), seed=5)
    after, said = init_from.begin(before, source)
    now, then, codec = flat(after.params), flat(before.params), below(saved(finished, STEPS, "codec"), "params")
    assert {key for key in now if now[key].tobytes() != then[key].tobytes()} == set(codec)
    assert [key for key in codec if now[key].tobytes() != codec[key].tobytes()] == []
    assert len(now) > len(codec)
    generator, discriminators = said.splitlines()[1:]
    assert generator.startswith("  generator: 4 arrays (")
    assert f"{len(now) - 4} new (" in generator
    assert "5 left out (decoder/gone/0; decoder/gone/1; decoder/gone/2 and 2 more)" in generator
    assert "12 arrays (113 parameters) taken over, 12 new (period_3/" in discriminators
    # a run that has none
    _, after, said = begun(dataclasses.replace(TINY, adversarial_start=-1), finished)
    assert after.discriminator == {}
    assert "discriminators: left out" in said


def test_an_array_of_another_shape_is_new(finished: Path) -> None:
    source = init_from.read(str(finished))
    name = "encoder/trunk/linear/kernel"
    source = dataclasses.replace(source, generator=source.generator | {name: np.zeros((2, 40, 20), np.float32)})
    before = create_state(CodecTask(TINY), seed=5)
    after, said = init_from.begin(before, source)
    assert flat(after.params)[name].tobytes() == flat(before.params)[name].tobytes()
    assert f"3 arrays (860 parameters) taken over, 1 new ({name}, 1×40×20 here and 2×40×20 there)\n" in said


def test_weights_of_another_rate_are_continued_at_the_runs_own_and_that_is_said(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    model = dataclasses.replace(TINY.model, sample_rate=16_000, companding=0.5)  # type: ignore[call-arg]
    loop.run("tiny", at(run, model=model, init=str(finished), steps=1))
    said = capsys.readouterr().out.splitlines()
    assert "the weights were trained at 8000 Hz; continuing at 16000 Hz" in said
    assert "the weights were trained with model.companding 1.0; continuing with 0.5" in said
    assert len([line for line in said if "weights were trained" in line]) == 2
    # one rate, wherever it is written down
    config = json.loads((run / "config.json").read_text())
    metadata = json.loads((run / "checkpoints" / "1" / "metadata" / "metadata").read_text())
    rates = [config["model"], metadata["model"], metadata["config"]["model"]]
    assert [found["sample_rate"] for found in rates] == [16_000] * 3
    codec = zoo.load(run)
    assert codec.sample_rate == 16_000
    # tables of the codec as it is now, not of the one it began with
    tables = zoo.load(finished).entropy.arrays
    assert any((tables[name] != array).any() for name, array in codec.entropy.arrays.items())
    audio = 0.1 * np.random.default_rng(0).standard_normal((4000, 1)).astype(np.float32)
    decoded, rate = codec.decompress(codec.compress(audio))
    assert (decoded.shape, rate) == (audio.shape, 16_000)
    # with the checkpoint's own hyper-parameters there is nothing to say
    assert init_from.differences(TINY, init_from.read(str(finished))) == []


# --- frozen parts


def test_a_run_with_init_and_frozen_parts_and_its_resumption(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = at(tmp_path / "run", init=str(finished), freeze=("encoder", "bottleneck/mix_logit_tenths"))
    loop.run("tiny", config)
    first = below(saved(finished, STEPS, "codec"), "params")
    still = {key for key in first if key.startswith("encoder/") or key == "bottleneck/mix_logit_tenths"}
    assert 0 < len(still) < len(first)
    for step in (2, STEPS):
        training = saved(tmp_path / "run", step)
        for name in ("params", "ema"):
            # weight decay included
            assert differing(below(training, name), first) == set(first) - still
        moments = {key.split("/mu/")[1] for key in training if "/mu/" in key and key.startswith("opt_state/")}
        assert moments == set(first) - still
    assert differing(
        below(saved(tmp_path / "run", STEPS), "discriminator"), below(saved(finished, STEPS), "discriminator")
    )
    np.testing.assert_array_equal(
        flat(zoo.load(tmp_path / "run").variables["params"])["encoder/trunk/linear/kernel"],
        first["encoder/trunk/linear/kernel"],
    )
    capsys.readouterr()

    # killed after a checkpoint: the source is not even there any more
    stored = loading.from_dict(json.loads((tmp_path / "run" / "config.json").read_text()))
    assert stored == config
    shutil.copytree(tmp_path / "run", tmp_path / "late", ignore=shutil.ignore_patterns(str(STEPS)))
    arguments = ["--model", "autoencoder", "--workdir", str(tmp_path / "late"), "--resume", "--init", "elsewhere"]
    name, resumed = cli.parse(arguments)
    loop.run(name, resumed)
    said = capsys.readouterr().out
    assert f"{tmp_path / 'late'} continues with its own checkpoints: --init elsewhere is not read" in said
    assert "resuming after step 2, with the run's own model: sample_rate 8000 (autoencoder: 24000), hop_length" in said
    assert loading.from_dict(json.loads((tmp_path / "late" / "config.json").read_text())).init == str(finished)
    # killed before one: it begins again as it began
    (tmp_path / "early").mkdir()
    shutil.copy(tmp_path / "run" / "config.json", tmp_path / "early")
    name, resumed = cli.parse(["--model", "autoencoder", "--workdir", str(tmp_path / "early"), "--resume"])
    loop.run(name, resumed)
    for item in ("training", "codec"):
        for again in ("late", "early"):
            assert differing(saved(tmp_path / again, STEPS, item), saved(tmp_path / "run", STEPS, item)) == set()

    # other frozen parts have other moments
    with pytest.raises(CheckpointError, match=r"begun with encoder bottleneck/mix_logit_tenths frozen, not nothing$"):
        loop.run("tiny", dataclasses.replace(config, resume=True, freeze=()))


def test_frozen_parts_take_no_part_in_the_norm_and_get_no_gradient() -> None:
    params = {"a": {"x": jnp.array([3.0])}, "ab": {"x": jnp.array([-0.0, 4.0])}}
    assert freezing.trainable_mask(params, ["a"]) == {"a": {"x": False}, "ab": {"x": True}}
    assert freezing.trainable_mask(params, ["ab.x", "a/x"]) == {"a": {"x": False}, "ab": {"x": False}}
    gradients = jax.grad(lambda p: sum(jnp.sum(x**2) for x in jax.tree.leaves(freezing.stop_frozen(p, ["ab"]))))(params)
    assert jax.tree.map(lambda x: x.tolist(), gradients) == {"a": {"x": [6.0]}, "ab": {"x": [0.0, 0.0]}}
    config = Optim(clip_norm=1.0, beta1=0.0, beta2=0.0, warmup_steps=0, weight_decay=1.0, learning_rate=1.0)
    plain = optim.optimiser(config, 1.0, 10)
    masked = optim.optimiser(config, 1.0, 10, ["ab"])
    alone, _ = plain.update({"a": {"x": jnp.ones(1)}}, plain.init({"a": params["a"]}), {"a": params["a"]})
    huge = {"a": {"x": jnp.ones(1)}, "ab": {"x": jnp.full(2, 1e6)}}
    updates, _ = masked.update(huge, masked.init(params), params)
    np.testing.assert_array_equal(updates["a"]["x"], alone["a"]["x"])
    restored = freezing.restore_frozen(jax.tree.map(jnp.zeros_like, params), params, ["ab"])
    assert np.signbit(restored["ab"]["x"]).tolist() == [True, False]
    assert restored["a"]["x"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("encodr",), "there is no 'encodr' in the model; it has: .*encoder"),
        (("encoder.trunk.block_7",), "no 'encoder.trunk.block_7' .*; encoder.trunk has: linear"),
        (("encoder/trunk/linear/kernel/x",), "encoder.trunk.linear.kernel has: no parts"),
        (("encoder", "bottleneck", "decoder"), "encoder bottleneck decoder is the whole model"),
    ],
)
def test_a_part_that_is_none_is_refused_with_those_there_are(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    refused(at(tmp_path / "run", freeze=names), message)
    assert not (tmp_path / "run").exists()
