"""Other denoisers: their names, what they need, and, where they are installed, what they do."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.signal

from evaluate.denoise.mixing import mix
from evaluate.denoise.rivals import INSTALL, create, create_all
from tests.audio_files import noise
from zoo import audio, synth
from zoo.errors import ZooError

RATE = 48_000


def test_wiener_is_scipys_on_each_channel() -> None:
    noisy = noise(4000, 2)
    cleaned = create("wiener:5").process(noisy, RATE)
    for c in range(2):
        assert np.allclose(cleaned[:, c], scipy.signal.wiener(noisy[:, c].astype(np.float64), 5), atol=1e-6)
    assert np.array_equal(create("wiener").process(noisy, RATE), create("wiener:3").process(noisy, RATE))
    assert "window of 5 samples" in create("wiener:5").coder


def test_a_silent_channel_is_left_as_it_is() -> None:
    noisy = noise(4000, 2)
    noisy[:, 1] = 0
    cleaned = create("wiener").process(noisy, RATE)
    assert np.isfinite(cleaned).all()
    assert not cleaned[:, 1].any()


@pytest.mark.parametrize("spec", ["noisereduce", "noisereduce:stationary", "rnnoise"])
def test_the_others_reduce_hiss_over_speech_and_keep_time(spec: str) -> None:
    pytest.importorskip({"rnnoise": "pyrnnoise"}.get(spec, "noisereduce"))
    voice = synth.clip(1, 3.0, RATE, domain="voice", held_out=True)
    clean, noisy = mix(voice, noise(len(voice)), 0)
    cleaned = create(spec).process(noisy, RATE)
    assert cleaned.shape == noisy.shape
    assert np.mean((cleaned - clean) ** 2) < 0.6 * np.mean((noisy - clean) ** 2)
    assert abs(audio.align(clean, cleaned, max_lag=2400).lag) <= 2


def test_names_are_lists_and_each_counts_once() -> None:
    assert [rival.name for rival in create_all(["wiener, wiener:5", "wiener"])] == ["wiener", "wiener:5"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("deepfilter", "unknown rival 'deepfilter'; there is noisereduce, "),
        ("", "unknown rival ''"),
        ("wiener:4", "an odd number of samples"),
        ("wiener:1", "an odd number of samples"),
        ("wiener:wide", "an odd number of samples"),
        ("noisereduce:fast", "there is noisereduce and noisereduce:stationary"),
        ("rnnoise:2", "has no setting"),
    ],
)
def test_unknown_names_and_settings_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        create(spec)


@pytest.mark.parametrize(("spec", "module"), [("noisereduce", "noisereduce"), ("rnnoise", "pyrnnoise")])
def test_a_missing_library_is_named_with_what_installs_it(
    spec: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without(module), *sys.meta_path])
    with pytest.raises(ZooError) as raised:
        create(spec)
    assert str(raised.value) == f"rival {spec!r}: needs {module}, which is not installed; {INSTALL}"


class _Without:
    """An importer that refuses one package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
