"""What the entropy coder saves: bits under static tables, contexts alone, and the fitted coder, per level.

    python -m evaluate.contexts --ckpt runs/vae --data.root TRAIN --eval.root EVAL

All are fitted here to the same training audio and measured on the same clips, in packets as in a file. Static: a table
for each code. The fitted coder has networks where they pay, else contexts. Its bytes are those that it writes, without
the container; speeds are of the coder alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from evaluate import cli, table
from evaluate.clips import Clip, pieces
from evaluate.pca import training_clips
from zoo.bitstream.entropy import Fitter, tables
from zoo.console.command import command
from zoo.errors import ZooError
from zoo.ready import ReadyCodec


@dataclass(frozen=True)
class Options(cli.FittedOptions):
    """Measures what contexts save over static tables and networks over contexts, and how fast the entropy coder is.

    Examples:
      python -m evaluate.contexts --ckpt runs/vae
      python -m evaluate.contexts --ckpt runs/vae --data.root TRAIN --eval.root EVAL --train_s 900
    """

    levels: tuple[int, ...] = ()
    """those that are measured; none = all that have statistics of their own"""
    output: str | None = None
    """JSON file; None = none"""


@dataclass(frozen=True)
class Saving:
    """What one level costs, kbps of all streams together, and the coder's speed in seconds of audio a second."""

    level: int
    static_kbps: float
    context_kbps: float
    """ideal cost under contexts alone"""
    fitted_kbps: float
    """ideal cost under the fitted coder"""
    coded_kbps: float
    """bytes that it writes"""
    overhead_bytes: float
    """the most by which a packet's bytes exceed its ideal cost"""
    encode_rtf: float
    decode_rtf: float

    @property
    def saved_percent(self) -> float:
        """By contexts over static tables."""
        return 100 * (1 - self.context_kbps / self.static_kbps)

    @property
    def network_saved_percent(self) -> float:
        """By the fitted coder over contexts alone."""
        return 100 * (1 - self.fitted_kbps / self.context_kbps)


def savings(
    codec: ReadyCodec, training: Iterable[Clip], clips: Iterable[Clip], levels: Sequence[int] = ()
) -> list[Saving]:
    """One for each level at which the codec's symbols have statistics of their own, else for the default one.

    `levels` are fewer of them. Raises ZooError for one that there is not.
    """
    symbols = codec.symbols
    train = [piece for clip in training for piece in pieces(clip)]
    measured = [piece for clip in clips for piece in pieces(clip)]
    known = range(symbols.n_levels) if symbols.tables_per_level else [codec.default_level]
    if unknown := set(levels) - set(known):
        raise ZooError(f"--levels {min(unknown)}: there are {', '.join(map(str, known))}")
    return [_saving(codec, level, train, measured) for level in levels or known]


def _saving(codec: ReadyCodec, level: int, training: Sequence[Clip], clips: Sequence[Clip]) -> Saving:
    sizes = codec.symbols.codebook_sizes
    fitter, counts = Fitter(codec.symbols), np.zeros((len(sizes), max(sizes)), np.int64)
    for codes in _packets(codec, training, level):
        fitter.update(codes, level)
        counts += tables.count(codes.reshape(-1, len(sizes)), sizes)
    contexts, static_tables = fitter.fit(networks=False), tables.fit(counts, sizes)
    coder = fitter.fit() if codec.symbols.ordered else contexts
    static_bits = context_bits = fitted_bits = encode_s = decode_s = 0.0
    n_bytes, overhead = 0, 0.0
    for codes in _packets(codec, clips, level):
        start = time.perf_counter()
        payload = coder.encode(codes, level)
        between = time.perf_counter()
        decoded = coder.decode(payload, n_streams=len(codes), n_frames=codes.shape[1], level=level)
        encode_s, decode_s = encode_s + between - start, decode_s + time.perf_counter() - between
        if not np.array_equal(decoded, codes):
            raise RuntimeError("the entropy coder does not give back what it was given")
        bits = coder.bits(codes, level)
        static_bits += tables.ideal_bits(codes.reshape(-1, len(sizes)), static_tables)
        context_bits += contexts.bits(codes, level)
        fitted_bits, n_bytes = fitted_bits + bits, n_bytes + len(payload)
        overhead = max(overhead, len(payload) - bits / 8)
    seconds = sum(len(clip.samples) / clip.sample_rate for clip in clips)
    costs = (static_bits, context_bits, fitted_bits, 8 * n_bytes)
    static, context, fitted, coded = (bits / seconds / 1000 for bits in costs)
    return Saving(
        level,
        static,
        context_kbps=context,
        fitted_kbps=fitted,
        coded_kbps=coded,
        overhead_bytes=overhead,
        encode_rtf=seconds / encode_s,
        decode_rtf=seconds / decode_s,
    )


def _packets(codec: ReadyCodec, clips: Iterable[Clip], level: int) -> Iterator[np.ndarray]:
    step = codec.packet_frames()
    for clip in clips:
        codes = codec.encode(clip.samples, clip.sample_rate, level=level).codes
        yield from (codes[:, i : i + step] for i in range(0, codes.shape[1], step))


def run(options: Options) -> None:
    """Fits, measures and prints; raises ZooError for input that cannot be used."""
    cli.check_results_file(options.output)
    cli.check_train_s(options.train_s)
    (name, codec), *_ = cli.load_codecs([options.ckpt]).items()
    codec.engine.check_coded()
    trained_on = codec.metadata.get("config", {}).get("data", {}).get("root")
    training = training_clips(options.data.root or trained_on, codec, options.train_s)
    found = savings(codec, training, cli.load_clips(options.eval, codec, limit=options.limit), options.levels)
    print(f"{name}: entropy coder fitted to {options.train_s:g} s of training audio")
    print(
        "level  static kbps  contexts kbps  saved %  fitted kbps  saved %  coded kbps  overhead B/packet  "
        "encode ×  decode ×"
    )
    for s in found:
        print(
            f"{s.level:5d}  {s.static_kbps:11.3f}  {s.context_kbps:13.3f}  {s.saved_percent:7.1f}"
            f"  {s.fitted_kbps:11.3f}  {s.network_saved_percent:7.1f}  {s.coded_kbps:10.3f}"
            f"  {s.overhead_bytes:17.2f}  {s.encode_rtf:8.0f}  {s.decode_rtf:8.0f}"
        )
    if options.output:
        rows = [
            asdict(s) | {"saved_percent": s.saved_percent, "network_saved_percent": s.network_saved_percent}
            for s in found
        ]
        table.write_text(Path(options.output), json.dumps(rows, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate.contexts", run, arguments)


if __name__ == "__main__":
    main()
