"""Small models beside their real torch implementations; full sizes are what the benchmark itself is for."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from evaluate.bench import footprint, tokenise_versus, torch_peers, versus  # noqa: E402
from evaluate.bench.torch_peers.randomise import OUTPUT_DEVIATION  # noqa: E402
from tests.audio_files import noise, write  # noqa: E402
from tests.zoo.published.small import HUB_CONFIGS  # noqa: E402
from zoo.errors import ZooError  # noqa: E402
from zoo.published import PublishedModel  # noqa: E402

DAC = {
    "model_type": "dac", "sampling_rate": 8000, "encoder_hidden_size": 8, "downsampling_ratios": [2, 4],
    "decoder_hidden_size": 16, "upsampling_ratios": [4, 2], "hidden_size": 32, "n_codebooks": 3, "codebook_size": 32,
    "codebook_dim": 4,
}  # fmt: skip
ENCODEC = {
    "model_type": "encodec", "sampling_rate": 8000, "audio_channels": 1, "normalize": False, "hidden_size": 16,
    "num_filters": 4, "num_residual_layers": 1, "upsampling_ratios": [4, 2], "norm_type": "weight_norm",
    "use_causal_conv": True, "codebook_size": 32, "codebook_dim": 16, "num_lstm_layers": 1,
    "target_bandwidths": [5.0, 20.0], "chunk_length_s": None, "overlap": None,
}  # fmt: skip
SEGMENTED = {
    **ENCODEC, "audio_channels": 2, "normalize": True, "norm_type": "time_group_norm", "use_causal_conv": False,
    "chunk_length_s": 0.1, "overlap": 0.01,
}  # fmt: skip
SNAC = {
    "sampling_rate": 8000, "encoder_dim": 4, "encoder_rates": [2, 4], "decoder_dim": 16, "decoder_rates": [4, 2],
    "attn_window_size": None, "codebook_size": 32, "codebook_dim": 4, "vq_strides": [4, 2, 1], "noise": True,
    "depthwise": True,
}  # fmt: skip
MODELS = {
    "dac": (DAC, 1), "encodec": (ENCODEC, 1), "segmented": (SEGMENTED, 2), "snac": (SNAC, 1),
    "oobleck": (HUB_CONFIGS["oobleck"], 2), "vocos": (HUB_CONFIGS["vocos"], 1),
    "neucodec": (HUB_CONFIGS["neucodec"], 1),
    **{name: (HUB_CONFIGS[name], 1) for name in ("pocket_tts_audio_tokenizer", "wavtokenizer", "vibevoice")},
}  # fmt: skip
ONLY_DECODE = ("vocos", "neucodec")
CONTINUOUS = ("oobleck", "vibevoice", "vocos", "pocket_tts_audio_tokenizer")
NEEDS = {"snac": "snac", "oobleck": "diffusers", "vocos": "vocos"}


def published(name: str) -> PublishedModel:
    config, channels = MODELS[name]
    family = "encodec" if name == "segmented" else name
    if family in NEEDS:
        pytest.importorskip("einops" if family == "vocos" else NEEDS[family])
    if family in ("vibevoice", "neucodec"):
        pytest.importorskip("transformers", "5.24")
    bitrates = None if family in CONTINUOUS else (1.0, 2.0)
    return PublishedModel(f"someone/{name}", family, 8000, channels, bitrates, 1, "MIT", config)


@pytest.mark.parametrize("name", list(MODELS))
def test_ours_is_what_torch_computes(name, monkeypatch):
    monkeypatch.setattr(footprint, "measure", lambda job: 1.0)
    (found,) = versus.compare(published(name), seconds=0.3, batch_sizes=[2], repeat=1)
    assert found.agreement.is_close, found.agreement
    assert (found.agreement.codes_equal is None) == (name in (*CONTINUOUS, *ONLY_DECODE))
    assert set(found.encode) == (set() if name in ONLY_DECODE else {"torch", "whole", "chunks"})
    assert min(timing.best_s for timing in found.decode.values()) > 0


@pytest.mark.parametrize("name", ["dac", "encodec", "segmented", "snac"])
def test_random_weights_give_codes_that_vary(name):
    model = published(name)
    peer = torch_peers.build(model.family, model.config, seed=1)
    noise = np.random.default_rng(1).normal(0, 0.1, (1, 4000, model.channels)).astype(np.float32)
    native = peer.encode(peer.audio(noise))
    codes = peer.frames(native)
    if name == "segmented":  # a frame is the codes of a segment, after the bytes of its loudness
        codes = codes.reshape(1, -1, 5, 100).swapaxes(2, 3)[:, :, :, 1:]
    used = [len(np.unique(column)) for column in codes.reshape(-1, codes.shape[-1]).T]
    assert min(used) > 8
    audio = peer.decode(native).numpy()
    if name != "segmented":  # which ends in a norm
        assert 0.3 * OUTPUT_DEVIATION < audio.std() < 3 * OUTPUT_DEVIATION


def test_a_family_without_an_implementation_is_named():
    with pytest.raises(ZooError, match="no torch implementation of qwen3_tts here"):
        torch_peers.build("qwen3_tts", HUB_CONFIGS["qwen3_tts"])


def test_weights_follow_from_the_seed(tmp_path):
    first, again, other = (torch_peers.build("dac", DAC, seed=seed).module.state_dict() for seed in (3, 3, 4))
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
    assert not torch.equal(first["encoder.conv1.bias"], other["encoder.conv1.bias"])


def test_what_is_saved_is_what_is_restored(tmp_path):
    peer = torch_peers.build("dac", DAC)
    peer.save(tmp_path / "model")
    restored = torch_peers.restore("dac", DAC, tmp_path / "model")
    codes = peer.encode(peer.audio(np.random.default_rng(0).normal(0, 0.1, (1, 500, 1)).astype(np.float32)))
    assert torch.equal(peer.decode(codes), restored.decode(codes))


def test_memory_of_torch_in_a_process_of_its_own(tmp_path):
    peer = torch_peers.build("dac", DAC)
    peer.save(tmp_path / "model")
    np.save(tmp_path / "input.npy", np.zeros((1, 80_000, 1), np.float32))
    job = footprint.CodingJob(
        "torch", str(tmp_path / "model"), "dac", DAC, str(tmp_path / "input.npy"), n_samples=80_000
    )
    # at least two layers' worth of its widest activations, 8 channels at the full rate
    assert 2 * 8 * 80_000 * 4 / 1e6 < footprint.measure(job) < 1000


def test_a_model_without_a_reference_says_so():
    with pytest.raises(ZooError, match="there is no torch implementation of hifigan to compare with"):
        torch_peers.build("hifigan", HUB_CONFIGS["hifigan"])


@pytest.mark.parametrize("name", ["encodec", "dac"])
def test_a_folder_is_tokenised_as_torch_does(tmp_path, monkeypatch, name):
    for n in range(12):
        write(tmp_path / "in" / f"{n}.wav", noise(8000 + 800 * n, level=0.2, seed=n))
    monkeypatch.setattr(tokenise_versus, "published_only", lambda _: published(name))
    found = tokenise_versus.compare(str(tmp_path / "in"), name, workers=1, batch_size=3, repeat=1, limit=None)
    assert found.codes_equal > 0.999
    assert (found.files, len(found.torch), len(found.ours)) == (12, 1, 1)
    assert found.times_faster == found.ours[0] / found.torch[0] > 0
    with pytest.raises(ZooError, match="2 files are too few to measure with, at 3 in a batch"):
        tokenise_versus.compare(str(tmp_path / "in"), name, workers=1, batch_size=3, repeat=1, limit=2)
