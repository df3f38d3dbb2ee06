"""The benchmark: what it measures of our codecs, and how it refuses; never how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from evaluate.bench import coding, footprint, models, passes
from evaluate.bench.hardware import cpu_model, describe, hardware
from tests.complaint import complaint
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

TINY_DAC = {
    "sample_rate": 8000, "encoder_width": 4, "encoder_rates": [2, 4], "decoder_width": 16, "decoder_rates": [4, 2],
    "latent_dim": 8, "n_codebooks": 3, "codebook_size": 16, "code_dim": 4,
}  # fmt: skip


@pytest.fixture
def tiny(monkeypatch, build):
    """Every model that is asked for is a small one."""
    codec = build("gan_vocoder")
    monkeypatch.setattr(models, "random_codec", lambda name: codec)
    return codec


def test_a_random_codec_is_of_the_published_size():
    model = models.published("vocos-mel-24khz")
    codec = models.random_codec("vocos-mel-24khz")
    assert codec.sample_rate == 24_000
    n = sum(leaf.size for leaf in jax.tree.leaves(codec.variables))
    assert n == pytest.approx(model.parameters, rel=0.01)
    assert models.random_codec("autoencoder", n_blocks=1).metadata["model"] == {"n_blocks": 1}


def test_names():
    whole = models.published("descript/dac_44khz")
    assert whole is models.published("dac_44khz")
    assert models.published("stable-audio-open").name == "stabilityai/stable-audio-open-1.0"
    assert models.published("dac") is None
    assert models.published("gan_vocoder") is None
    with pytest.raises(ZooError, match="encodec_24khz, facebook/encodec_48khz"):
        models.published("encodec_")
    with pytest.raises(ZooError, match=r"'vae'.*dac_16khz.*mimi"):
        models.published_only("vae")


def test_whole_clips_are_what_chunks_are(build):
    codec = build("gan_vocoder")
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 12_345, 1)).astype(np.float32)
    for continuous in (False, True):
        whole, chunks = (kind(codec, continuous=continuous) for kind in (passes.WholeClips, passes.InChunks))
        frames = np.asarray(whole.encode(audio))
        if continuous:
            np.testing.assert_allclose(frames, chunks.encode(audio), atol=1e-4 * abs(frames).max())
        else:
            assert frames.shape[2] == 4  # of the highest level
            assert len(np.unique(frames)) > 4
            np.testing.assert_array_equal(frames, chunks.encode(audio))
        decoded = np.asarray(whole.decode(frames, 12_345))
        np.testing.assert_allclose(decoded, chunks.decode(frames, 12_345), atol=1e-5)


def test_operations_and_shares(build):
    codec = build("gan_vocoder")
    audio = np.zeros((2, 8000, 1), np.float32)  # 200 frames of 40 samples
    clips, frames = passes.WholeClips(codec), np.zeros((2, 200, 4), np.int32)
    kernels = [leaf.size for leaf in jax.tree.leaves(codec.variables["params"]["decoder"]) if leaf.ndim > 1]
    # every kernel is used once for a frame, a product and a sum for each of its numbers; the rest is little
    products = 2 * 2 * 200 * sum(kernels)
    assert products < clips.decode_flops(frames, audio.shape[1]) < 2 * products
    assert clips.encode_flops(audio) == pytest.approx(2 * clips.encode_flops(audio[:1]), rel=0.05)
    found = passes.measure(codec, audio, lambda call: 10.0, peak_tflops=3.0)
    # two seconds of audio at ten times real time: five such calls a second
    assert found.encode_share == pytest.approx(5 * clips.encode_flops(audio) / 3e12)
    assert found.decode_share == pytest.approx(5 * clips.decode_flops(frames, audio.shape[1]) / 3e12)
    unknown = passes.measure(codec, audio, lambda call: 10.0, peak_tflops=None)
    assert unknown.decode_share is None
    assert unknown.decode_flops is not None


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H200", 989.0),
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L4", 121.0),
        ("TPU v5 lite", 197.0),
        ("TPU v4", 275.0),
        ("cpu", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_matrix_rates(kind, peak):
    assert passes.known_peak_tflops(kind) == peak


def test_batches_and_whole_clips_in_one_table(tiny, tmp_path, capsys):
    path = tmp_path / "speed.json"
    arguments = ["--model", "dac_44khz", "--seconds", "0.5", "--repeat", "1", "--batch-size", "1", "3", "--whole"]
    coding.main([*arguments, "--peak_tflops", "2", "--json", str(path)])
    one, three = json.loads(path.read_text())
    assert (one["batch_size"], three["batch_size"]) == (1, 3)
    for speed in (one, three):
        whole, total_s = speed["whole"], 0.5 * speed["batch_size"]
        assert whole["encode_share"] == pytest.approx(whole["encode_flops"] * whole["encode_rtf"] / total_s / 2e12)
    assert three["whole"]["decode_flops"] == pytest.approx(3 * one["whole"]["decode_flops"], rel=0.1)
    printed = capsys.readouterr().out
    assert "of peak" in printed
    assert "whole" in printed
    coding.main(arguments[:-1])
    assert "whole" not in capsys.readouterr().out


def test_a_codec_without_codes_has_no_entropy_coding(capsys):
    codec = models.random_codec("vocos", n_fft=64, hop_length=16, n_mels=8, width=8, hidden=8, n_blocks=1)
    speed = coding.measure("vocoder", codec, seconds=0.1, repeat=1)
    assert speed.entropy_coding_rtf is None
    assert speed.decode_rtf > 0
    titles = [str(column.header) for column in coding.render([speed]).columns]
    assert "decode\n×" in titles
    assert "entropy coding\n×" not in titles


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--model", "vae", "--peak_tflops", "0"], "peak_tflops"),
        (["--model", "vae", "--batch_size", "1", "0"], "batch_size"),
        (["--model", "vae", "--batch_size"], "batch_size"),
        (["--model", "vae", "--dtype", "float64"], "dtype"),
        (["--model", "vae", "--vs", "tensorflow"], "vs"),
        (["--model", "encodec_"], "may be any of"),
    ],
)
def test_bad_input_is_one_line(arguments, culprit, capsys):
    assert culprit in complaint(capsys, coding.main, arguments)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read where Linux keeps them")
def test_a_peak_is_what_was_needed_at_once():
    before = footprint.memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    held = np.ones(25_000_000)
    del held
    grown = footprint.memory_mb("VmHWM") - before
    assert 150 < grown < 260


def test_a_process_of_its_own_loads_and_codes(tmp_path):
    from zoo.published.load import export

    codec = models.random_codec("dac", **TINY_DAC)
    export(codec, tmp_path / "model")
    given = tmp_path / "input.npy"
    np.save(given, np.zeros((1, 2000, 1), np.float32))
    # what this process holds does not count as that one's
    held = np.ones(100_000_000)
    ballast_mb = held.nbytes / 1e6
    chunks = footprint.CodingJob("chunks", str(tmp_path / "model"), "dac", {}, str(given), n_samples=2000)
    assert 5 < footprint.measure(chunks) < ballast_mb
    missing = footprint.CodingJob("load", str(tmp_path / "none"), "dac", {}, str(given), n_samples=2000)
    with pytest.raises(ZooError, match=r"load of dac .*none"):
        footprint.measure(missing)


def test_hardware_is_named(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Acme 9000 @ 3 GHz\nprocessor\t: 1\nmodel name\t: Acme 9000\n")
    assert cpu_model(info) == "Acme 9000 @ 3 GHz"
    assert cpu_model(tmp_path / "none")
    found = hardware()
    assert found["versions"]["jax"] == jax.__version__
    line = describe({**found, "cpu": "Acme", "cores": 2, "load_average": 0.3})
    assert line.startswith("Acme, 2 cores")
    assert "busy" not in line
    assert "busy" in describe({**found, "cores": 2, "load_average": 1.7})
