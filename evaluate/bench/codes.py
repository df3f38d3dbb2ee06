"""`python -m evaluate.bench codes`: how many codes change with differences too small to be heard, such as rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from evaluate import cli
from zoo.console.command import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from zoo.ready import ReadyCodec

PACKETS = 5
"""to one of the longer chunks"""


@dataclass(frozen=True)
class Options:
    """Counts the codes of clips that change with an error of the input, with longer chunks, and with bfloat16.

    Examples:
      python -m evaluate.bench codes --model dac_24khz mimi --data.root DIR       random weights
      python -m evaluate.bench codes --ckpt codec_24khz descript/dac_24khz --data.root DIR
    """

    ckpt: tuple[str, ...] = ()
    """run directories, codecs of the package, or published models"""
    model: tuple[str, ...] = ()
    """families, or published models (hub id, or its last part), with random weights"""
    data: cli.Folder = field(default_factory=cli.Folder)
    """audio that is encoded"""
    limit: int | None = None
    """files, evenly spaced; None = all"""
    seconds: float = 5.0
    """of each file, from its beginning"""
    error: float = 1e-6
    """standard deviation of the noise that is added, of full scale"""
    output: Annotated[str | None, arg(aliases=("--json",))] = None
    """JSON file to write"""


@dataclass(frozen=True)
class Changes:
    """How many in a thousand of a codec's codes, at its default level, become others."""

    system: str
    codes: int
    """that were compared"""
    error: float
    """with noise in the input"""
    chunks: float
    """computed in chunks of `PACKETS` packets instead of one"""
    latent_error: float
    """the largest difference of these chunks' latents, of the largest latent"""
    bfloat16: float | None
    """computed in bfloat16; None for a family that has float32 only"""
    decoded_db: float | None
    """signal to noise, dB, of the audio of the same codes decoded in bfloat16, to that of float32"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate.bench codes", run, arguments)


def run(options: Options) -> None:
    """Measures and prints; raises ZooError for input that cannot be used."""
    from evaluate import table
    from evaluate.bench.models import random_codec

    if not options.ckpt and not options.model:
        raise ZooError("nothing to measure: give --ckpt RUN or --model NAME")
    if not options.data.root:
        raise ZooError("nothing to encode: give --data.root DIR")
    if not options.seconds > 0 or not options.error >= 0:
        raise ZooError("--seconds must be positive, and --error not negative")
    cli.check_results_file(options.output)
    codecs = cli.load_codecs(options.ckpt) if options.ckpt else {}
    codecs |= {f"{name} (random)": random_codec(name) for name in options.model}
    changes = []
    for name, codec in codecs.items():
        changes.append(measure(name, codec, _clips(codec, options), options.error))
        if options.output:  # after each codec: a run that is stopped has not measured for nothing
            table.write_json(changes, Path(options.output))
    table.console().print(render(changes, options.error))


def measure(name: str, codec: ReadyCodec, clips: Sequence[np.ndarray], error: float = 1e-6) -> Changes:
    """Compares the codes of clips (T, channels) at the codec's rate; raises ZooError for one without codes."""
    import numpy as np

    codec.engine.check_coded()
    if not clips:
        raise ZooError("no clip could be read")
    rng = np.random.default_rng(0)
    noisy = [clip + error * rng.standard_normal(clip.shape).astype(np.float32) for clip in clips]
    encoded = [codec.encode(clip) for clip in clips]
    codes = [each.codes for each in encoded]
    packets = [codec.encode_latents(clip) for clip in clips]
    longer = [_latents(codec, clip, PACKETS) for clip in clips]
    largest = max(float(np.abs(latents).max()) for latents in packets)
    bfloat16 = decoded_db = None
    if narrow := _narrow(codec):
        bfloat16 = _changed(codes, [_quantised(narrow, narrow.encode_latents(clip)) for clip in clips])
        exact = np.concatenate([codec.decode(each) for each in encoded])
        error = np.concatenate([narrow.decode(each) for each in encoded]) - exact
        decoded_db = float(10 * np.log10(np.square(exact).sum() / np.square(error).sum()))
    return Changes(
        name,
        codes=sum(part.size for part in codes),
        error=_changed(codes, [codec.encode(clip).codes for clip in noisy]),
        chunks=_changed(codes, [_quantised(codec, latents) for latents in longer]),
        latent_error=max(float(np.abs(a - b).max()) for a, b in zip(packets, longer)) / largest,
        bfloat16=bfloat16,
        decoded_db=decoded_db,
    )


def render(changes: Sequence[Changes], error: float = 1e-6) -> Table:
    """The rich table: codes in a thousand."""
    from evaluate.bench.by_system import table_by_system

    columns: dict[str, Callable[[Changes], str]] = {
        "codes": lambda found: f"{found.codes:,}",
        f"input error\n{error:g}, ‰": lambda found: f"{found.error:.3g}",
        f"{PACKETS} packets\nat once, ‰": lambda found: f"{found.chunks:.3g}",
        "error of\nlatents": lambda found: f"{found.latent_error:.0e}",
        "bfloat16\n‰": lambda found: "–" if found.bfloat16 is None else f"{found.bfloat16:.3g}",
        "decoded in it\nSNR, dB": lambda found: "–" if found.decoded_db is None else f"{found.decoded_db:.1f}",
    }
    return table_by_system(columns, [(found.system, [show(found) for show in columns.values()]) for found in changes])


def _clips(codec: ReadyCodec, options: Options) -> list[np.ndarray]:
    from evaluate.clips import clips_from_folder

    assert options.data.root is not None
    found = clips_from_folder(
        options.data.root, sample_rate=codec.sample_rate, channels=codec.channels, limit=options.limit
    )
    return [clip.samples[: max(1, round(options.seconds * codec.sample_rate))] for clip in found]


def _latents(codec: ReadyCodec, clip: np.ndarray, n_packets: int) -> np.ndarray:
    """Latents (1, F, D) in chunks of so many packets."""
    import numpy as np

    from zoo.coding.stream import FrameEncoder

    encoder = FrameEncoder(codec.engine.chunks(n_packets * codec.packet_frames()), 1)
    return np.concatenate(encoder.push(clip[None]) + encoder.finish(), axis=1)


def _quantised(codec: ReadyCodec, latents: np.ndarray) -> np.ndarray:
    """Codes (F, q) of latents, packet by packet, at the default level."""
    import numpy as np

    size, level = codec.packet_frames(), codec.default_level
    starts = range(0, latents.shape[1], size)
    return np.concatenate([codec.engine.quantise(latents[:, at : at + size], level, size) for at in starts], axis=1)


def _narrow(codec: ReadyCodec) -> ReadyCodec | None:
    try:
        return codec.with_precision("bfloat16")
    except ZooError:
        return None


def _changed(codes: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Codes in a thousand that differ."""
    import numpy as np

    return 1000 * float(np.mean(np.concatenate([(a != b).ravel() for a, b in zip(codes, others)])))
