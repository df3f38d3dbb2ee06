"""Values of other types than a function takes: a line that names the argument, of whichever function it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, make, sound
from zoo import audio, features, recognise

NO_NUMBERS = {
    "text": lambda: "song.wav",
    "none": lambda: None,
    "words": lambda: ["a", "b"],
    "complex": lambda: np.ones((40, 1), complex),
    "objects": lambda: np.array([[object()]] * 40),
    "dates": lambda: np.zeros((40, 1), "datetime64[s]"),
    "records": lambda: np.zeros((40, 1), [("left", "f4")]),
    "mapping": lambda: {"a": 1},
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "generator": lambda: (part for part in ()),
}
CLIP, MONO = sound(400), sound(400)[:, 0]
VECTORS, LABELS = np.random.default_rng(0).standard_normal((12, 5)), ["a", "b"] * 6


def _written(path: str = "out.wav", rate: Any = RATE, channels: Any = 1, block: Any = CLIP, **options: Any) -> None:
    with audio.open_writer(path, rate, channels, **options) as writer:
        writer.write(block)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, which these calls leave empty."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda x: features.rms(x, RATE), "audio"),
        (lambda x: features.extract(x, RATE), "audio"),
        (lambda x: list(features.extract_each([MONO, x], RATE, "rms")), "clip 1"),
        (lambda x: features.statistics(x), "frames"),
        (lambda x: features.delta(x), "frames"),
        (lambda x: audio.validate(x, name="take 3"), "take 3"),
        (lambda x: audio.mix_channels(x, 1), "samples"),
        (lambda x: audio.resample(x, RATE, 2 * RATE), "samples"),
        (lambda x: audio.quantise(x, 16), "samples"),
        (lambda x: audio.align(x, CLIP), "reference"),
        (lambda x: audio.align(CLIP, x), "estimate"),
        (lambda x: audio.write("out.wav", x, RATE), "out.wav"),
        (lambda x: _written(block=x), "out.wav"),
        (lambda x: _written("out.flac", block=x), "out.flac"),
        (lambda x: recognise.fit("logistic", x, LABELS), "vectors"),
    ],
)
def test_what_is_no_array_of_numbers(use: Callable[[Any], Any], name: str, kind: str) -> None:
    with pytest.raises(zoo.ZooError, match=f"^{name}\\b.*(must be an array|cannot be read as an array)"):
        use(NO_NUMBERS[kind]())


@pytest.mark.parametrize("kind", sorted(NO_NUMBERS.keys() - {"none"}))
@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda x: features.n_frames(x), "n_samples"),
        (lambda x: features.n_frames(100, x), "hop_length"),
        (lambda x: features.rms(MONO, RATE, x), "n_samples"),
        (lambda x: features.statistics(CLIP, x), "n_frames"),
        (lambda x: audio.resample(CLIP, RATE, 2 * RATE, n_samples=x), "n_samples"),
        (lambda x: audio.quantise(CLIP, x), "bits"),
        (lambda x: audio.align(CLIP, CLIP, max_lag=x), "max_lag"),
        (lambda x: _written(rate=x), "sample_rate"),
        (lambda x: _written(channels=x), "channels"),
        (lambda x: _written(n_samples=x), "n_samples"),
        (lambda x: recognise.fit("svm", VECTORS, LABELS, None, x), "seed"),
        (lambda x: recognise.fit("svm", VECTORS, LABELS, x), "groups"),
    ],
)
def test_what_is_no_whole_number(use: Callable[[Any], Any], name: str, kind: str) -> None:
    with pytest.raises(zoo.ZooError, match=f"^{name} must be"):
        use(NO_NUMBERS[kind]())


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: features.extract(MONO, RATE, None), "names must be those of features, got None"),
        (lambda: features.extract(MONO, RATE, [None]), "unknown feature None; there are"),
        (lambda: list(features.extract_each(None, RATE)), "clips must be arrays of samples, one after the other"),
        (lambda: list(features.extract_each([MONO], RATE, 5)), "names must be those of features, got 5"),
        (lambda: features.n_frames(100, 0), "hop_length must be at least 1, got 0"),
        (lambda: features.n_frames(np.ones(2)), "n_samples must be integers, got float64"),
        (lambda: audio.inspect(["a"]), "['a'] is no path"),
        (lambda: audio.check_output(None), "None is no path"),
        (lambda: audio.check_format({}, None), "{} is no path"),
        (lambda: audio.read_crop(5, 0, 10, sample_rate=RATE), "5 is no path"),
        (lambda: audio.quantise(CLIP, 10**9), "bits must lie between 1 and 64"),
        (lambda: audio.write("out.wav", CLIP, RATE, subtype=["PCM_24"]), "out.wav: a subtype is a name such as"),
        (lambda: _written(subtype=24), "out.wav: a subtype is a name such as 'PCM_24', got 24"),
        (lambda: _written(channels=0, block=CLIP[:, :0]), "out.wav: cannot hold 0 channels, only 1 to 1024"),
        (lambda: recognise.fit(None, VECTORS, LABELS), "unknown classifier None; there are"),
        (lambda: recognise.fit("svm", VECTORS, LABELS[:3]), "labels must be one for each of 12 vectors"),
        (lambda: recognise.fit("svm", VECTORS, "abababababab"), "labels must be a class for each vector"),
        (lambda: recognise.fit("svm", VECTORS, [1.5] * 12), "labels must be a class for each vector"),
        (lambda: recognise.fit("svm", VECTORS[:, 0], LABELS), "vectors must be (N, V) and not empty"),
        (lambda: recognise.fit("svm", VECTORS, LABELS, np.arange(3)), "groups must be one for each of 12 vectors"),
        (lambda: recognise.embedder(make("vae"), "latent"), "sets must be some of latent, layers, got 'latent'"),
        (lambda: recognise.embedder(make("vae"), ["mfcc"]), "sets must be some of latent, layers, got ['mfcc']"),
    ],
)
def test_values_that_are_named(use: Callable[[], Any], said: str) -> None:
    with pytest.raises(zoo.ZooError, match=re.escape(said)):
        use()


def test_names_of_features_that_come_one_by_one_are_those_of_all_clips() -> None:
    found = list(features.extract_each([MONO, MONO], RATE, (name for name in ("rms",)), batch_size=1))
    assert [list(one) for one in found] == [["rms"], ["rms"]]


def test_reading_no_samples(tmp_path: Path) -> None:
    audio.write("in.wav", CLIP, RATE)
    with audio.open_reader("in.wav") as reader:
        for n, said in ((0, "in.wav: asked for 0 samples"), ("5", "n must be a number")):
            with pytest.raises(zoo.ZooError, match=said):
                reader.read(n)  # type: ignore[arg-type]
    for name in ("start", "n_samples", "sample_rate", "channels"):
        options = {"start": 0, "n_samples": 5, "sample_rate": RATE, "channels": 1} | {name: "x"}
        with pytest.raises(zoo.ZooError, match=f"{name} must be a number"):
            audio.read_crop("in.wav", **options)  # type: ignore[arg-type]
    (tmp_path / "in.wav").unlink()
