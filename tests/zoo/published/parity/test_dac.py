"""DAC against transformers at published size; run as a module, it rewrites the golden files of the plain tests."""

import jax
import numpy as np
import pytest

from tests.zoo.published import small
from tests.zoo.published.parity.sounds import swelling, weights_of
from zoo.published import dac
from zoo.published.keymap import from_params, to_params
from zoo.published.registry import known

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SHARED = {
    "sampling_rate": 8000, "encoder_hidden_size": 8, "decoder_hidden_size": 32, "codebook_size": 64, "codebook_dim": 4,
    "hidden_size": 32,
}  # fmt: skip
SMALL = {
    # strides as at 44.1 kHz, even ones
    "music": SHARED | {"downsampling_ratios": [2, 4], "upsampling_ratios": [4, 2], "n_codebooks": 3},
    # odd ones, as at 16 and 24 kHz, after which the decoder hears a clip that is shorter
    "speech": SHARED | {"downsampling_ratios": [3, 5], "upsampling_ratios": [5, 3], "n_codebooks": 4},
}
LENGTHS = (1003, 640, 7)
"""samples of the golden clips"""


def reference(**config):
    """transformers' model with random weights that keep signals at their level, so that codes vary."""
    torch.manual_seed(0)
    settings = transformers.DacConfig(**config)
    settings.hidden_size = config["hidden_size"]  # which it counts itself, and the model of 16 kbps has another
    model = transformers.DacModel(settings).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("alpha"):
                tensor.uniform_(0.3, 3.0)
            elif name.endswith("codebook.weight"):
                tensor.normal_(0, 0.3)
            elif tensor.ndim == 3:
                transposed = "conv_t" in name
                fan = 2 * tensor.shape[0] if transposed else tensor[0].numel()
                tensor.normal_(0, (0.5 if "res_unit" in name else 1.0) * fan**-0.5)
            else:
                tensor.normal_(0, 0.05)
        residual = model.encoder(torch.from_numpy(swelling(40 * model.config.hop_length, 9).T[None]))
        for stage in model.quantizer.quantizers:
            # what all frames have in common would choose the same code for all
            stage.in_proj.bias -= stage.in_proj(residual).mean(dim=(0, 2))
            residual = residual - stage(residual)[0]
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
    return model


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Codes (F, Q) and decoded audio of one clip (T, 1), padded with zeros to whole hops; the end may be missing."""
    padded = np.pad(audio, ((0, -len(audio) % model.config.hop_length), (0, 0)))
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(padded.T.copy())[None]).audio_codes
        out = model.decode(audio_codes=codes).audio_values
    return {"codes": codes[0].numpy().T, "out": out[0].numpy()[: len(audio), None]}


def write_golden() -> None:
    for name, config in SMALL.items():
        model = reference(**config)
        arrays = {f"w:{key}": array.astype(np.float16) for key, array in weights_of(model).items()}
        for i, n in enumerate(LENGTHS):
            audio = swelling(n, i)
            found = run(model, audio)
            arrays |= {f"audio_{i}": audio, f"codes_{i}": found["codes"].astype(np.int32), f"out_{i}": found["out"]}
        small.write_golden("dac", name, config, arrays)


@pytest.mark.parametrize(
    "name", ["descript/dac_44khz", "descript/dac_44khz_16kbps", "descript/dac_24khz", "descript/dac_16khz"]
)
def test_published_sizes(name):
    config = known(name).config
    model = reference(**{key: value for key, value in config.items() if key != "model_type"})
    module, params = small.ported("dac", dac.hyperparameters(config), weights_of(model), "transformers")
    encode = jax.jit(lambda v, x, n: module.apply(v, x, n))
    variables = {"params": params}
    longest = config["sampling_rate"] // 2
    lengths = np.array([longest, longest - 4_321, 999], np.int32)
    batch = np.zeros((3, longest, 1), np.float32)
    for i, n in enumerate(lengths):
        batch[i, :n] = swelling(int(n), i)
    output = encode(variables, batch, lengths)
    for i, n in enumerate(lengths):
        wanted = run(model, batch[i, :n])
        codes = np.asarray(output.codes[i, : module.n_frames(int(n))])
        assert len(np.unique(wanted["codes"])) > min(20, wanted["codes"].size / 2)
        np.testing.assert_array_equal(codes, wanted["codes"])
        audio = np.asarray(output.audio[i, :n])
        heard = len(wanted["out"])
        error = np.abs(audio[:heard] - wanted["out"]).max() / np.abs(wanted["out"]).max()
        print(f"{name}, {n} samples: codes equal, audio {error:.1e} of the peak")
        assert error < 1e-4
        assert not audio[heard:].any()  # what the reference leaves out at the end is silent


def test_the_authors_layout_has_the_same_weights():
    config = SMALL["speech"]
    hyperparameters = dac.hyperparameters(config)
    _, params = small.ported("dac", hyperparameters, weights_of(reference(**config)), "transformers")
    maps = dac.key_maps(**hyperparameters)
    written = from_params(params, maps["original"])
    assert {"encoder.block.1.block.0.block.1.weight_g", "decoder.model.1.block.1.weight_v"} <= written.keys()
    again = to_params(written, maps["original"], params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), again, params)


if __name__ == "__main__":
    write_golden()
