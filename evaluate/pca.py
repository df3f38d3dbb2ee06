"""The linear rival of the autoencoder: MDCT and PCA under the same quantiser, at the same bytes.

    python -m evaluate.pca --ckpt runs/autoencoder

The Karhunen–Loève transform of the (companded) MDCT coefficients, fitted on training audio, is the best linear map to
and from a latent of this size; with a gain that makes it cost what the autoencoder costs, it shows what the autoencoder
has learnt beyond one. It is itself an autoencoder of the zoo, whose linear layers hold the basis and which has no
others, so tables, bytes and metrics come from the same code.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from evaluate import cli
from evaluate.clips import Clip, clips_from_folder, pieces
from evaluate.records import SILENT, Row, means
from evaluate.remarks import require_sound
from evaluate.run import evaluate
from evaluate.systems import CodecSystem
from zoo import audio, families, synth
from zoo.bitstream.entropy import EntropyModel, Fitter, kind_of
from zoo.codec import Codec, parameter_shapes
from zoo.console.command import command
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

COMPANDINGS = (1.0, 0.7)
"""Exponents of the coefficients before the transform; the better one is the rival."""
RATE_TOLERANCE = 0.0025
TABLE_S = 180.0
"""Seconds of training audio on which the entropy coder is fitted."""
SYNTHETIC_S = 4.0
"""Length of the embedded generator's training clips."""
_PART_FRAMES = 256


@dataclass(frozen=True, eq=False)
class Transform:
    """Orthonormal basis (in, out) of the first `out` principal components, with the variances (in,) of them all."""

    basis: np.ndarray
    variances: np.ndarray


def principal_components(coefficients: np.ndarray, n: int) -> Transform:
    """PCA of (N, in) float, uncentred: eigenvectors of xᵀx / N in falling order of variance, the first `n` of them.

    Not centred, as signs of MDCT coefficients are even-handed and silence must stay silent. Raises ZooError on no data.
    """
    if not len(coefficients):
        raise ZooError("PCA: there is no training audio")
    covariance = np.zeros((coefficients.shape[1],) * 2)
    for start in range(0, len(coefficients), 8192):
        part = coefficients[start : start + 8192].astype(np.float64)
        covariance += part.T @ part / len(coefficients)
    variances, vectors = np.linalg.eigh(covariance)
    order = np.argsort(variances)[::-1]
    return Transform(vectors[:, order[:n]].astype(np.float32), variances[order])


class Analysis:
    """The coefficients that an autoencoder's first layer sees: MDCT frames (N, hop_length · channels), companded."""

    def __init__(self, model: dict[str, Any], companding: float) -> None:
        bins = model["hop_length"] * model["channels"]
        identity = {"latent_dim": bins, "levels": (3,), "n_blocks": 0, "companding": companding, "latent_scale": 1.0}
        self.module = families.create("autoencoder", **(model | identity))
        self._variables = {"params": _linear_params(self.module, np.eye(bins, dtype=np.float32), 1.0)}
        self._encode = jax.jit(functools.partial(self.module.apply, method="encode"))

    def __call__(self, clip: Clip) -> np.ndarray:
        """Coefficients of all frames of a clip, at the module's rate and with its channels."""
        module = self.module
        samples = clip.mixed(module.channels)
        samples = audio.resample(samples, clip.sample_rate, module.sample_rate)
        frames = module.n_frames(len(samples))
        # few lengths, so that few shapes are compiled
        padded = module.max_samples(-(-frames // _PART_FRAMES) * _PART_FRAMES)
        batch = np.pad(samples, ((0, padded - len(samples)), (0, 0)))[None]
        return np.asarray(self._encode(self._variables, batch, np.array([len(samples)], np.int32)))[0, :frames]


def rival_codec(codec: ReadyCodec, transform: Transform, companding: float, gain: float) -> ReadyCodec:
    """An autoencoder of two linear layers, gain · basis and its transpose / gain, with the quantiser of `codec`.

    Its entropy coder is still the other's.
    """
    overrides = {"n_blocks": 0, "companding": companding, "latent_scale": 1.0}
    module = families.create("autoencoder", **(codec.metadata["model"] | overrides))
    params = _linear_params(module, transform.basis, gain)
    return ReadyCodec(module, {"params": params}, codec.entropy, dict(codec.metadata))


def _linear_params(module: Codec, basis: np.ndarray, gain: float) -> dict[str, Any]:
    """Parameters of an autoencoder without blocks; the quantiser's, which only its training loss reads, are zero."""
    params: dict[str, Any] = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), parameter_shapes(module))
    for side, kernel in (("encoder", basis * np.float32(gain)), ("decoder", basis.T / np.float32(gain))):
        linear = params[side]["trunk"]["linear"]
        if linear["kernel"].shape != (1, *kernel.shape):
            raise ValueError(f"{side}: a basis of shape {basis.shape} does not fit {linear['kernel'].shape}")
        linear["kernel"] = kernel[None]
    return params


class Quantiser:
    """Symbols of latents (N, D) by the rival's bottleneck, in parts of one size."""

    def __init__(self, codec: ReadyCodec) -> None:
        self._variables = codec.variables
        self._apply = jax.jit(
            lambda variables, latent: codec.module.apply(variables, latent[None], method="quantise").codes[0]  # type: ignore[union-attr]
        )

    def __call__(self, latent: np.ndarray) -> np.ndarray:
        size = 1 << 14
        parts = [latent[i : i + size] for i in range(0, len(latent), size)]
        padded = [np.pad(part, ((0, size - len(part)), (0, 0))) for part in parts]
        symbols = [np.asarray(self._apply(self._variables, p)) for p in padded]
        return np.concatenate([found[: len(part)] for found, part in zip(symbols, parts)])


def find_gain(rate: Callable[[float], float], target: float, *, tolerance: float = RATE_TOLERANCE) -> float:
    """The smallest gain, to within `tolerance` of the rate, at which `rate(gain)` reaches `target`.

    Doubles from 2⁻¹⁰ on until the target is passed, then halves the interval of logarithms. Raises ZooError if the rate
    is above the target from the start, or still below it at 2³⁰.
    """
    low, high = -10.0, -9.0
    if rate(2**low) > target:
        raise ZooError(f"PCA: costs more than {target:.2f} kbps at any gain")
    while rate(2**high) < target:
        low, high = high, high + 1
        if high > 30:
            raise ZooError(f"PCA: does not reach {target:.2f} kbps at any gain")
    for _ in range(60):
        middle = (low + high) / 2
        found = rate(2**middle)
        if abs(found - target) <= tolerance * target:
            break
        low, high = (middle, high) if found < target else (low, middle)
    return float(2**middle)


def fit_rival(
    codec: ReadyCodec, training: Iterable[Clip], evaluated: Iterable[Clip], kbps: float, companding: float
) -> ReadyCodec:
    """MDCT + PCA fitted on training clips, with the gain at which it codes the evaluated clips at `kbps`.

    Raises ZooError where there is no training clip, or no gain gives that rate.
    """
    model = codec.metadata["model"]
    analysis = Analysis(model, companding)
    train = np.concatenate([analysis(clip) for clip in training] or [np.zeros((0, 1), np.float32)])
    transform = principal_components(train, model["latent_dim"])
    latent = train @ transform.basis
    parts = [piece for clip in evaluated for piece in pieces(clip)]
    seconds = sum(len(piece.samples) / piece.sample_rate for piece in parts)
    clips = [analysis(piece) @ transform.basis for piece in parts]
    wanted = np.concatenate(clips)
    packets = _packets([len(latent)], codec.packet_frames())
    # as much as the codec's own tables are fitted on, from all over
    packets = packets[:: max(1, round(len(latent) / codec.module.frame_rate_hz / TABLE_S))]
    sample = [latent[packet] for packet in packets]
    measured = _packets([len(frames) for frames in clips], codec.packet_frames())
    quantise = Quantiser(rival_codec(codec, transform, companding, 1.0))

    def fit(gain: float, networks: bool = False) -> EntropyModel:
        fitter = Fitter(codec.symbols)
        ends = np.cumsum([len(frames) for frames in sample])
        for codes in np.split(quantise(gain * np.concatenate(sample)), ends[:-1]):
            fitter.update(codes[None])
        return fitter.fit(networks=networks)

    def rate(gain: float, networks: bool = False) -> float:
        fitted, codes = fit(gain, networks), quantise(gain * wanted)
        return 8 * sum(len(fitted.encode(codes[None, packet])) for packet in measured) / seconds / 1000

    gain = find_gain(rate, kbps)
    networks = kind_of(codec.entropy.arrays) == "network"
    if networks:  # which take too long to fit for a search: what they save hardly depends on the gain
        gain = find_gain(rate, kbps * rate(gain) / rate(gain, networks))
    rival = rival_codec(codec, transform, companding, gain)
    return ReadyCodec(rival.module, rival.variables, fit(gain, networks), rival.metadata)


def _packets(lengths: Sequence[int], packet_frames: int) -> list[slice]:
    """Lays clips of so many frames end to end and gives the packets as slices."""
    starts = np.cumsum([0, *lengths])
    return [
        slice(i, min(i + packet_frames, int(start) + length))
        for start, length in zip(starts, lengths)
        for i in range(int(start), int(start) + length, packet_frames)
    ]


def training_clips(root: str | None, codec: ReadyCodec, seconds: float) -> Iterator[Clip]:
    """About `seconds` of training audio: files from all over a folder, or the embedded generator's training split."""
    if root is None:
        for i in range(math.ceil(seconds / SYNTHETIC_S)):
            samples = synth.clip(i, SYNTHETIC_S, codec.sample_rate, channels=codec.channels)
            yield Clip(f"training_{i}", "training", samples, codec.sample_rate)
        return
    clips = clips_from_folder(root)
    left = seconds
    # a fixed shuffle: however many are taken, every folder has its share
    for i in np.random.default_rng(0).permutation(len(clips)):
        if left <= 0:
            return
        for clip in clips[int(i) : int(i) + 1]:
            piece = next(pieces(clip))
            left -= len(piece.samples) / piece.sample_rate
            yield piece


@dataclass(frozen=True)
class Options(cli.FittedOptions):
    """Measures an autoencoder against MDCT + PCA with the same quantiser at the same bytes: a table, JSON and CSV.

    Examples:
      python -m evaluate.pca --ckpt runs/autoencoder
      python -m evaluate.pca --ckpt runs/autoencoder --data.root TRAIN --eval.root EVAL
    """

    train_s: float = 1200.0
    """seconds of training audio, for PCA too"""
    output: str | None = None
    """folder for pca.json and pca.csv; None = evaluation/ in the run directory"""


def run(options: Options) -> None:
    """Fits, evaluates and prints; raises ZooError for input that cannot be used."""
    from evaluate import table

    cli.check_train_s(options.train_s)
    (name, codec), *_ = cli.load_codecs([options.ckpt]).items()
    if codec.metadata["family"] != "autoencoder":
        raise ZooError(f"{options.ckpt} is a {codec.metadata['family']}; PCA is the rival of an autoencoder")
    output = cli.results_folder(options.output, codec)
    trained_on = codec.metadata.get("config", {}).get("data", {}).get("root")
    training = list(training_clips(options.data.root or trained_on, codec, options.train_s))
    found = cli.load_clips(options.eval, codec, limit=options.limit)
    clips = [piece for clip in found for piece in pieces(clip)]
    rows = evaluate(CodecSystem(codec, name), clips)
    source = options.eval.root or "held-out clips of the embedded generator"
    require_sound(rows, source)
    audible = [clip for clip, row in zip(clips, rows) if row.remark != SILENT]
    rate = overall(rows, "payload_kbps")
    rivals: dict[float, list[Row]] = {}
    for companding in COMPANDINGS:
        rival = fit_rival(codec, training, audible, rate, companding)
        rivals[companding] = evaluate(CodecSystem(rival, "mdct_pca"), clips)
    snr_db = {companding: overall(found, "snr_db") for companding, found in rivals.items()}
    best = max(snr_db, key=lambda companding: snr_db[companding])
    table.report(rows + rivals[best], output, title=f"{source} · PCA with companding {best}", name="pca")
    told = ", ".join(f"{companding}: {value:.2f} dB" for companding, value in snr_db.items())
    print(f"SNR of PCA by companding exponent: {told}")


def overall(rows: Sequence[Row], name: str) -> float:
    """The mean of a value over all clips of one system's rows, NaN where none has it."""
    value = means(rows)[-1].values[name]
    return math.nan if value is None else value


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate.pca", run, arguments)


if __name__ == "__main__":
    main()
