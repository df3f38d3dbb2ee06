"""Oobleck against diffusers at published size; run as a module, it rewrites the golden file of the plain tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import weights_of
from tests.zoo.published.small import close
from zoo.published import oobleck
from zoo.published.keymap import from_params
from zoo.published.registry import known

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

SMALL = {
    "encoder_hidden_size": 8,
    "downsampling_ratios": [2, 4],
    "channel_multiples": [1, 2],
    "decoder_channels": 6,
    "decoder_input_channels": 4,
    "audio_channels": 2,
    "sampling_rate": 800,
}
LENGTHS = (1003, 640, 5)
"""samples of the golden clips"""


def reference(**config):
    """diffusers' model with random weights that keep signals at their level, and Snakes that bend them."""
    torch.manual_seed(0)
    model = diffusers.AutoencoderOobleck(**config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("weight_g"):
                # unit variance: a transposed convolution hears two frames at a time, its kernel is in (I, O, K)
                v = dict(model.named_parameters())[name.removesuffix("g") + "v"]
                v.normal_()
                fan = 2 * v.shape[0] if "conv_t1" in name else v[0].numel()
                norm = v.flatten(1).norm(dim=1).reshape(tensor.shape)
                share = 0.3 if "res_unit" in name else 1.0
                tensor.copy_(share * norm / fan**0.5 * torch.empty_like(tensor).uniform_(0.8, 1.2))
            elif name.endswith("bias"):
                tensor.normal_(0, 0.1)
            elif name.endswith(("alpha", "beta")):
                tensor.normal_(0, 0.4)
        for tensor in model.parameters():
            tensor.copy_(tensor.half().float())
    return model


def sound(n_samples: int, channels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples)[:, None]
    tones = sum(np.sin(t * w + rng.uniform(0, 6, channels)) for w in rng.uniform(0.005, 0.5, 5))
    return (0.1 * tones + 0.02 * rng.standard_normal((n_samples, channels))).astype(np.float32)


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Posterior and decoded mean of one clip (T, C), which is padded with zeros to whole hops: (F, D) and (T, C)."""
    padded = np.pad(audio, ((0, -len(audio) % model.hop_length), (0, 0)))
    with torch.no_grad():
        posterior = model.encode(torch.from_numpy(padded.T.copy())[None]).latent_dist
        out = model.decode(posterior.mode()).sample
    return {
        "latent": posterior.mean[0].numpy().T,
        "std": posterior.std[0].numpy().T,
        "out": out[0].numpy().T[: len(audio)],
    }


def ported(model) -> tuple[zoo.Codec, dict]:
    hyperparameters = oobleck.hyperparameters(dict(model.config))
    return small.ported("oobleck", hyperparameters, weights_of(model), "diffusers")


STABLE_AUDIO = "stabilityai/stable-audio-open-1.0"


@pytest.fixture(scope="module", params=[STABLE_AUDIO, "ACE-Step/Ace-Step1.5"])
def published(request):
    config = known(request.param).config
    model = reference(**{key: value for key, value in config.items() if key[0] != "_"})
    codec, params = ported(model)
    return model, codec, params, jax.jit(codec.apply, static_argnames="method")


@pytest.mark.parametrize("n_samples", [44_100, 12_289, 2048])
def test_latents_and_audio_are_the_references(published, n_samples):
    model, _, params, apply = published
    audio = sound(n_samples, 2, seed=n_samples)
    wanted = run(model, audio)
    latent = np.asarray(apply({"params": params}, audio[None], method="encode"))[0]
    close(latent, wanted["latent"], 1e-4)
    out = np.asarray(apply({"params": params}, wanted["latent"][None], method="decode"))[0, :n_samples]
    assert np.abs(wanted["latent"]).std() > 0.1
    close(out, wanted["out"], 1e-4)


def test_a_padded_batch_is_its_clips(published):
    model, codec, params, _ = published
    lengths = np.array([9_001, 4_100, 6_145], np.int32)
    batch = np.zeros((3, 9_001, 2), np.float32)
    for clip, n in zip(batch, lengths):
        clip[:n] = sound(n, 2, seed=n)
    together = jax.jit(codec.apply)({"params": params}, batch, lengths)
    grid = codec.bottleneck
    for clip, latent, codes, n in zip(batch, together.latent, together.codes, lengths):
        wanted = run(model, clip[:n])["latent"]
        frames = len(wanted)
        close(latent[:frames], wanted, 1e-4)
        with torch.no_grad():
            on_grid = np.asarray(grid.apply({}, jnp.asarray(codes[None, :frames]), method="dequantise"))
            out = model.decode(torch.from_numpy(on_grid.swapaxes(1, 2).copy())).sample[0].numpy().T[:n]
        at = list(lengths).index(n)
        close(together.audio[at, :n], out, 1e-4)


@pytest.mark.parametrize("published", [STABLE_AUDIO], indirect=True)
def test_the_reference_loads_what_is_written(published):
    model, _, params, _ = published
    keymap = oobleck.key_maps(**oobleck.hyperparameters(dict(model.config)))["diffusers"]
    written = {name: torch.from_numpy(array) for name, array in from_params(params, keymap).items()}
    again = diffusers.AutoencoderOobleck.from_config(oobleck.hub_config(**oobleck.hyperparameters(dict(model.config))))
    again.load_state_dict(written)
    audio = sound(4096, 2, seed=1)
    for name, array in run(model, audio).items():
        close(run(again.eval(), audio)[name], array, 1e-5)


def write_golden() -> None:
    model = reference(**SMALL)
    arrays = {f"w:{name}": array.astype(np.float16) for name, array in weights_of(model).items()}
    for i, n_samples in enumerate(LENGTHS):
        audio = sound(n_samples, 2, seed=i)
        arrays[f"audio_{i}"] = audio
        arrays |= {f"{name}_{i}": array for name, array in run(model, audio).items()}
    small.write_golden("oobleck", "small", SMALL, arrays)


if __name__ == "__main__":
    write_golden()
