"""Codecs as ONNX graphs: onnxruntime gives what the codec gives, for clips of any length that a graph takes."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.complaint import complaint
from tests.test_contract import SMALL
from tests.zoo.published.small import HUB_CONFIGS
from zoo import families
from zoo.__main__ import main
from zoo.bitstream import entropy
from zoo.console import extras
from zoo.errors import ZooError
from zoo.random_weights import random_variables
from zoo.saved import broadcast_constants, onnx_export

CONVERTS = all(map(importlib.util.find_spec, ("jax2onnx", "onnxruntime")))
converts = pytest.mark.skipif(not CONVERTS, reason='takes the extra "onnx"')
SECONDS, LENGTH, BATCH = 0.1, 800, 2


def ready(family: str, model: dict | None = None, **metadata: object) -> zoo.ReadyCodec:
    model = SMALL[family] if model is None else model
    module = families.create(family, **model)
    coder = entropy.Fitter(module.bottleneck.symbols()).fit()
    about = {"family": family, "model": model, **metadata}
    return zoo.ReadyCodec(module, random_variables(module), coder, about)


def session(path: Path):
    import onnxruntime

    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def noise(length: int, batch: int = BATCH) -> np.ndarray:
    return (0.3 * np.random.default_rng(length).standard_normal((batch, length, 1))).astype(np.float32)


def padded(audio: np.ndarray) -> np.ndarray:
    """With what no graph may look at behind the clips."""
    rest = np.full((len(audio), LENGTH - audio.shape[1], 1), 0.5, np.float32)
    return np.concatenate([audio, rest], axis=1)


@converts
@pytest.mark.parametrize("family", sorted(set(SMALL) - {"denoiser"}))
def test_graphs_code_and_decode_as_the_codec_does(family: str, tmp_path: Path) -> None:
    codec = ready(family, licence="CC0")
    onnx_export.export(codec, tmp_path / "out", seconds=SECONDS, batch_size=BATCH)
    encoder, decoder = (session(tmp_path / "out" / name) for name in ("encoder.onnx", "decoder.onnx"))
    for length in (LENGTH, 517, 1):
        audio, n_samples = noise(length), np.full(BATCH, length, np.int32)
        codes, n_frames = encoder.run(None, {"audio": padded(audio), "n_samples": n_samples})
        wanted = codec.encode(audio)
        assert set(n_frames) == {wanted.codes.shape[1]}
        np.testing.assert_array_equal(codes[:, : n_frames[0]], wanted.codes)
        (decoded,) = decoder.run(None, {"codes": codes, "n_samples": n_samples})
        np.testing.assert_allclose(decoded[:, :length], codec.decode(wanted), atol=2e-5)
        assert not np.any(decoded[:, length:])
    about = encoder.get_modelmeta().custom_metadata_map
    assert about["digest"] == codec.digest.hex()
    assert [about[key] for key in ("family", "licence", "sample_rate", "level")] == [
        family,
        "CC0",
        "8000",
        str(codec.default_level),
    ]


@converts
@pytest.mark.parametrize("family", ["mimi", "snac", "vocos"])
def test_published_models_are_converted(family: str, tmp_path: Path) -> None:
    """Those with what converters do not know: a transformer's cache, random numbers, and writing at an index."""
    model = families.module_of(family).hyperparameters(HUB_CONFIGS[family])
    written = onnx_export.export(ready(family, model), tmp_path / "out", seconds=SECONDS)
    assert [graph.file for graph in written] == ["encoder.onnx", "decoder.onnx"]
    assert written[1].difference < 2e-4


@converts
def test_a_level_is_that_of_the_codes(tmp_path: Path) -> None:
    codec = ready("gan_vocoder")
    (encoder, decoder) = onnx_export.export(codec, tmp_path / "out", seconds=SECONDS, level=0)
    assert encoder.outputs["codes"][2] == decoder.inputs["codes"][2] == 1
    audio = noise(LENGTH, 1)
    given = {"audio": audio, "n_samples": np.array([LENGTH], np.int32)}
    codes = session(tmp_path / "out" / "encoder.onnx").run(["codes"], given)[0]
    np.testing.assert_array_equal(codes, codec.encode(audio, level=0).codes)


@converts
def test_a_denoiser_is_one_graph(tmp_path: Path) -> None:
    codec = ready("denoiser", task="denoise")
    (written,) = onnx_export.export(codec, tmp_path / "out", seconds=SECONDS)
    assert str(written).startswith("denoiser.onnx: audio (1, 800, 1), n_samples (1) → restored (1, 800, 1)")
    audio = noise(333, 1)
    given = {"audio": padded(audio), "n_samples": np.array([333], np.int32)}
    (restored,) = session(tmp_path / "out" / "denoiser.onnx").run(None, given)
    wanted = codec.decode_latents(codec.encode_latents(audio), 333)
    np.testing.assert_allclose(restored[:, :333], wanted, atol=2e-5)


@converts
def test_a_model_without_its_encoder_is_a_decoder_of_latents(tmp_path: Path) -> None:
    model = {"latent_dim": 6, "width": 8, "rates": (4, 2), "kernel_sizes": (3,), "dilations": ((1, 2),)}
    codec = ready("hifigan", model)
    (written,) = onnx_export.export(codec, tmp_path / "out", seconds=SECONDS)
    ((latents, shape), *_) = written.inputs.items()
    assert (latents, shape[2]) == ("latents", 6)
    given = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    length = written.outputs["audio"][1]
    (audio,) = session(tmp_path / "out" / "decoder.onnx").run(
        None, {"latents": given, "n_samples": np.array([length], np.int32)}
    )
    np.testing.assert_allclose(audio, codec.decode_latents(given, length), atol=2e-5)


class Stub:
    """In the place of the converter and the runtime: what they are asked for, and what they answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, error: Exception | None = None, off: float = 0.0) -> None:
        self.example: tuple = ()
        monkeypatch.setattr(extras, "require", lambda extra: None)
        monkeypatch.setattr(broadcast_constants, "shrink", lambda model: None)

        def to_onnx(function, shapes, **options):
            if error:
                raise error
            self.function = function
            return types.SimpleNamespace(
                metadata_props=types.SimpleNamespace(add=lambda **_: None), SerializeToString=lambda: b"graph"
            )

        def run(names, given):
            first, *rest = map(np.asarray, self.function(*given.values()))
            return [first + np.asarray(off, first.dtype), *rest]

        runtime = types.SimpleNamespace(
            InferenceSession=lambda *_, **__: types.SimpleNamespace(run=run), SessionOptions=types.SimpleNamespace
        )
        monkeypatch.setitem(sys.modules, "jax2onnx", types.SimpleNamespace(to_onnx=to_onnx))
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)


def test_a_folder_of_graphs_is_replaced_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Stub(monkeypatch)
    codec, out = ready("autoencoder"), tmp_path / "out"
    onnx_export.export(codec, out, seconds=SECONDS)
    assert sorted(path.name for path in out.iterdir()) == ["decoder.onnx", "encoder.onnx"]
    with pytest.raises(ZooError, match=r"out exists: .* --force"):
        onnx_export.export(codec, out, seconds=SECONDS)
    onnx_export.export(codec, out, seconds=SECONDS, force=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ZooError, match="out holds more than ONNX graphs"):
        onnx_export.export(codec, out, seconds=SECONDS, force=True)
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        (
            {"error": NotImplementedError("no operator for that\nand more")},
            r"cannot be converted \(no operator for that\)",
        ),
        ({"error": AssertionError()}, r"cannot be converted \(AssertionError\)"),
        ({"off": 1}, "onnxruntime computes something else of it than this codec"),
    ],
)
def test_graphs_that_are_not_the_codec_are_not_written(stub, said, tmp_path: Path, monkeypatch) -> None:
    Stub(monkeypatch, **stub)
    with pytest.raises(ZooError, match=said):
        onnx_export.export(ready("autoencoder"), tmp_path / "out", seconds=SECONDS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seconds": 0.0}, "seconds must be above 0 and at most 120, got 0"),
        ({"seconds": float("nan")}, "got nan"),
        ({"seconds": 1e9}, "got 1e\\+09"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"level": 7}, "level"),
    ],
)
def test_what_cannot_be_is_refused(options, said, tmp_path: Path, monkeypatch) -> None:
    Stub(monkeypatch)
    with pytest.raises(ZooError, match=said):
        onnx_export.export(ready("autoencoder"), tmp_path / "out", **{"seconds": SECONDS, **options})
    with pytest.raises(ZooError, match="has no codes, it is a denoiser"):
        onnx_export.export(ready("denoiser", task="denoise"), tmp_path / "out", seconds=SECONDS, level=0)


def test_the_command_names_the_extra_that_is_missing(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = complaint(capfd, main, ["export-onnx", "codec_24khz", "out"])
    assert "jax2onnx, onnxruntime are missing: pip install -e '.[onnx]'" in said
    assert not (tmp_path / "out").exists()
