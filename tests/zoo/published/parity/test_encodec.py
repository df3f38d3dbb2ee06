"""EnCodec against transformers, and its authors' layout, at published size; as a module, it rewrites golden files."""

import functools
import json
import sys
import types

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import jumping, weights_of
from zoo.published import encodec, registry
from zoo.published.keymap import from_params

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PUBLISHED = ("facebook/encodec_24khz", "facebook/encodec_32khz", "facebook/encodec_48khz")
SHARED = {"num_filters": 6, "hidden_size": 12, "codebook_size": 32, "upsampling_ratios": [5, 4]}
SMALL = {
    "causal": SHARED | {"sampling_rate": 140, "target_bandwidths": [0.035, 0.07, 0.14]},
    "music": SHARED | {
        "sampling_rate": 60, "target_bandwidths": [0.015, 0.03, 0.06], "num_residual_layers": 2, "num_lstm_layers": 1,
        "use_causal_conv": False, "use_conv_shortcut": False,
    },
    "stereo": SHARED | {
        "sampling_rate": 200, "target_bandwidths": [0.05, 0.1, 0.2], "use_causal_conv": False, "audio_channels": 2,
        "norm_type": "time_group_norm", "normalize": True, "chunk_length_s": 1.0, "overlap": 0.1,
    },
}  # fmt: skip
"""a second is seven frames, three frames and a segment of ten steps: the shortest chunks are those that files have"""
LENGTHS = (1203, 361, 180, 7)
"""samples of the golden clips: many chunks, an odd number of frames, whole ones, less than one"""


def reference(config: dict):
    """transformers' model with random weights that keep signals at their level, and codebooks of the latents' size."""
    torch.manual_seed(0)
    model = transformers.EncodecModel(transformers.EncodecConfig(**config)).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "norm" in name:
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif "original1" in name or "conv.weight" in name:
                # a transposed convolution hears two frames at a time, its kernel is in (I, O, K)
                up = _is_transposed(model, name)
                fan = 2 * tensor.shape[0] if up else tensor[0].numel()
                tensor.normal_(0, fan**-0.5)
            elif "bias" in name:
                tensor.normal_(0, 0.05)
        for name, tensor in model.named_parameters():
            if "original0" in name:
                direction = model.get_parameter(name.removesuffix("0") + "1")
                tensor.copy_(direction.flatten(1).norm(dim=1).reshape(tensor.shape))
            tensor.copy_(tensor.half().float())
        fill_codebooks(model)
    return model


def fill_codebooks(model) -> None:
    """Entries near what the codebooks before them leave of latents: many are in use, and rates have their effect."""
    channels, hop = model.config.audio_channels, model.config.hop_length
    n_samples = model.config.chunk_length or 100 * hop
    with torch.no_grad():
        audio = np.stack([jumping(n_samples, channels, seed) for seed in (7, 8, 9)])
        left = model.encoder(to_torch(audio)).transpose(1, 2).flatten(0, 1)
        for layer in model.quantizer.layers:
            book = layer.codebook.embed
            chosen = left[torch.randint(len(left), (len(book),))]
            book.copy_((chosen + 0.5 * left.std(0) * torch.randn_like(chosen)).half().float())
            left = left - layer.codebook.decode(layer.codebook.encode(left))


def _is_transposed(model, name: str) -> bool:
    module = name.split(".conv.")[0]
    return type(model.get_submodule(module)).__name__ == "EncodecConvTranspose1d"


def to_torch(audio: np.ndarray):
    return torch.from_numpy(audio.swapaxes(1, 2).copy())


def padded(model, audio: np.ndarray, *, segments: bool = False) -> np.ndarray:
    """Clips with zeros after them as the published processor has it, or what of them comes to the network."""
    config = model.config
    hop = config.chunk_stride or config.hop_length
    n_frames = -(-audio.shape[1] // hop)
    length = config.chunk_length or hop
    audio = np.pad(audio, ((0, 0), (0, (n_frames - 1) * hop + length - audio.shape[1]), (0, 0)))
    if not (segments and config.chunk_length):
        return audio
    parts = np.concatenate([[clip[i * hop : i * hop + length] for i in range(n_frames)] for clip in audio])
    scale = np.sqrt(np.square(parts.mean(axis=2, keepdims=True)).mean(axis=1, keepdims=True)) + 1e-8
    return (parts / scale).astype(np.float32)


def run(model, audio: np.ndarray, n_codebooks: int | None = None) -> dict[str, np.ndarray]:
    """Codes (B, F, Q) as we lay them out, scales (B, F, 1), and decoded audio, of clips (B, T, C) padded to frames."""
    config = model.config
    batch, n_samples, _ = audio.shape
    n_frames = -(-n_samples // (config.chunk_stride or config.hop_length))
    with torch.no_grad():
        given = model.encode(to_torch(padded(model, audio)), bandwidth=config.target_bandwidths[-1])
        # with segments, the reference codes the silence after the last one too
        codes, scales = given.audio_codes, given.audio_scales
        if config.chunk_length:
            codes, scales = codes[:n_frames], scales[:n_frames]
        used = codes if n_codebooks is None else codes[:, :, :n_codebooks]
        out = model.decode(used, scales)[0]
    found = {"out": out.numpy().swapaxes(1, 2)[:, :n_samples]}
    if config.chunk_length:
        found["codes"] = codes.numpy().transpose(1, 0, 2, 3).reshape(batch, n_frames, -1)
        found["scales"] = np.stack([scale.numpy() for scale in scales], axis=1)
    else:
        found["codes"] = codes.numpy()[0].transpose(0, 2, 1)
    return found | {"codes": found["codes"].astype(np.int32)}


def ported(weights: dict[str, np.ndarray], config: dict, layout: str = "transformers") -> tuple[zoo.Codec, dict]:
    codec, params = small.ported("encodec", encodec.hyperparameters(config), weights, layout)
    return codec, {"params": params}


def compiled(codec: zoo.Codec, variables: dict):
    @jax.jit
    def encode(variables, audio):
        return codec.apply(variables, codec.apply(variables, audio, method="encode"), method="quantise").codes

    decode = jax.jit(functools.partial(codec.apply, method="decode_codes"))
    return functools.partial(encode, variables), functools.partial(decode, variables)


def same_codes(model, audio: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> None:
    """Asserts that codes (N, Q) of all steps of clips are equal, but for ties.

    Of ten thousand codes one has two entries equally near to seven digits; then rounding decides, and all that follow
    in the step are of another remainder. The reference's own distances must say so.
    """
    different = np.flatnonzero((found != wanted).any(axis=1))
    if not len(different):
        return
    assert len(different) <= max(1, len(wanted) // 200)
    with torch.no_grad():
        latent = model.encoder(to_torch(audio)).transpose(1, 2).flatten(0, 1).numpy()
    books = [layer.codebook.embed.numpy() for layer in model.quantizer.layers]
    for step in different:
        q = int(np.argmax(found[step] != wanted[step]))
        left = latent[step].astype(np.float64) - sum(books[i][wanted[step, i]] for i in range(q))
        theirs, ours = (np.square(left - books[q][codes[step, q]]).sum() for codes in (wanted, found))
        assert abs(ours - theirs) < 1e-5 * (np.square(left).sum() + np.square(books[q][wanted[step, q]]).sum())


@pytest.mark.parametrize("name", PUBLISHED)
def test_codes_and_audio_are_the_references(name):
    config = registry.known(name).config
    model = reference(config)
    codec, variables = ported(weights_of(model), config)
    encode, decode = compiled(codec, variables)
    symbols = codec.bottleneck.symbols()
    steps = symbols.subframes
    beside = symbols.n_always * steps
    for n_samples, batch in ((config["sampling_rate"] + 12_347, 3), (config["sampling_rate"] // 2, 1), (123, 1)):
        audio = np.stack([jumping(n_samples, codec.channels, seed) for seed in range(batch)])
        wanted = run(model, audio)
        codes = np.array(encode(audio))
        by_step = [
            x.reshape(-1, symbols.n_levels, steps).swapaxes(1, 2) for x in (codes[..., beside:], wanted["codes"])
        ]
        heard = padded(model, audio, segments=True)
        same_codes(model, heard, *(x.reshape(-1, symbols.n_levels) for x in by_step))
        if batch > 1:
            assert min(len(np.unique(by_step[1][..., q])) for q in range(symbols.n_levels)) > 30
            np.testing.assert_array_equal(encode(audio[:1])[0], codes[0])
        codes[..., beside:] = wanted["codes"]
        for n_codebooks in (symbols.n_levels, 2):
            out = wanted["out"] if n_codebooks > 2 else run(model, audio, n_codebooks)["out"]
            found = decode(codes[..., : beside + n_codebooks * steps])[:, :n_samples]
            np.testing.assert_allclose(found, out, rtol=0, atol=1e-4 * np.abs(out).max())


@pytest.mark.parametrize("name", SMALL)
def test_the_reference_loads_what_is_written(name, tmp_path):
    from safetensors.numpy import save_file

    model = reference(SMALL[name])
    _, variables = ported(weights_of(model), SMALL[name])
    hyperparameters = encodec.hyperparameters(SMALL[name])
    weights = from_params(variables["params"], encodec.key_maps(**hyperparameters)["transformers"])
    assert set(weights) == set(model.state_dict())
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(encodec.hub_config(**hyperparameters)))
    again = transformers.EncodecModel.from_pretrained(tmp_path).eval()
    audio = jumping(1203, model.config.audio_channels, 1)[None]
    before, after = run(model, audio), run(again, audio)
    np.testing.assert_array_equal(after["codes"], before["codes"])
    np.testing.assert_allclose(after["out"], before["out"], rtol=0, atol=1e-5 * np.abs(before["out"]).max())


def authors_model(name: str):
    """The authors' own model; their package imports torchaudio for reading files, which is not needed here."""
    for module in ("torchaudio", "torchaudio.transforms", "torchaudio.functional"):
        sys.modules.setdefault(module, types.ModuleType(module))
    package = pytest.importorskip("encodec")
    build = getattr(package.EncodecModel, f"encodec_model_{name}")
    torch.manual_seed(0)
    model = build(pretrained=False).eval()
    with torch.no_grad():
        for layer in model.quantizer.vq.layers:
            layer._codebook.embed.normal_(0, 0.3)
            layer._codebook.inited.fill_(1)
    model.set_target_bandwidth(6.0)
    return model


@pytest.mark.parametrize("name", ["24khz", "48khz"])
def test_the_authors_checkpoints_fit(name):
    model = authors_model(name)
    config = registry.known(f"facebook/encodec_{name}").config
    codec, variables = ported(weights_of(model), config, "original")
    encode, decode = compiled(codec, variables)
    n_samples = 2 * codec.hop_length + 480 if name == "48khz" else 48 * codec.hop_length
    audio = jumping(n_samples, codec.channels, 0)[None]
    with torch.no_grad():
        frames = model.encode(to_torch(audio))
        out = model.decode(frames).numpy().swapaxes(1, 2)
    codes = np.asarray(encode(audio))
    if name == "48khz":
        # what is left after two segments are the 480 samples that the second has too
        codes, frames = codes[:, :2], frames[:2]
        wanted = np.stack([frame[0].numpy().reshape(1, -1) for frame in frames], axis=1)
        np.testing.assert_array_equal(codes[..., 150 : 150 + wanted.shape[-1]], wanted)
        n_samples = 2 * codec.hop_length
        codes = codes[..., : 150 + wanted.shape[-1]]
    else:
        wanted = frames[0][0].numpy().transpose(0, 2, 1)
        codes = codes[..., : wanted.shape[-1]]
        np.testing.assert_array_equal(codes, wanted)
    peak = np.abs(out).max()
    np.testing.assert_allclose(decode(codes)[:, :n_samples], out[:, :n_samples], rtol=0, atol=1e-4 * peak)


def write_golden() -> None:
    for name, config in SMALL.items():
        model = reference(config)
        weights = weights_of(model)
        arrays = {f"w:{key}": array.astype(np.float16) for key, array in weights.items()}
        assert all((array.astype(np.float16) == array).all() for array in weights.values())
        for i, n_samples in enumerate(LENGTHS):
            audio = jumping(n_samples, model.config.audio_channels, seed=i)
            arrays |= {f"audio_{i}": audio} | {f"{key}_{i}": value[0] for key, value in run(model, audio[None]).items()}
        arrays["out_of_2"] = run(model, arrays["audio_0"][None], n_codebooks=2)["out"][0]
        small.write_golden("encodec", name, config, arrays)
        codes = arrays["codes_0"].reshape(-1, len(model.quantizer.layers), 10 if model.config.chunk_length else 1)
        print([len(np.unique(codes[:, q])) for q in range(codes.shape[1])])
        print(np.abs(arrays["out_0"]).max(), arrays["out_0"].std())


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_golden()
