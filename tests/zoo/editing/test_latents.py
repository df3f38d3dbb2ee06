"""Edits of latents: in time, by fitted filters, and in streams on their way through a codec."""

from __future__ import annotations

import numpy as np
import pytest

from tests.zoo.conftest import RATE, make, sound
from zoo import editing
from zoo.editing import aligned, frames
from zoo.editing.latent_filter import FilterFrames
from zoo.editing.through import LatentEditor
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")


def latents(n: int, dim: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, n, dim)).astype(np.float32)


def through(editor: LatentEditor, inputs: list[np.ndarray], cuts: list[int]) -> np.ndarray:
    parts = zip(*(np.split(audio, cuts) for audio in inputs))
    return np.concatenate([*(editor.push(blocks) for blocks in parts), editor.finish()])


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_straight_lines_stay_straight(interpolation):
    line = np.arange(40, dtype=np.float32)[None, :, None]
    stretched = editing.stretch_latents(line, 2.0, interpolation=interpolation)
    assert stretched.shape == (1, 80, 1)
    np.testing.assert_allclose(stretched[0, 4:70, 0], np.arange(4, 70) / 2, atol=1e-5)
    np.testing.assert_allclose(editing.stretch_latents(line, 1.0, offset=0.3, interpolation=interpolation), line)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
def test_frames_that_come_in_parts_are_stretched_as_all_at_once(factor, interpolation):
    module = make("vae").module
    all_at_once, n = latents(101), round(101 * factor)
    expected = editing.stretch_latents(
        all_at_once, factor, offset=frames.frame_offset(module), n_frames=n, interpolation=interpolation
    )
    stream = frames.Stretch(factor, module, interpolation)
    parts = [stream.push([part]) for part in np.split(all_at_once, [1, 2, 30, 31, 77], axis=1)]
    found = np.concatenate([*parts, stream.finish(n)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("name", "changes"), [("vae", {}), ("autoencoder", {"n_blocks": 0})])
def test_a_stream_of_mixes_is_the_mix_of_latents(name, changes):
    codec = make(name, **changes)
    a, b = sound(3 * RATE + 11), sound(3 * RATE + 11, seed=1)
    editor = LatentEditor(codec.engine, RATE, 1, frames.Blend(aligned.constant([0.6, 0.4]), codec.module), n_inputs=2)
    streamed = through(editor, [a, b], [5, 9000])
    mixed = editing.mix([codec.encode_latents(x) for x in (a, b)], [0.6, 0.4])
    np.testing.assert_allclose(streamed, codec.decode_latents(mixed, len(a))[0], atol=1e-5)


@pytest.mark.parametrize(("channels", "rate"), [(1, RATE), (2, 11_025)])
@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_a_stretched_stream_has_its_exact_length_however_it_comes(channels, rate, factor):
    codec = make("vae")
    audio = sound(rate + 321, channels, sample_rate=rate)

    def editor() -> LatentEditor:
        edit = frames.Stretch(factor, codec.module)
        return LatentEditor(codec.engine, rate, channels, edit, factor=factor)

    whole = through(editor(), [audio], [])
    assert whole.shape == (round(len(audio) * factor), channels)
    np.testing.assert_allclose(through(editor(), [audio], [1, 700, 4000]), whole, atol=1e-5)


def test_pitch_by_latents_keeps_the_length():
    codec = make("vae")
    audio = sound(5000)
    speed = 2 ** (3 / 12)
    editor = LatentEditor(codec.engine, RATE, 1, frames.Stretch(speed, codec.module), speed=speed)
    assert through(editor, [audio], []).shape == audio.shape


def test_silence_and_single_samples_go_through():
    codec = make("vae")
    for audio in (np.zeros((777, 1), np.float32), np.ones((1, 1), np.float32)):
        editor = LatentEditor(codec.engine, RATE, 1, frames.Stretch(2.0, codec.module), factor=2.0)
        found = through(editor, [audio], [])
        assert found.shape == (2 * len(audio), 1)
        assert np.isfinite(found).all()


def test_a_filter_of_linear_latents_is_the_equaliser():
    # an MDCT and nothing learnt: latents are linear in the audio
    codec = make("autoencoder", n_blocks=0)
    fitted = editing.fit_equaliser(codec, "800:-12")
    audio = sound(2 * RATE, seed=5)
    found = codec.decode_latents(fitted(codec.encode_latents(audio)), len(audio))[0]
    expected = editing.equalise(audio, RATE, "800:-12")
    error_db = 10 * np.log10(np.square(found - expected).mean() / np.square(expected).mean())
    before_db = 10 * np.log10(np.square(audio - expected).mean() / np.square(expected).mean())
    assert error_db < -20
    assert error_db < before_db - 15
    stream = FilterFrames(fitted)
    z = codec.encode_latents(audio)
    parts = [stream.push([part]) for part in np.split(z, [1, 2, 100], axis=1)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.finish(0)], axis=1), fitted(z), atol=1e-5)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ZooError, match="must be"):
        editing.stretch_latents(np.zeros((3, 4), np.float32), 2.0)
    with pytest.raises(ZooError, match="factor 0 is not"):
        editing.stretch_latents(latents(3), 0)
    with pytest.raises(ZooError, match="unknown interpolation"):
        editing.stretch_latents(latents(3), 2.0, interpolation="spline")  # type: ignore[arg-type]
    fitted = editing.LatentFilter(np.zeros((9, 3), np.float32), np.zeros(3, np.float32))
    with pytest.raises(ZooError, match=r"latents must be \(N, F, 3\)"):
        fitted(latents(4, dim=5))
