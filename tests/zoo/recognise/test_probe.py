"""Probe files: read as they were written; refused where they are damaged, none, or of another codec."""

from __future__ import annotations

import numpy as np
import pytest

from tests.zoo.conftest import RATE, make
from tests.zoo.recognise.conftest import noise, sine
from zoo.errors import CheckpointError, ZooError
from zoo.published.files import weights
from zoo.recognise import clips, fitting, probe
from zoo.recognise.probe import Probe

SETS = ("latent", "layers", "mfcc")


@pytest.fixture(scope="module")
def trained(small) -> Probe:
    made = probe.extractors(small, SETS)
    sounds = [make_sound(i) for i in range(8) for make_sound in (sine, noise)]
    rows = [probe.joined({name: clips.vectors(one, x, RATE) for name, one in made.items()}, SETS) for x in sounds]
    return probe.make(fitting.fit("logistic", np.stack(rows), ["sine", "noise"] * 8), small, SETS)


def test_a_probe_recognises_and_is_the_same_when_read(trained, small, tmp_path):
    probe.save(trained, tmp_path / "x.safetensors")
    again = probe.load(tmp_path / "x.safetensors")
    for kind, name in ((sine, "sine"), (noise, "noise")):
        found = again.classify_samples(small.codec, kind(50), RATE, top=9)
        assert found[0].name == name
        assert len(found) == 2
        assert found == trained.classify_samples(small.codec, kind(50), RATE, top=9)
        assert np.isclose(sum(guess.probability for guess in found), 1)
    with pytest.raises(ZooError, match="top must be at least 1, got 0"):
        again.classify_samples(small.codec, sine(0), RATE, top=0)
    with pytest.raises(ZooError, match="trained on another codec"):
        again.classify_samples(make("autoencoder"), sine(0), RATE)


def test_damage_is_found_wherever_it_is(trained, tmp_path):
    path = tmp_path / "x.safetensors"
    probe.save(trained, path)
    whole = path.read_bytes()
    for place in (0, 3, 9, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match=r"x\.safetensors"):
            probe.load(path)
    path.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        probe.load(path)


def test_other_files_are_no_probes(tmp_path):
    weights.write_safetensors(tmp_path / "w.safetensors", {"a": np.ones(3, np.float32)})
    (tmp_path / "text").write_text("something")
    for name, said in (("w.safetensors", "is no probe"), ("text", "train-probe"), ("", "folder"), ("none", "no")):
        with pytest.raises(CheckpointError, match=said):
            probe.load(tmp_path / name)


@pytest.mark.parametrize("sets", [(), ("latent", "latent"), ("chroma",)])
def test_features_that_there_are_not_are_refused(sets):
    with pytest.raises(ZooError, match="choose one or more of latent, layers, mfcc, log_mel"):
        probe.check_sets(sets)
