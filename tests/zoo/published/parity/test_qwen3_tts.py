"""The tokeniser of Qwen3-TTS against its authors' at published size; run as a module, it rewrites the golden file.

Their package pins transformers, so that it needs an environment of its own:

    pip install -e '.[test]' torch transformers==4.57.3 && pip install --no-deps qwen-tts==0.1.1
"""

import functools
import importlib.util
import sys
import tempfile
import types
from pathlib import Path

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.agreement import check_padded_batch, check_written
from tests.zoo.published.parity.sounds import swelling
from tests.zoo.published.small import HUB_CONFIGS, close
from zoo.published import qwen3_tts
from zoo.published.keymap import from_params
from zoo.published.registry import known

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.numpy")
if importlib.util.find_spec("qwen_tts") is None or not transformers.__version__.startswith("4.57"):
    pytest.skip("qwen-tts and the transformers that it pins are not installed", allow_module_level=True)

SMALL = HUB_CONFIGS["qwen3_tts"]
LENGTHS = (403, 360, 5)
"""samples of the golden clips"""


def _authors():
    """Their modules, without what the package itself imports for microphones and web pages.

    The encoder's attention is given its window: that version of transformers forgets it, but for FlashAttention.
    """
    from transformers import masking_utils
    from transformers.models.mimi import modeling_mimi

    modeling_mimi.create_causal_mask = masking_utils.create_sliding_window_causal_mask
    root = Path(importlib.util.find_spec("qwen_tts").submodule_search_locations[0])
    for name, folder in (("qwen_tts", root), ("qwen_tts.core", root / "core")):
        module = sys.modules.setdefault(name, types.ModuleType(name))
        module.__path__ = [str(folder)]
    return importlib.import_module("qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2")


def reference(config):
    """Their model with random weights that keep signals at their level, and codebooks that fit its latents."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    authors = _authors()
    model = authors.Qwen3TTSTokenizerV2Model(authors.Qwen3TTSTokenizerV2Config(**config)).eval()
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.ConvTranspose1d):
                fan = module.weight.shape[0] * module.weight.shape[2] // module.stride[0]
                module.weight.normal_(0, fan**-0.5)
            elif isinstance(module, torch.nn.Conv1d):
                share = 0.3 if name.endswith("conv2.conv") else 1.0
                module.weight.normal_(0, share * module.weight[0].numel() ** -0.5)
            elif isinstance(module, torch.nn.Linear):
                # or all would be heard alike
                sharp = 1.5 if name.endswith(("q_proj", "k_proj")) else 1.0
                module.weight.normal_(0, sharp * module.weight.shape[1] ** -0.5)
        for name, tensor in model.named_parameters():
            if "norm" in name:
                tensor.add_(0.3 * torch.randn_like(tensor))
            elif name.endswith(("layer_scale.scale", "gamma")):
                tensor.uniform_(0.2, 0.6)  # or nobody would hear what is scaled
            elif name.endswith(("alpha", "beta")):
                tensor.normal_(0, 0.3)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.1)
        _fill(model)
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
        codes = torch.randint(0, config["decoder_config"]["codebook_size"], (1, model.encoder_valid_num_quantizers, 30))
        head = model.decoder.decoder[-1].conv
        head.weight.mul_(0.25 / model.decoder(codes).std())
        head.weight.copy_(head.weight.half().float())
        for module in model.modules():
            if hasattr(module, "_embed"):
                module._embed = None
    return model


def _fill(model) -> None:
    """Makes the encoder's codebooks such that its latents use them, and the decoder's others."""
    encoder = model.encoder
    hop = model.encode_downsample_rate
    latents = _latents(encoder, torch.from_numpy(swelling(40 * hop, 1).T[None]))
    quantizer = encoder.quantizer
    for half in (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer):
        residual = half.input_proj(latents)[0].T
        for layer in half.layers:
            book = layer.codebook
            spread = 0.4 * residual.std(dim=0, keepdim=True)
            entries = 0.4 * residual.mean(dim=0, keepdim=True) + spread * torch.randn_like(book.embed_sum)
            book.cluster_usage.uniform_(0.5, 3.0)
            book.cluster_usage[0] = 0.0  # an entry that nobody chose
            book.embed_sum.copy_(entries * book.cluster_usage.clamp(min=1e-5)[:, None])
            residual = residual - book.embed[book.quantize(residual)]
    for half in (model.decoder.quantizer.rvq_first, model.decoder.quantizer.rvq_rest):
        for layer in half.vq.layers:
            book = layer._codebook
            book.cluster_usage.uniform_(0.5, 3.0)
            book.embedding_sum.normal_(0, 0.5)


def _latents(encoder, audio):
    heard = encoder.encoder(audio)
    heard = encoder.encoder_transformer(heard.transpose(1, 2))[0].transpose(1, 2)
    return encoder.downsample(heard)


def weights_of(model, folder) -> dict[str, np.ndarray]:
    """As they are published."""
    model.save_pretrained(folder)
    return safetensors.load_file(Path(folder) / "model.safetensors")


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (F, D), codes (F, Q) and decoded audio of one clip (T, 1), padded with zeros to whole frames."""
    hop = model.encode_downsample_rate
    padded = np.pad(audio, ((0, -len(audio) % hop), (0, 0)))
    heard = torch.from_numpy(padded.T.copy())
    with torch.no_grad():
        latent = _latents(model.encoder, heard[None])
        codes = model.encode(heard, torch.ones_like(heard, dtype=torch.long)).audio_codes[0]
        out = model.decode(codes[None]).audio_values[0]
    return {"latent": latent[0].numpy().T, "codes": codes.numpy(), "out": out.numpy()[: len(audio), None]}


def ported(model, config, folder) -> tuple[zoo.Codec, dict]:
    hyperparameters = qwen3_tts.hyperparameters(config)
    return small.ported("qwen3_tts", hyperparameters, weights_of(model, folder), "original")


CONFIG = known("Qwen/Qwen3-TTS-Tokenizer-12Hz").config


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    model = reference(CONFIG)
    codec, params = ported(model, CONFIG, tmp_path_factory.mktemp("qwen"))
    return model, codec, params, jax.jit(codec.apply, static_argnames="method")


# the longest is longer than both windows of attention
@pytest.mark.parametrize("n_samples", [24_000, 30_001, 300, 290_123])
def test_codes_and_audio_are_the_references(published, n_samples):
    model, _, params, apply = published
    audio = swelling(n_samples, seed=n_samples)
    wanted = run(model, audio)
    if len(wanted["codes"]) > 5:
        assert min(len(np.unique(wanted["codes"][:, q])) for q in (0, 15)) > 3
    latent = np.asarray(apply({"params": params}, audio[None], method="encode"))
    codes = np.asarray(apply({"params": params}, latent, method="quantise").codes[0])
    out = np.asarray(apply({"params": params}, wanted["codes"][None], method="decode_codes"))[0, :n_samples]
    error = np.abs(latent[0] - wanted["latent"]).max() / np.abs(wanted["latent"]).max()
    print(f"{n_samples}: latent {error:.1e}, codes that differ {np.mean(codes != wanted['codes'])}")
    print(f"audio {np.abs(out - wanted['out']).max() / np.abs(wanted['out']).max():.1e} of its peak")
    close(latent[0], wanted["latent"])
    np.testing.assert_array_equal(codes, wanted["codes"])
    close(out, wanted["out"])


def test_a_padded_batch_is_its_clips(published):
    model, codec, params, _ = published
    apply, run_one = functools.partial(codec.apply, {"params": params}), functools.partial(run, model)
    check_padded_batch(apply, run_one, lambda n: swelling(n, seed=n), (20_000, 9_001, 14_337))


def test_the_reference_loads_what_is_written(published, tmp_path):
    model, _, params, _ = published
    h = qwen3_tts.hyperparameters(CONFIG)
    written = from_params(params, qwen3_tts.key_maps(**h)["original"])
    check_written(model, run, written, qwen3_tts.hub_config(**h), swelling(9_600, seed=1), tmp_path)


def write_golden(folder: str) -> None:
    model = reference(SMALL)
    arrays = {f"w:{name}": array.astype(np.float16) for name, array in weights_of(model, folder).items()}
    for i, n_samples in enumerate(LENGTHS):
        arrays[f"audio_{i}"] = swelling(n_samples, seed=n_samples)
        arrays |= {f"{name}_{i}": array for name, array in run(model, arrays[f"audio_{i}"]).items()}
    small.write_golden("qwen3_tts", "small", SMALL, arrays)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        write_golden(scratch)
