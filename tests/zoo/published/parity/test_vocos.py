"""Vocos against its authors' package at published size; run as a module, it rewrites the golden files.

The package wants torchaudio for mel spectra only, and torchaudio wants a torch of its own: a stand-in is written out
here.
"""

import sys
import types
from unittest import mock

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import weights_of
from tests.zoo.published.small import close
from zoo.published import vocos as family
from zoo.published.keymap import from_params, to_params

torch = pytest.importorskip("torch")
pytest.importorskip("einops")


class _Spectrogram(torch.nn.Module):
    def __init__(self, n_fft):
        super().__init__()
        self.register_buffer("window", torch.hann_window(n_fft))


class _MelScale(torch.nn.Module):
    def __init__(self, sample_rate, n_fft, n_mels):
        super().__init__()
        top = 2595.0 * np.log10(1.0 + sample_rate / 2 / 700.0)
        corners = 700.0 * (10.0 ** (torch.linspace(0.0, top, n_mels + 2) / 2595.0) - 1.0)
        slopes = corners[None, :] - torch.linspace(0, sample_rate // 2, n_fft // 2 + 1)[:, None]
        widths = corners[1:] - corners[:-1]
        down, up = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
        self.register_buffer("fb", torch.minimum(down, up).clamp(min=0.0))


class _MelSpectrogram(torch.nn.Module):
    """torchaudio.transforms.MelSpectrogram with the arguments that Vocos gives it."""

    def __init__(self, sample_rate, n_fft, hop_length, n_mels, center, power):
        super().__init__()
        assert (center, power) == (True, 1)
        self.n_fft, self.hop_length = n_fft, hop_length
        self.spectrogram, self.mel_scale = _Spectrogram(n_fft), _MelScale(sample_rate, n_fft, n_mels)

    def forward(self, audio):
        options = {"center": True, "pad_mode": "reflect", "return_complex": True}
        spectrum = torch.stft(audio, self.n_fft, self.hop_length, window=self.spectrogram.window, **options).abs()
        return torch.matmul(spectrum.transpose(-1, -2), self.mel_scale.fb).transpose(-1, -2)


def _stand_in() -> dict[str, types.ModuleType]:
    names = ("torchaudio", "torchaudio.transforms", "torchaudio.functional", "torchaudio.functional.functional")
    modules = {name: types.ModuleType(name) for name in names}
    modules["torchaudio"].transforms = modules["torchaudio.transforms"]
    modules["torchaudio.transforms"].MelSpectrogram = _MelSpectrogram
    modules["torchaudio.transforms"].Spectrogram = _Spectrogram
    for name in ("_hz_to_mel", "_mel_to_hz"):
        setattr(modules["torchaudio.functional.functional"], name, None)
    return modules


_MODULES = _stand_in()
sys.modules.update(_MODULES)
try:
    authors = pytest.importorskip("vocos")
    encodec = pytest.importorskip("encodec")
    from encodec.modules import SEANetDecoder, SEANetEncoder
    from encodec.quantization import ResidualVectorQuantizer
    from vocos.feature_extractors import EncodecFeatures, MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone
finally:
    for name in _MODULES:
        del sys.modules[name]

MELS = {
    "features": {"sample_rate": 24_000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"},
    "backbone": {"input_channels": 100, "dim": 512, "intermediate_dim": 1536, "num_layers": 8},
    "head": {"dim": 512, "n_fft": 1024, "hop_length": 256, "padding": "center"},
}
CODES = {
    "features": {"encodec_model": "encodec_24khz", "bandwidths": [1.5, 3.0, 6.0, 12.0]},
    "backbone": {
        "input_channels": 128, "dim": 384, "intermediate_dim": 1152, "num_layers": 8, "adanorm_num_embeddings": 4,
    },
    "head": {"dim": 384, "n_fft": 1280, "hop_length": 320, "padding": "same"},
}  # fmt: skip
SMALL_MELS = {
    "features": {"sample_rate": 800, "n_fft": 64, "hop_length": 16, "n_mels": 10, "padding": "center"},
    "backbone": {"input_channels": 10, "dim": 16, "intermediate_dim": 24, "num_layers": 2},
    "head": {"dim": 16, "n_fft": 64, "hop_length": 16, "padding": "center"},
}
SMALL_CODES = {  # frames of 8 samples, codebooks of 16
    "features": {"encodec_model": "encodec_24khz", "bandwidths": [0.4, 0.8, 1.6]},
    "backbone": {
        "input_channels": 8, "dim": 16, "intermediate_dim": 24, "num_layers": 2, "adanorm_num_embeddings": 3,
    },
    "head": {"dim": 16, "n_fft": 32, "hop_length": 8, "padding": "same"},
}  # fmt: skip
SMALL_ENCODEC = {
    "sample_rate": 800, "n_fft": 32, "hop_length": 8, "width": 16, "hidden": 24, "n_blocks": 2,
    "condition_codebooks": [1, 2, 4], "latent_dim": 8, "n_filters": 4, "ratios": [4, 2], "n_lstm": 1,
    "codebook_size": 16,
}  # fmt: skip
"""all hyper-parameters: the authors' configuration has no word for another EnCodec"""
LENGTHS = (1003, 640, 33)
"""samples of the golden clips"""


def config_of(parts: dict) -> dict:
    """The config.yaml of such a model."""
    name = "EncodecFeatures" if "encodec_model" in parts["features"] else "MelSpectrogramFeatures"
    return {
        "feature_extractor": {"class_path": f"vocos.feature_extractors.{name}", "init_args": parts["features"]},
        "backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": parts["backbone"]},
        "head": {"class_path": "vocos.heads.ISTFTHead", "init_args": parts["head"]},
    }


def reference(parts: dict, small: dict | None = None):
    """The authors' model with random weights that matter; `small` are our hyper-parameters of another EnCodec."""
    torch.manual_seed(0)
    if "encodec_model" in parts["features"]:
        with mock.patch.object(encodec.EncodecModel, "encodec_model_24khz", return_value=_encodec(small)):
            features = EncodecFeatures(**parts["features"])
        features.codebook_weights.data += (
            0.1 * features.codebook_weights.std() * torch.randn_like(features.codebook_weights)
        )
    else:
        features = MelSpectrogramFeatures(**parts["features"])
    model = authors.Vocos(features, VocosBackbone(**parts["backbone"]), ISTFTHead(**parts["head"])).eval()
    with torch.no_grad():
        for name, tensor in [*model.backbone.named_parameters(), *model.head.named_parameters()]:
            if "norm" in name:
                tensor.copy_(torch.randn_like(tensor) * 0.2 + float(name.endswith(("norm.weight", "scale.weight"))))
            elif name.endswith("gamma"):
                tensor.uniform_(0.2, 0.6)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.2)
            else:
                tensor.normal_(0, tensor[0].numel() ** -0.5)
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
        for module in (*model.modules(),):  # what follows from the hyper-parameters keeps its precision
            if isinstance(getattr(module, "window", None), torch.Tensor):
                module.window.copy_(torch.hann_window(len(module.window)))
            if isinstance(module, _MelScale):
                f = parts["features"]
                module.fb.copy_(_MelScale(f["sample_rate"], f["n_fft"], f["n_mels"]).fb)
    return model


def _encodec(small: dict | None):
    if small is None:
        model = encodec.EncodecModel._get_model(
            [1.5, 3.0, 6.0, 12.0, 24.0], 24_000, 1, causal=True, model_norm="weight_norm"
        )
    else:
        sizes = {
            "dimension": small["latent_dim"],
            "n_filters": small["n_filters"],
            "ratios": small["ratios"],
            "lstm": small["n_lstm"],
            "norm": "weight_norm",
            "causal": True,
        }
        bins, n_q = small["codebook_size"], small["condition_codebooks"][-1] + 1
        quantizer = ResidualVectorQuantizer(dimension=small["latent_dim"], n_q=n_q, bins=bins)
        model = encodec.EncodecModel(
            SEANetEncoder(**sizes), SEANetDecoder(**sizes), quantizer, [0.4, 0.8, 1.6], small["sample_rate"], 1
        )
    # codebooks that fit what there is to code: else all codes would be the same
    model.eval()
    with torch.no_grad():
        for name, tensor in model.encoder.named_parameters():
            if name.endswith("weight_g"):
                tensor.mul_(2.0)
        audio = torch.from_numpy(sound(40 * model.encoder.hop_length, seed=9)[:, 0])[None, None]
        latent = model.encoder(audio)
        mean, std = latent.mean(dim=2), latent.std()
        for q, layer in enumerate(model.quantizer.vq.layers):
            layer._codebook.embed.copy_(torch.randn_like(layer._codebook.embed) * std * 0.7**q)
            if q == 0:
                layer._codebook.embed.add_(mean)
            layer._codebook.embed_avg.copy_(layer._codebook.embed)
            layer._codebook.inited.fill_(1)
    return model


def sound(n_samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples)[:, None]
    tones = sum(
        np.sin(t * w + rng.uniform(0, 6)) * np.sin(t * w / 50 + rng.uniform(0, 6)) for w in rng.uniform(0.005, 0.6, 6)
    )
    return (0.2 * tones + 0.02 * rng.standard_normal((n_samples, 1))).astype(np.float32)


def padded(*lengths: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips of so many samples as a batch, and their lengths."""
    batch = np.zeros((len(lengths), max(lengths), 1), np.float32)
    for clip, n in zip(batch, lengths):
        clip[:n] = sound(n, seed=n)
    return batch, np.array(lengths, np.int32)


def run(model, audio: np.ndarray, bandwidth: int | None = None) -> dict[str, np.ndarray]:
    """Features (F, D) and audio (T, 1) of one clip (T, 1), which is padded with zeros to whole hops; codes (F, Q)."""
    hop = model.head.istft.hop_length
    padded = torch.from_numpy(np.pad(audio[:, 0], (0, -len(audio) % hop)))[None]
    known = {} if bandwidth is None else {"bandwidth_id": torch.tensor([bandwidth])}
    with torch.no_grad():
        found = {}
        features = model.feature_extractor(padded, **({} if bandwidth is None else {"bandwidth_id": bandwidth}))
        if bandwidth is not None:
            found["codes"] = model.feature_extractor.get_encodec_codes(padded)[:, 0].numpy().T.astype(np.int32)
        out = model.decode(features, **known)
    return {**found, "features": features[0].numpy().T, "out": out[0].numpy()[: len(audio), None]}


def ported(model, parts: dict) -> tuple[zoo.Codec, dict, dict]:
    """Codec, parameters and hyper-parameters."""
    hyperparameters = family.hyperparameters(config_of(parts))
    return *small.ported("vocos", hyperparameters, weights_of(model), "original"), hyperparameters


def published(parts: dict) -> tuple:
    """Reference, codec, variables, hyper-parameters and the codec's compiled `apply`."""
    model = reference(parts)
    codec, params, hyperparameters = ported(model, parts)
    return model, codec, {"params": params}, hyperparameters, jax.jit(codec.apply, static_argnames="method")


@pytest.fixture(scope="module")
def mels():
    return published(MELS)


@pytest.fixture(scope="module")
def codes():
    return published(CODES)


@pytest.mark.parametrize("n_samples", [24_000, 30_001, 2560, 700])
def test_mels_and_audio_are_the_references(mels, n_samples):
    model, _, variables, _, apply = mels
    audio = sound(n_samples, seed=n_samples)
    wanted = run(model, audio)
    close(apply(variables, audio[None], method="encode")[0], wanted["features"], 1e-4)
    assert wanted["out"].std() > 0.01
    close(apply(variables, wanted["features"][None], method="decode")[0, :n_samples], wanted["out"], 1e-4)


def test_a_padded_batch_of_mels_is_its_clips(mels):
    model, _, variables, _, apply = mels
    batch, lengths = padded(9_001, 4_100, 6_144)
    together = apply(variables, batch, lengths)
    for clip, latent, out, n in zip(batch, together.latent, together.audio, lengths):
        wanted = run(model, clip[:n])
        close(latent[: len(wanted["features"])], wanted["features"], 1e-4)
        close(out[:n], wanted["out"], 1e-4)


@pytest.mark.parametrize(("n_samples", "bandwidth"), [(24_000, 3), (30_001, 2), (3_200, 1), (5_000, 0)])
def test_codes_and_audio_are_the_references(codes, n_samples, bandwidth):
    model, _, variables, _, apply = codes
    audio = sound(n_samples, seed=n_samples)
    wanted = run(model, audio, bandwidth)
    level = (2, 4, 8, 16)[bandwidth] - 1
    latent = apply(variables, audio[None], method="encode")
    found = np.asarray(apply(variables, latent, level, method="quantise").codes)[0, :, : level + 1]
    assert min(len(np.unique(column)) for column in wanted["codes"].T) > 5
    np.testing.assert_array_equal(found, wanted["codes"])
    features = apply(variables, found[None], level, method="dequantise")
    close(features[0, :, :-4], wanted["features"], 1e-5)
    assert wanted["out"].std() > 0.01
    close(apply(variables, features, method="decode")[0, :n_samples], wanted["out"], 1e-4)


def test_a_padded_batch_of_codes_is_its_clips(codes):
    model, _, variables, _, apply = codes
    batch, lengths = padded(9_001, 4_100, 6_400)
    together = apply(variables, batch, lengths)
    for clip, found, out, n in zip(batch, together.codes, together.audio, lengths):
        wanted = run(model, clip[:n], 3)
        np.testing.assert_array_equal(found[: len(wanted["codes"])], wanted["codes"])
        close(out[:n], wanted["out"], 1e-4)


@pytest.mark.parametrize("which", ["mels", "codes"])
def test_the_reference_loads_what_is_written(which, request):
    model, _, variables, hyperparameters, _ = request.getfixturevalue(which)
    written = from_params(variables["params"], family.key_maps(**hyperparameters)["original"])
    config = family.hub_config(**hyperparameters)
    parts = {name: config[key]["init_args"] for name, key in
             (("features", "feature_extractor"), ("backbone", "backbone"), ("head", "head"))}  # fmt: skip
    again = reference(parts)
    for tensor in (*again.backbone.parameters(), *again.head.parameters()):
        tensor.data.zero_()
    tensors = {name: torch.from_numpy(array.copy()) for name, array in written.items()}
    if which == "codes":  # as its from_pretrained does, what is EnCodec's alone comes from EnCodec
        tensors = {name: tensor for name, tensor in model.state_dict().items() if ".encodec." in name} | tensors
    again.load_state_dict(tensors)
    audio, bandwidth = sound(5_000, seed=1), 1 if which == "codes" else None
    wanted = run(model, audio, bandwidth)
    for name, array in run(again.eval(), audio, bandwidth).items():
        close(array, wanted[name], 1e-5)


def test_encodecs_weights_may_come_from_their_own_file(codes):
    model, _, variables, hyperparameters, _ = codes
    everything = weights_of(model)
    own = "feature_extractor.encodec."
    ours = {name: array for name, array in everything.items() if not name.startswith(own)}
    theirs = {name.removeprefix(own): array for name, array in everything.items() if name.startswith(own)}
    keymap = family.key_maps(**hyperparameters)["with EnCodec of its authors"]
    again = to_params(family.with_encodec(ours, theirs), keymap, variables["params"])
    jax.tree.map(np.testing.assert_array_equal, again, variables["params"])


def write_golden() -> None:
    for name, parts, changes in (("mels", SMALL_MELS, None), ("codes", SMALL_CODES, SMALL_ENCODEC)):
        model = reference(parts, changes)
        constant = ("window", ".fb")
        arrays = {
            f"w:{key}": array if key.endswith(constant) else array.astype(np.float16)
            for key, array in weights_of(model).items()
            if ".encodec.decoder" not in key
        }
        for i, n_samples in enumerate(LENGTHS):
            audio = sound(n_samples + (32 if changes is None else 0), seed=i)  # a mirror image needs half a window
            found = run(model, audio, None if changes is None else 2 - i)
            arrays |= {f"audio_{i}": audio, **{f"{key}_{i}": array for key, array in found.items()}}
        hyperparameters = changes or family.hyperparameters(config_of(parts))
        small.write_golden("vocos", name, hyperparameters, arrays)


if __name__ == "__main__":
    write_golden()
