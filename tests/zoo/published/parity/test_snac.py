"""SNAC against its authors' package at published size; run as a module, it rewrites the plain tests' golden files."""

import json
from unittest import mock

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import jumping, weights_of
from zoo.published import snac
from zoo.published.keymap import from_params

torch = pytest.importorskip("torch")
authors = pytest.importorskip("snac")

SPEECH = {
    "sampling_rate": 24_000, "encoder_dim": 48, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2], "attn_window_size": None, "codebook_size": 4096, "codebook_dim": 8,
    "vq_strides": [4, 2, 1], "noise": True, "depthwise": True,
}  # fmt: skip
MUSIC = SPEECH | {
    "sampling_rate": 44_100, "encoder_dim": 64, "encoder_rates": [2, 3, 8, 8], "decoder_dim": 1536,
    "decoder_rates": [8, 8, 3, 2], "attn_window_size": 32, "vq_strides": [8, 4, 2, 1],
}  # fmt: skip
PUBLISHED = {"24khz": SPEECH, "32khz": MUSIC | {"sampling_rate": 32_000}, "44khz": MUSIC}
SMALL = {
    "speech": SPEECH | {
        "sampling_rate": 240, "encoder_dim": 8, "encoder_rates": [2, 3], "decoder_dim": 32, "decoder_rates": [3, 2],
        "codebook_size": 32,
    },
    "music": MUSIC | {
        "sampling_rate": 240, "encoder_dim": 32, "encoder_rates": [3], "decoder_dim": 128, "decoder_rates": [3],
        "attn_window_size": 16, "codebook_size": 32,
    },
}  # fmt: skip
LENGTHS = (1603, 384, 1)
"""samples of the golden clips: an odd number, whole windows of attention, one"""


def reference(**config):
    """The authors' model with random weights that keep signals at their level, and Snakes that bend them."""
    torch.manual_seed(0)
    model = authors.SNAC(**config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("original1"):
                tensor.copy_(sparse(tensor))
            elif name.endswith("codebook.weight"):
                tensor.normal_(0, 0.5)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.05)
            elif name.endswith("alpha"):
                tensor.uniform_(1, 3)
            elif name.endswith("norm.weight"):
                tensor.uniform_(0.5, 1.5)
            elif "to_" in name:
                tensor.copy_(sparse(tensor) / tensor.shape[1] ** 0.5 / (2 if "out" in name else 1))
        tensors = dict(model.named_parameters())
        for name, gain in tensors.items():
            if name.endswith("original0"):
                v = tensors[name.removesuffix("0") + "1"]
                # a transposed convolution hears two frames at a time, its kernel is in (I, O, K)
                transposed = name.startswith("decoder") and v.ndim == 3 and v.shape[2] % 2 == 0
                fan = 2 * v.shape[0] if transposed else v[0].numel()
                inside = ".block.3.parametrizations" in name or "linear" in name
                share = 0.2 if v.shape[0] == 1 else 0.4 if inside and v.shape[2] == 1 else 1.0
                gain.copy_(share * v.flatten(1).norm(dim=1).reshape(gain.shape) / fan**0.5)
        for tensor in tensors.values():
            tensor.copy_(tensor.half().float())
    return model


def sparse(tensor):
    """Random values of unit variance; few others than zero where a golden file would grow too large."""
    values = (4 * torch.randn_like(tensor)).round() / 4
    large = tensor[0].numel() >= 64 and 4096 <= tensor.numel() < 100_000
    return 8**0.5 * values * (torch.rand_like(tensor) < 1 / 8) if large else values


class OurNoise:
    """In place of torch.randn: what our decoder's layers add to `n_frames` frames, one after the other."""

    def __init__(self, n_frames: int) -> None:
        self.n_frames, self.layer = n_frames, 0

    def __call__(self, shape, **_):
        batch, one, length = shape
        noise = snac.noise_of_frames(self.layer, 0, self.n_frames, length // self.n_frames)
        self.layer += 1
        return torch.from_numpy(np.array(noise)).expand(batch, one, length)


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Codes (B, F, Q), a frame's codes side by side, and decoded audio of clips (B, T, 1)."""
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(audio.swapaxes(1, 2).copy()))
        batch, n_frames = codes[0].shape
        with mock.patch("torch.randn", OurNoise(n_frames)):
            out = model.decode(codes)
    side_by_side = np.concatenate([column.numpy().reshape(batch, n_frames, -1) for column in codes], axis=-1)
    return {"codes": side_by_side.astype(np.int32), "out": out.numpy().swapaxes(1, 2)[:, : audio.shape[1]]}


def ported(model, config) -> tuple[zoo.Codec, dict]:
    return small.ported("snac", snac.hyperparameters(config), weights_of(model), "original")


@pytest.mark.parametrize("name", PUBLISHED)
def test_codes_and_audio_are_the_references(name):
    config = PUBLISHED[name]
    model = reference(**config)
    codec, params = ported(model, config)
    variables = {"params": params}

    @jax.jit
    def encode(variables, audio):
        return codec.apply(variables, codec.apply(variables, audio, method="encode"), method="quantise").codes

    decode = jax.jit(lambda variables, codes: codec.apply(variables, codes, method="decode_codes"))
    for n_samples, batch in ((config["sampling_rate"], 1), (12_347, 3)):
        audio = np.stack([jumping(n_samples, 1, seed) for seed in range(batch)])
        wanted = run(model, audio)
        codes = np.asarray(encode(variables, audio))
        np.testing.assert_array_equal(codes, wanted["codes"])
        if batch == 1:
            assert len(np.unique(codes)) > codes.size // 2
        np.testing.assert_array_equal(encode(variables, audio[:1])[0], codes[0])
        out = np.asarray(decode(variables, codes))[:, :n_samples]
        peak = np.abs(wanted["out"]).max()
        assert peak > 0.1
        np.testing.assert_allclose(out, wanted["out"], rtol=0, atol=1e-4 * peak)
        np.testing.assert_allclose(decode(variables, codes[:1])[0, :n_samples], out[0], rtol=0, atol=1e-5 * peak)


@pytest.mark.parametrize("name", SMALL)
def test_the_reference_loads_what_is_written(name, tmp_path):
    from safetensors.numpy import save_file
    from safetensors.torch import load_file

    model = reference(**SMALL[name])
    _, params = ported(model, SMALL[name])
    hyperparameters = snac.hyperparameters(SMALL[name])
    save_file(from_params(params, snac.key_maps(**hyperparameters)["original"]), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(snac.hub_config(**hyperparameters)))
    again = authors.SNAC.from_config(tmp_path / "config.json").eval()
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    audio = jumping(3001, 1, seed=1)[None]
    before, after = run(model, audio), run(again, audio)
    np.testing.assert_array_equal(after["codes"], before["codes"])
    np.testing.assert_allclose(after["out"], before["out"], rtol=0, atol=1e-5 * np.abs(before["out"]).max())


def write_golden() -> None:
    for name, config in SMALL.items():
        model = reference(**config)
        arrays = {f"w:{key}": array.astype(np.float16) for key, array in weights_of(model).items()}
        for i, n_samples in enumerate(LENGTHS):
            audio = jumping(n_samples, 1, seed=i)
            found = {key: array[0] for key, array in run(model, audio[None]).items()}
            arrays |= {f"audio_{i}": audio, f"codes_{i}": found["codes"], f"out_{i}": found["out"]}
        small.write_golden("snac", name, config, arrays)
        print([len(np.unique(column)) for column in arrays["codes_0"].T])
        print(np.abs(arrays["out_0"]).max(), arrays["out_0"].std())


if __name__ == "__main__":
    write_golden()
