"""`python -m zoo decode`: a `.zac` file, a token file or a pipe to audio."""

from __future__ import annotations

import io
import time
from contextlib import ExitStack
from typing import BinaryIO

from zoo import coding, tokens
from zoo.audio import check_format, check_output, open_writer
from zoo.bitstream.container import ContainerReader
from zoo.commands.clipping import Peak
from zoo.commands.options import Decode
from zoo.commands.sources import find_codec, open_input
from zoo.console.command import progress
from zoo.console.terminal import report
from zoo.errors import BitstreamError, DamageError, ZooError
from zoo.wording import counted, speed


def decode(options: Decode) -> None:
    """A file or pipe to audio; raises ZooError for input that cannot be used, BitstreamError for damage."""
    if not 0 <= options.start < float("inf"):
        raise ZooError(f"--start {options.start:g} is no time")
    if options.seconds is not None and not 0 < options.seconds < float("inf"):
        raise ZooError(f"--seconds {options.seconds:g} is no duration")
    name = "standard input" if options.input == "-" else options.input
    is_part = options.start > 0 or options.seconds is not None
    _, subtype = check_format(options.output, options.subtype)
    peak = Peak()
    check_output(options.output, force=options.force)
    with ExitStack() as stack:
        stream = stack.enter_context(open_input(options.input))
        try:
            reader = _open_packets(stream, lenient=options.lenient)
            codec = find_codec(options.ckpt, reader.header.weights_hash).with_precision(options.precision)
            begin = time.perf_counter()
            coding.expect(codec.engine, reader)
            damaged: list[int] = []
            rate = reader.header.sample_rate
            if is_part:
                if reader.n_samples is None:
                    raise ZooError("--start and --seconds need a whole file, not a pipe")
                total_s = reader.n_samples / rate
                start = round(min(options.start, total_s) * rate)
                if start >= max(reader.n_samples, 1):
                    raise ZooError(f"--start {options.start:g}: the file ends at {total_s:.2f} s")
                seconds = total_s if options.seconds is None else min(options.seconds, total_s)
                stop = min(start + round(seconds * rate), reader.n_samples)
                n_samples: int | None = stop - start
                blocks = coding.decode_range(codec.engine, reader, start, stop, damaged)
            else:
                n_samples = reader.n_samples
                blocks = coding.decode_blocks(codec.engine, reader, damaged)
            writer = stack.enter_context(
                open_writer(
                    options.output,
                    rate,
                    reader.header.channels,
                    n_samples=n_samples,
                    subtype=options.subtype,
                    force=options.force,
                )
            )
            with progress(n_samples, "decoding") as advance:
                for block in blocks:
                    writer.write(peak.of(block))
                    advance(len(block))
            if not writer.n_samples and isinstance(reader, ContainerReader) and reader.truncated:
                raise BitstreamError("none of its packets is intact")
        except DamageError as error:
            raise BitstreamError(f"{name}: {error}; --lenient decodes what is intact") from None
        except BitstreamError as error:
            raise BitstreamError(f"{name}: {error}") from None
    peak.warn(writer.name, subtype)
    packet_s = reader.header.packet_frames / codec.module.frame_rate_hz
    for index in damaged:
        report(f"{name}: packet {index}, from {index * packet_s:.2f} s on, is damaged and silent")
    if isinstance(reader, ContainerReader) and reader.truncated:
        report(f"{name}: has no intact end; it may have been longer")
    elif isinstance(reader, ContainerReader) and reader.surplus and not damaged:
        report(
            f"{name}: {counted(reader.surplus, 'byte')} between or behind its packets belong to none, and are left out"
        )
    seconds = writer.n_samples / rate
    report(f"{name} → {writer.name}: {seconds:.1f} s, {speed(seconds, time.perf_counter() - begin)}")


def _open_packets(stream: BinaryIO, *, lenient: bool) -> ContainerReader | tokens.Tokens:
    """What a stream holds: a `.zac` file, or tokens; raises BitstreamError for anything else."""
    head = stream.peek(len(tokens.MAGIC))[: len(tokens.MAGIC)]  # type: ignore[attr-defined]  # open_input's can
    if not head or not tokens.MAGIC.startswith(head):  # of a pipe it may be a part
        return ContainerReader(stream, lenient=lenient)
    try:
        return tokens.read(stream if stream.seekable() else io.BytesIO(stream.read()))
    except ZooError as error:
        raise BitstreamError(str(error)) from None
