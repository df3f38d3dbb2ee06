"""NeuCodec and X-Codec2 against transformers at published size; run as a module, it rewrites the golden files."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.agreement import check_padded_batch, check_written
from tests.zoo.published.parity.sounds import swelling
from tests.zoo.published.small import close
from zoo.published import neucodec
from zoo.published.keymap import from_params

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.24")
safetensors = pytest.importorskip("safetensors.numpy")
from transformers.audio_utils import mel_filter_bank, spectrogram  # noqa: E402

SMALL = {
    "neucodec": small.HUB_CONFIGS["neucodec"],
    "xcodec2": small.HUB_CONFIGS["neucodec"] | {"model_type": "xcodec2", "sampling_rate": 16_000},
}
LENGTHS = {"neucodec": (1233, 930, 75), "xcodec2": (823, 620, 45)}
"""samples of the golden clips: odd, of whole frames, and of three"""


def reference(kind, **config):
    """transformers' model with random weights that all matter."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    prefix = {"neucodec": "NeuCodec", "xcodec2": "Xcodec2"}[kind]
    rates = ("input_sampling_rate", "output_sampling_rate")
    config = {key: value for key, value in config.items() if kind == "neucodec" or key not in rates}
    settings = getattr(transformers, f"{prefix}Config")(**config)
    with torch.device("meta"):
        model = getattr(transformers, f"{prefix}Model")(settings)
    # buffers are made anew, and there is no sense in drawing 0.6 G weights twice
    model = model.to_empty(device="cpu").eval()
    with torch.no_grad():
        for module in model.modules():
            model._init_weights(module)
        for name, tensor in model.named_parameters():
            _draw(name, tensor)
            tensor.copy_(tensor.half())
        given = inputs(model, heard(model, swelling(60 * model.config.hop_length, 1)))
        project, found = model.quantizer.project_in, []
        hook = project.register_forward_hook(lambda _, __, out: found.append(out[0]))
        model.encode(**given)
        hook.remove()
        scale = (1.5 / found[0].std(dim=0)).half()  # or few codes would be in use
        project.weight.mul_(scale[:, None]).copy_(project.weight.half())
        project.bias.sub_(found[0].mean(dim=0)).mul_(scale).copy_(project.bias.half())
    return model


def _draw(name, tensor):
    if "norm" in name:
        tensor.normal_(1.0 if name.endswith("weight") else 0.0, 0.3)
    elif name.endswith(("alpha", "beta")):
        tensor.normal_(0, 0.3)
    elif "distance_embedding" in name:
        tensor.normal_(0, 1)
    elif tensor.ndim == 1:
        tensor.normal_(0, 0.1)
    else:
        tensor.normal_(0, tensor[0].numel() ** -0.5)
    if name.endswith(("q_proj.weight", "linear_q.weight")):
        tensor.mul_(2)  # or all would be heard alike
    elif name.startswith("acoustic_decoder.head"):
        tensor.mul_(0.5)


def heard(model, audio: np.ndarray) -> np.ndarray:
    """Samples (T,) at the encoder's rate of (T, 1), with zeros up to whole frames.

    Each is a sum over all samples that the filter's definition has: 64 crossings either side, Kaiser's window.
    """
    config = model.config
    if config.model_type == "xcodec2":
        return audio[:, 0]
    hop, ratio = config.hop_length, config.output_sampling_rate / config.input_sampling_rate
    padded = np.pad(audio[:, 0].astype(np.float64), (0, -len(audio) % hop))
    found = np.zeros(round(len(padded) / ratio))
    for m in range(len(found)):
        n = np.arange(max(0, int(np.ceil((m - 64) * ratio))), min(len(padded), int((m + 64) * ratio) + 1))
        t = m - n / ratio
        window = np.i0(7.857 * np.sqrt(np.clip(1 - (t / 64) ** 2, 0, None))) / np.i0(7.857)
        found[m] = (padded[n] * 0.96 / ratio * np.sinc(0.96 * t) * window).sum()
    return found.astype(np.float32)


def inputs(model, samples: np.ndarray) -> dict[str, torch.Tensor]:
    """What transformers' feature extractors give, which would need torchaudio, for (T,) at the encoder's rate."""
    config, semantic = model.config, model.config.semantic_model_config
    hop = int(np.prod(config.downsampling_ratios))
    padded = np.pad(samples, (0, 1 + -(len(samples) + 1) % hop))
    centred = config.model_type == "xcodec2"
    mels = _mels(np.pad(padded, hop // 2) if centred else padded, hop, semantic.feature_projection_input_dim // 2)
    mels = (mels - mels.mean(0)) / np.sqrt(mels.var(0, ddof=1) + 1e-7)
    stacked = mels.reshape(len(mels) // 2, -1).astype(np.float32)
    return {"input_values": torch.from_numpy(padded)[None, None], "input_features": torch.from_numpy(stacked)[None]}


def _mels(samples: np.ndarray, hop: int, n_mels: int) -> np.ndarray:
    """Kaldi's log mel energies, with the settings of SeamlessM4TFeatureExtractor for frames of two windows."""
    size = 5 * hop // 4
    n_fft = 1 << (size - 1).bit_length()
    filters = mel_filter_bank(
        n_fft // 2 + 1, n_mels, 20, 8000, 16_000, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    window = np.hanning(size) ** 0.85
    settings = {"power": 2.0, "center": False, "preemphasis": 0.97, "log_mel": "log", "mel_floor": 2.0**-23}
    found = spectrogram(
        samples * 2.0**15, window, size, hop // 2, n_fft, mel_filters=filters, remove_dc_offset=True, **settings
    )
    return found.T


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (F, D), bounded, codes (F, 1) and decoded audio of one clip (T, 1)."""
    found = []
    hook = model.quantizer.project_in.register_forward_hook(lambda _, __, out: found.append(out))
    with torch.no_grad():
        codes = model.encode(**inputs(model, heard(model, audio))).audio_codes
        bound = model.quantizer.quantizer.bound
        latent = bound(bound(found[0])) / (model.quantizer.quantizer.levels // 2)
        out = decoded(model, codes[0].numpy().T)
    hook.remove()
    return {"latent": latent[0].numpy(), "codes": codes[0].numpy().T.astype(np.int32), "out": out[: len(audio)]}


def decoded(model, codes: np.ndarray) -> np.ndarray:
    """Audio (T, 1) of codes (F, 1)."""
    with torch.no_grad():
        return model.decode(torch.from_numpy(codes.T.copy())[None].long()).audio_values[0].numpy().T


def loaded(model, folder) -> zoo.ReadyCodec:
    model.save_pretrained(folder, max_shard_size="900MB")
    return zoo.load(folder)


@pytest.fixture(scope="module", params=SMALL)
def both(request, tmp_path_factory):
    """A small model, and ours with its weights."""
    model = reference(request.param, **SMALL[request.param])
    return model, loaded(model, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module", params=SMALL)
def published(request, tmp_path_factory):
    """A model of the published size, whose weights are in several files, and ours with them."""
    model = reference(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    codec = loaded(model, folder)
    pieces = list(folder.glob("*.safetensors"))
    assert len(pieces) > 1
    yield model, codec
    for piece in pieces:  # 2.5 GB
        piece.unlink()


def check(model, codec: zoo.ReadyCodec, n_samples: int) -> None:
    audio = swelling(n_samples, seed=n_samples)
    wanted = run(model, audio)
    latent, codes = codec.encode_latents(audio)[0], codec.encode(audio).codes[0]
    out = codec.decode(wanted["codes"][None], n_samples)[0]
    print(f"{n_samples}: latent {np.abs(latent - wanted['latent']).max():.1e},", end=" ")
    print(f"{len(np.unique(codes))} kinds of {len(codes)} codes, {np.mean(codes != wanted['codes'])} differ,", end=" ")
    print(f"audio {np.abs(out - wanted['out']).max() / np.abs(wanted['out']).max():.1e} of its peak")
    close(latent, wanted["latent"], 5e-4)  # of sixteen layers in float32: up to 1.3e-4 was seen
    np.testing.assert_array_equal(codes, wanted["codes"])
    close(out, wanted["out"])


# the last attends in blocks
@pytest.mark.parametrize("n_samples", [75, 930, 1233, 18_001])
def test_a_small_model_codes_the_same(both, n_samples):
    check(*both, n_samples)


# the second is of whole frames in both
@pytest.mark.parametrize("n_samples", [5, 19_200, 30_001])
def test_the_published_size_codes_the_same(published, n_samples):
    check(*published, n_samples)


@pytest.mark.parametrize("n_frames", [3, 37, 1100])
def test_decoding_alone_is_the_same(both, n_frames):
    model, codec = both
    codes = np.random.default_rng(n_frames).integers(0, 48, (n_frames, 1)).astype(np.int32)
    found = codec.decode(codes[None])[0]
    close(found, decoded(model, codes)[: len(found)], 1e-5)
    assert len(found) == n_frames * codec.module.hop_length - codec.module.tail


@pytest.mark.parametrize("n_frames", [2, 37])
def test_any_of_65536_codes_decode_to_the_same(published, n_frames):
    model, codec = published
    codes = np.random.default_rng(n_frames).integers(0, 1 << 16, (n_frames, 1)).astype(np.int32)
    found = codec.decode(codes[None])[0]
    close(found, decoded(model, codes)[: len(found)])


def test_mel_energies_are_those_of_the_authors_feature_extractor(published):
    model, _ = published
    samples = swelling(16_000, seed=3)[:, 0]
    padded = np.pad(samples, (0, 320))  # a sample, and what a frame lacks
    around = np.pad(padded, 160) if model.config.model_type == "xcodec2" else padded
    wanted = transformers.SeamlessM4TFeatureExtractor()(around, sampling_rate=16_000, return_tensors="np")
    close(inputs(model, samples)["input_features"][0].numpy(), wanted.input_features[0], 1e-5)


def test_a_padded_batch_is_its_clips(both):
    model, codec = both
    apply, run_one = functools.partial(codec.module.apply, codec.variables), functools.partial(run, model)
    check_padded_batch(apply, run_one, lambda n: swelling(n, seed=n), (2000, 901, 1440))


def test_the_reference_loads_what_is_written(both, tmp_path):
    model, codec = both
    h = codec.metadata["model"]
    written = from_params(codec.variables["params"], neucodec.key_maps(**h)["transformers"])
    check_written(model, run, written, neucodec.hub_config(**h), swelling(900, seed=1), tmp_path)


def write_golden(kind: str, folder: str) -> None:
    model = reference(kind, **SMALL[kind])
    model.save_pretrained(folder)
    arrays = {
        f"w:{name}": array.astype(np.float16)
        for name, array in safetensors.load_file(Path(folder) / "model.safetensors").items()
    }
    for i, n_samples in enumerate(LENGTHS[kind]):
        arrays[f"audio_{i}"] = swelling(n_samples, seed=n_samples)
        arrays |= {f"{name}_{i}": array for name, array in run(model, arrays[f"audio_{i}"]).items()}
    small.write_golden("neucodec", kind, SMALL[kind], arrays)


if __name__ == "__main__":
    for name in SMALL:
        with tempfile.TemporaryDirectory() as scratch:
            write_golden(name, scratch)
