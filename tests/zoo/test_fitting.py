"""A codec of weights that somebody trained: what it codes, what is kept of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, SMALL, make, sound
from zoo.bitstream.entropy import Fitter

pytestmark = pytest.mark.usefixtures("quick_module")


CLIPS = [sound(2 * RATE), sound(RATE, seed=1)[:, 0]]


def trained(family: str) -> Any:
    return jax.device_get(make(family).variables)


def ready(family: str = "vae", clips: Any = None, **options: Any) -> zoo.ReadyCodec:
    variables = options.pop("variables", None) or trained(family)
    clips = CLIPS if clips is None else clips
    return zoo.ready_codec(family, variables, clips, hyperparameters={"sample_rate": RATE, **SMALL[family]}, **options)


@pytest.fixture(scope="module")
def codec() -> zoo.ReadyCodec:
    return ready()


def test_what_is_exported_codes_to_the_same_bytes_as_before(codec: zoo.ReadyCodec, tmp_path: Path) -> None:
    zoo.export(codec, tmp_path / "mine")
    loaded = zoo.load(tmp_path / "mine")
    assert loaded.digest == codec.digest
    audio = sound(RATE, seed=3)
    assert loaded.compress(audio) == codec.compress(audio)


def test_tables_are_fitted_to_the_clips_at_every_level(codec: zoo.ReadyCodec) -> None:
    audio, flat = sound(2 * RATE), Fitter(codec.symbols).fit()
    for level in range(codec.n_levels):
        codes = codec.encode(audio, level=level).codes
        assert codec.entropy.bits(codes, level) < 0.9 * flat.bits(codes, level)


def test_tables_of_vector_quantisers_are_fitted_too() -> None:
    codec = ready("gan_vocoder")
    codes = codec.encode(sound(2 * RATE)).codes
    level = codec.default_level
    assert codec.entropy.bits(codes, level) < 0.9 * Fitter(codec.symbols).fit().bits(codes, level)


def test_clips_of_another_rate_are_resampled(codec: zoo.ReadyCodec) -> None:
    clips = [zoo.audio.resample(clip, RATE, 2 * RATE) for clip in (CLIPS[0], CLIPS[1][:, None])]
    resampled = ready(clips=clips, sample_rate=2 * RATE)
    codes, level = codec.encode(CLIPS[0]).codes, codec.default_level
    assert resampled.entropy.bits(codes, level) == pytest.approx(codec.entropy.bits(codes, level), rel=0.02)
    assert resampled.digest != codec.digest


def test_what_defaults_are_is_kept_with_the_codec(codec: zoo.ReadyCodec) -> None:
    model = codec.metadata["model"]
    assert model["channels"] == 1
    assert "dtype" not in model


def test_weights_may_be_of_other_kinds_of_arrays_and_trees() -> None:
    halves = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), trained("vae"))
    codec = ready(variables=flax.core.freeze(halves), clips=sound(40))
    assert {x.dtype for x in jax.tree.leaves(codec.variables)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(
        jax.tree.leaves(codec.variables)[0], np.asarray(jax.tree.leaves(halves)[0], np.float32)
    )


def test_a_denoiser_has_no_codes_to_fit(tmp_path: Path) -> None:
    options = {"sample_rate": RATE, "n_fft": 120, "hop_length": 60, "fine_hz": 1500.0, "width": 4, "n_blocks": 1}
    module = zoo.create("denoiser", **options)
    variables = jax.jit(module.init)(jax.random.key(0), *module.example())
    codec = zoo.ready_codec("denoiser", variables, hyperparameters=options, task="denoise")
    zoo.export(codec, tmp_path / "mine")
    assert zoo.load(tmp_path / "mine").denoises


def without(tree: Any) -> Any:
    return {"params": {name: part for name, part in tree["params"].items() if name != "decoder"}}


def poisoned(tree: Any) -> Any:
    return jax.tree.map(lambda x: np.full_like(x, np.nan) if x.ndim == 1 else x, tree)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda tree: tree["params"], r'variables must be \{"params": …\}.* got bottleneck, decoder, encoder'),
        (without, r"missing keys: decoder\."),
        (lambda tree: {"params": tree["params"] | {"spare": np.zeros(2)}}, "extra keys: spare"),
        (lambda tree: jax.tree.map(lambda x: x[None], tree), r"misshaped keys: .* does not fit"),
        (poisoned, "holds NaN or infinity"),
    ],
)
def test_weights_that_are_not_the_codecs_are_refused(change: Callable[[Any], Any], complaint: str) -> None:
    with pytest.raises(zoo.ZooError, match=complaint) as caught:
        ready(variables=change(trained("vae")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("clips", "options", "complaint"),
    [
        ([], {}, "clips: there are none"),
        (3, {}, "clips must be an array of audio, or arrays one after the other, got int"),
        ("song.wav", {}, "clips must be an array of audio"),
        ([sound(RATE), np.full(100, np.nan)], {}, r"clips\[1\]: audio holds NaN"),
        ([sound(RATE).T], {}, r"clips\[0\]: .*give audio\.T"),
        ([np.zeros((2, 2, RATE, 1))], {}, r"clips\[0\]: audio must be \(T,\), \(T, C\) or \(B, T, C\)"),
        (sound(RATE), {"sample_rate": 0}, "sample_rate 0"),
        (sound(RATE), {"task": "restore"}, "task must be reconstruct or denoise, got 'restore'"),
    ],
)
def test_clips_that_cannot_be_coded_are_refused(clips: Any, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(zoo.ZooError, match=complaint):
        ready(clips=clips, **options)


def test_hyperparameters_that_cannot_be_saved_are_refused() -> None:
    with pytest.raises(zoo.ZooError, match="hyper-parameter 'dtype' cannot be saved"):
        zoo.ready_codec("vae", {}, hyperparameters={"dtype": jnp.bfloat16})


def test_a_codec_of_unknown_family_is_not_exported(tmp_path: Path) -> None:
    codec = make("vae")
    with pytest.raises(zoo.ZooError, match=r"zoo\.ready_codec makes one that can be exported"):
        zoo.export(zoo.ReadyCodec(codec.module, codec.variables, codec.entropy), tmp_path / "mine")
