"""`python -m zoo info`: what is in coded files, and in audio files of every format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from zoo.audio import report as audio_report
from zoo.audio.places import no_folder
from zoo.bitstream.container import ContainerReader
from zoo.bitstream.layout import MAGIC
from zoo.coding.rate import kbps
from zoo.coding.stream import packets_to_warm_up
from zoo.commands.options import Info
from zoo.commands.sources import find_codec, open_input
from zoo.console.command import progress
from zoo.console.terminal import report
from zoo.errors import BitstreamError, ZooError


def info(options: Info) -> None:
    """Prints what files hold; raises ZooError for the first that cannot be used, after those that can be."""
    if not options.input:
        raise ZooError("name a file")
    failed: list[ZooError] = []
    for number, path in enumerate(options.input):
        try:
            lines = _zac_info(path, options.ckpt) if _is_zac(path) else _audio_info(path, options.stream)
        except ZooError as error:
            failed.append(error)
            continue
        if len(options.input) > 1 and not lines[0].startswith("file "):
            lines = [f"{'file':8} {path}", *lines]
        print(*([""] if number else []), *lines, sep="\n")
    for other in failed[1:]:
        report(f"error: {other}")
    if failed:
        raise failed[0]


def _is_zac(path: str) -> bool:
    """Whether it is coded audio, or at least called so; a pipe, which cannot be read twice, is taken for that."""
    if path == "-" or Path(path).suffix.lower() == ".zac" or no_folder(path) != "file":
        return True
    with open_input(path) as stream:
        return stream.read(len(MAGIC)) == MAGIC


def _audio_info(path: str, stream: int | None) -> list[str]:
    with progress(None, path):
        return audio_report.lines(audio_report.examine(path, stream=stream))


def _zac_info(path: str, ckpt: str | None) -> list[str]:
    """Describes a coded file; raises BitstreamError where it is damaged."""
    with open_input(path) as stream:
        try:
            reader = ContainerReader(stream)
            header = reader.header
            packets = list(_lengths(reader))
        except BitstreamError as error:
            raise BitstreamError(f"{path}: {error}") from None
        size = Path(path).stat().st_size if path != "-" else None
    n_samples = reader.n_samples or 0
    seconds = n_samples / header.sample_rate
    payload = sum(length for _, length in packets)
    lines = {
        "audio": f"{seconds:.3f} s, {n_samples} samples, {header.sample_rate} Hz, "
        f"{header.channels} channel{'s' * (header.channels > 1)}{' as mid and side' if header.mid_side else ''}",
        "payload": f"{payload} bytes, {kbps(payload, seconds):.2f} kbps",
        "file": f"{size} bytes, {kbps(size, seconds):.2f} kbps" if size else None,
        "packets": f"{len(packets)} of {header.packet_frames} frames",
        "levels": ", ".join(f"{level}: {n}" for level, n in sorted(Counter(level for level, _ in packets).items())),
        "weights": header.weights_hash.hex(),
    }
    try:
        codec = find_codec(ckpt, header.weights_hash)
        module = codec.module
        warm_up = packets_to_warm_up(module, header.packet_frames)
        packet_s = header.packet_frames / module.frame_rate_hz
        lines |= {
            "codec": repr(codec),
            "from": str(codec.metadata.get("path")),
            "packet": f"{packet_s:.3f} s; warm-up {_packets(warm_up)}",
            "latency": "the whole clip"
            if module.decodes_whole or module.encodes_whole
            else f"{1000 * module.algorithmic_latency_samples / module.sample_rate:.1f} ms of the model, "
            f"{1000 * codec.stream_latency_s(packet_s):.0f} ms streamed in these packets",
        }
    except ZooError as error:
        if ckpt is not None:
            raise
        lines["codec"] = str(error)
    return [f"{name:8} {value}" for name, value in lines.items() if value is not None]


def _lengths(reader: ContainerReader) -> Iterator[tuple[int, int]]:
    for packet in reader:
        yield packet.level, len(packet.payload)


def _packets(n: int | None) -> str:
    return "all before it" if n is None else f"{n} packet{'s' * (n > 1)}"
