"""A codec as ONNX graphs, which run without Python or JAX: in browsers, on phones, in servers of other languages.

Shapes in a graph are fixed. A shorter clip is padded to them and its true length is an input, so that what comes out is
what the codec itself gives for the clip.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zoo import given
from zoo.arguments import as_path
from zoo.audio.output import check_whole_folder
from zoo.console import extras
from zoo.errors import ZooError
from zoo.published.parts.halves import NoDecoder, NoEncoder
from zoo.ready import ReadyCodec
from zoo.saved import broadcast_constants, whole
from zoo.saved.convertible import convertible

ENCODER, DECODER, DENOISER = "encoder.onnx", "decoder.onnx", "denoiser.onnx"
MAX_S = 120.0
"""of audio in a graph: what it computes is all in memory at once"""
OPSET = 23
"""the version of ONNX's operators"""
_CLOSE = 1e-3
"""of the peak, by which audio and latents of a graph may differ from the codec's"""
_EQUAL = 0.98
"""of codes that must be the codec's: those at a tie follow the last bit of a sum, and with residual quantisation so do
the ones after them"""


@dataclass(frozen=True)
class Graph:
    """What one file computes."""

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Callable[..., tuple[jax.Array, ...]]
    example: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Written:
    """A graph as it was written, run once beside the codec."""

    file: str
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    difference: float
    """largest one from the codec's audio or latents, relative to their peak; of codes the share that differs"""

    def __str__(self) -> str:
        def shapes(of: dict[str, tuple[int, ...]]) -> str:
            return ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in of.items())

        return f"{self.file}: {shapes(self.inputs)} → {shapes(self.outputs)}"


def export(
    codec: ReadyCodec,
    folder: str | Path,
    *,
    seconds: float = 10.0,
    level: int | None = None,
    batch_size: int = 1,
    force: bool = False,
) -> list[Written]:
    """Writes encoder.onnx and decoder.onnx of a codec, or denoiser.onnx of a denoiser, to a folder; tells what they do.

    The encoder takes audio float32 (batch_size, T, channels) of `seconds` at the codec's rate, and n_samples int32
    (batch_size,), the clips' lengths up to T. It gives codes int32 (batch_size, F, Q) at `level`, and n_frames
    (batch_size,), how many of the F frames are the clip's. The decoder takes codes and n_samples, and gives audio, zero
    after a clip's end. For a codec without codes there are latents float32 (batch_size, F, D) in their place. A
    denoiser takes and gives audio. What was asked for is in the files' metadata. A published model without an encoder
    or a decoder has the other file alone.

    Each graph is run once by onnxruntime beside the codec, and nothing is written where they differ. Raises ZooError
    then, where the extra "onnx" is missing, where the folder exists and `force` is false or it holds other files, and
    for lengths, batches and levels that cannot be.
    """
    codec, folder = given.codec(codec), Path(as_path(folder))
    extras.require("onnx")
    check_folder(folder, force=force)
    graphs = _graphs(codec, seconds, level, batch_size)
    about = _about(codec, seconds, level)
    converted = [_converted(graph, about) for graph in graphs]
    try:
        with whole.folder(folder) as part:
            part.mkdir(parents=True)
            for written, data in converted:
                (part / written.file).write_bytes(data)
    except OSError as error:
        raise ZooError(f"{folder}: cannot be written ({error.strerror})") from None
    return [written for written, _ in converted]


def check_folder(folder: str | Path, *, force: bool) -> None:
    """Raises ZooError for a folder that `export` would not write."""
    graphs = {ENCODER, DECODER, DENOISER}

    def is_ours(folder: Path) -> bool:
        return {path.name for path in folder.iterdir()} <= graphs

    check_whole_folder(folder, force=force, ours=is_ours, content="holds more than ONNX graphs")


def _graphs(codec: ReadyCodec, seconds: float, level: int | None, batch_size: int) -> list[Graph]:
    """What is written for a codec, with an example of input that is a little shorter than the graph's shapes."""
    module, variables = codec.module, codec.variables
    if not 0 < seconds <= MAX_S:
        raise ZooError(f"seconds must be above 0 and at most {MAX_S:g}, got {seconds:g}")
    if batch_size < 1:
        raise ZooError(f"batch_size must be at least 1, got {batch_size}")
    coded = bool(codec.symbols.codebook_sizes)
    if level is not None:
        codec.engine.check_coded()
    chosen = codec.engine.level(level) if coded else 0
    length = max(1, round(seconds * module.sample_rate))
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal((batch_size, length, module.channels))).astype(np.float32)
    n_samples = np.full(batch_size, max(1, length - length // 8), np.int32)
    kind = "codes" if coded else "latents"

    def encode(audio: jax.Array, n_samples: jax.Array) -> tuple[jax.Array, ...]:
        latents = module.apply(variables, audio, n_samples, method="encode")
        n_frames = module.n_frames(n_samples)
        if not coded:
            return latents, n_frames  # type: ignore[return-value]
        codes = module.apply(variables, latents, chosen, method="quantise").codes  # type: ignore[union-attr]
        return codes[..., : codec.symbols.n_codes(chosen)], n_frames

    def decode(given: jax.Array, n_samples: jax.Array) -> tuple[jax.Array, ...]:
        latents = module.apply(variables, given, chosen, method="dequantise") if coded else given
        return (module.apply(variables, latents, length, n_samples, method="decode"),)  # type: ignore[return-value]

    def restored(audio: jax.Array, n_samples: jax.Array) -> tuple[jax.Array, ...]:
        return decode(encode(audio, n_samples)[0], n_samples)

    if codec.denoises and not coded:
        return [Graph(DENOISER, ("audio", "n_samples"), ("restored",), restored, (audio, n_samples))]
    encoder = Graph(ENCODER, ("audio", "n_samples"), (kind, "n_frames"), encode, (audio, n_samples))
    graphs = [] if isinstance(module.encoder, NoEncoder) else [encoder]
    if not isinstance(module.decoder, NoDecoder):
        if graphs:
            given = np.asarray(jax.jit(encode)(audio, n_samples)[0])
        else:
            shape = (batch_size, module.n_frames(length), module.encoder.latent_dim)
            given = rng.standard_normal(shape).astype(np.float32)
        graphs.append(Graph(DECODER, (kind, "n_samples"), ("audio",), decode, (given, n_samples)))
    return graphs


def _about(codec: ReadyCodec, seconds: float, level: int | None) -> dict[str, str]:
    """What is to be known of a graph besides its shapes, as ONNX has it: text by name."""
    module, metadata = codec.module, codec.metadata
    about = {
        "family": metadata.get("family"),
        "digest": codec.digest.hex(),
        "licence": metadata.get("licence"),
        "sample_rate": module.sample_rate,
        "channels": module.channels,
        "hop_length": module.hop_length,
        "seconds": seconds,
        "level": codec.engine.level(level) if codec.symbols.codebook_sizes else None,
    }
    return {key: str(value) for key, value in about.items() if value is not None}


def _converted(graph: Graph, about: dict[str, str]) -> tuple[Written, bytes]:
    """What is written of a graph, and its bytes, after it was run beside the function that it is of."""
    import onnxruntime
    from jax2onnx import to_onnx

    function = jax.jit(graph.function)
    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in graph.example]
    try:
        # traced before, for under jax2onnx jax's caches would keep operations of its own, which nothing else can run
        known = convertible(function, *graph.example)
        with _quiet():
            model = to_onnx(
                known, shapes, opset=OPSET, input_names=list(graph.inputs), output_names=list(graph.outputs)
            )
            broadcast_constants.shrink(model)
            for key, value in about.items():
                model.metadata_props.add(key=key, value=value)
            data = model.SerializeToString()
            session = onnxruntime.InferenceSession(data, _errors_alone(), providers=["CPUExecutionProvider"])
            found = session.run(list(graph.outputs), dict(zip(graph.inputs, graph.example)))
    except Exception as error:  # whatever a converter and a runtime of others make of an operator that they do not know
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise ZooError(f"{graph.file}: cannot be converted ({first})") from None
    wanted = [np.asarray(array) for array in function(*graph.example)]
    difference = _difference(wanted[0], found[0])
    if difference > (_CLOSE if wanted[0].dtype == np.float32 else 1 - _EQUAL) or any(
        not np.array_equal(ours, its) for ours, its in zip(wanted[1:], found[1:])
    ):
        raise ZooError(f"{graph.file}: onnxruntime computes something else of it than this codec ({difference:.2g})")
    inputs = {name: array.shape for name, array in zip(graph.inputs, graph.example)}
    outputs = {name: array.shape for name, array in zip(graph.outputs, wanted)}
    return Written(graph.file, inputs, outputs, difference), data


def _difference(wanted: np.ndarray, found: np.ndarray) -> float:
    if wanted.shape != found.shape:
        return float("inf")
    if wanted.dtype == np.float32:
        return float(np.max(np.abs(wanted - found)) / (np.max(np.abs(wanted)) + 1e-12))
    return float(np.mean(wanted != found))


def _errors_alone() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the converter from telling what it does."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
