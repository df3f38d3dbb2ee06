"""`python -m zoo encode`: a file or a pipe to a `.zac` file, and its codes to a token file."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import audio, coding, tokens
from zoo.audio import Reader, check_output, open_output, open_reader
from zoo.audio.output import output_name
from zoo.audio.taking import Taken
from zoo.coding.rate import kbps
from zoo.commands.options import Encode
from zoo.commands.sources import check_input, find_codec, raw_format
from zoo.console.command import progress
from zoo.console.terminal import report
from zoo.errors import ZooError
from zoo.ready import ReadyCodec
from zoo.wording import speed

BLOCK_SAMPLES = 1 << 15


def encode(options: Encode) -> None:
    """Codes one file or pipe; raises ZooError for input that cannot be used."""
    if options.tokens and options.output == "-":
        raise ZooError("--tokens needs a file name to stand beside, not standard output")
    check_input(options.input)
    if Path(options.output).suffix.lower() in audio.SUFFIXES:
        raise ZooError(f"{options.output}: is no name for coded audio: .zac is the usual suffix")
    check_output(options.output, force=options.force)
    token_file = Path(options.output).with_suffix(".npy") if options.tokens else None
    if token_file:
        if token_file == Path(options.output):
            raise ZooError(f"{options.output}: is the name that the tokens get: .zac is the usual suffix")
        check_output(token_file, force=options.force)
    codec = find_codec(options.ckpt).with_precision(options.precision)
    begin = time.perf_counter()
    with open_reader(options.input, raw=raw_format(options.raw), stream=options.stream) as reader:
        codes: list[np.ndarray] = []
        with (
            open_output(options.output, force=options.force) as stream,
            progress(reader.n_samples, "encoding") as advance,
        ):
            encoder = encode_reader(codec, reader, stream=stream, options=options, codes=codes, advance=advance)
            if token_file:
                tokens.save(token_file, tokens.of(encoder, codes), force=options.force)
        if reader.warning:
            print(f"warning: {reader.warning}", file=sys.stderr)
        taken = taking(codec, reader, options)
    if not taken.is_usual:
        report(f"{reader.name}: {taken}")
    seconds = encoder.n_samples / reader.sample_rate
    payload_kbps, file_kbps = (kbps(n, seconds) for n in (encoder.payload_bytes, encoder.file_bytes))
    report(
        f"{reader.name} → {output_name(options.output)}: {seconds:.1f} s, payload {payload_kbps:.2f} kbps, "
        f"file {file_kbps:.2f} kbps, {speed(seconds, time.perf_counter() - begin)}"
    )
    if options.bitrate is not None and seconds and payload_kbps < 0.95 * options.bitrate:
        if min(encoder.levels, default=0) == codec.n_levels - 1:
            report("that is the most that the codec can spend on this audio")
        else:
            report("so short a file cannot mix the codec's levels to come closer")


def taking(codec: ReadyCodec, reader: Reader, options: Encode) -> Taken:
    """What becomes of the channels that a reader has."""
    return Taken(options.channels, reader.channels, reader.layout, codec.channels)


def encode_reader(
    codec: ReadyCodec,
    reader: Reader,
    stream: BinaryIO,
    options: Encode,
    codes: list[np.ndarray],
    advance: Callable[[int], None],
) -> coding.StreamEncoder:
    """Codes what a reader holds into a stream; its codes, if options.tokens, are appended to `codes`."""
    taken = taking(codec, reader, options)

    def blocks() -> Iterator[np.ndarray]:
        with contextlib.nullcontext(threading.Event()) if reader.seekable else until_interrupted() as stop:
            while not stop.is_set() and len(block := reader.read(BLOCK_SAMPLES)):
                yield taken(block)
                advance(len(block))

    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()  # a packet leaves as soon as it is complete

    return coding.encode_blocks(
        codec.engine,
        blocks(),
        reader.sample_rate,
        taken.channels,
        write=write,
        bitrate=options.bitrate,
        level=options.level,
        packet_s=options.packet_s,
        mid_side=options.stereo == "mid_side",
        apart=taken.apart,
        as_stream=not reader.seekable,
        on_codes=(lambda packet, level: codes.append(packet)) if options.tokens else None,
    )


@contextlib.contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """Lets Ctrl-C end the recording that is coded from a pipe, rather than throw it away.

    The event is set by the first interruption; a second one interrupts.
    """
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
