"""What `python -m zoo` does with files: coding, decoding, telling what is in one."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from zoo import audio, audio_io, checkpoint, coding, decoding, tokens
from zoo.audio_io import output
from zoo.audio_io.places import no_folder
from zoo.bitstream.container import ContainerReader
from zoo.cli import progress
from zoo.errors import BitstreamError, ZooError

if TYPE_CHECKING:
    from zoo.__main__ import Decode, Encode, Raw
    from zoo.ready import ReadyCodec

BLOCK_SAMPLES = 1 << 15


def encode(options: Encode) -> None:
    """One file or pipe, or a corpus; raises ZooError for input that cannot be used."""
    if options.corpus:
        from zoo import corpus

        corpus.encode(options)
        return
    if options.tokens and options.output == "-":
        raise ZooError("--tokens needs a file name to stand beside, not standard output")
    _check_input(options.input)
    if Path(options.output).suffix.lower() in audio.FORMATS:
        raise ZooError(f"{options.output}: is no name for coded audio: .zac is the usual suffix")
    audio_io.check_output(options.output, force=options.force)
    token_file = Path(options.output).with_suffix(".npy") if options.tokens else None
    if token_file:
        if token_file == Path(options.output):
            raise ZooError(f"{options.output}: is the name that the tokens get: .zac is the usual suffix")
        audio_io.check_output(token_file, force=options.force)
    codec = find_codec(options.ckpt)
    begin = time.perf_counter()
    with audio_io.open_reader(options.input, raw=raw_format(options.raw), stream=options.stream) as reader:
        passes = 2 if options.bitrate is not None and reader.seekable else 1
        codes: list[np.ndarray] = []
        with (
            audio_io.open_output(options.output, force=options.force) as stream,
            progress(passes * reader.n_samples if reader.n_samples else None, "encoding") as advance,
        ):
            encoder = encode_reader(codec, reader, stream, options, codes, advance)
            if token_file:
                tokens.save(token_file, tokens.of(encoder, codes), force=options.force)
        if reader.warning:
            print(f"warning: {reader.warning}", file=sys.stderr)
    seconds = encoder.n_samples / reader.sample_rate
    report(
        f"{reader.name} → {options.output}: {seconds:.1f} s, payload {kbps(encoder.payload_bytes, seconds):.2f} kbps, "
        f"file {kbps(encoder.file_bytes, seconds):.2f} kbps, {seconds / (time.perf_counter() - begin):.0f}× real time"
    )
    if options.bitrate is not None and seconds and kbps(encoder.payload_bytes, seconds) < 0.95 * options.bitrate:
        if min(encoder.levels, default=0) == codec.n_levels - 1:
            report("that is the most that the codec can spend on this audio")
        else:
            report("so short a file cannot mix the codec's levels to come closer")


def encode_reader(
    codec: ReadyCodec,
    reader: audio_io.Reader,
    stream: BinaryIO,
    options: Encode,
    codes: list[np.ndarray],
    advance: Callable[[int], None],
) -> coding.StreamEncoder:
    """Codes what a reader holds into a stream; its codes, if options.tokens, are appended to `codes`."""
    started = False

    def blocks() -> Iterator[np.ndarray]:
        nonlocal started
        if started:
            reader.rewind()
        started = True
        with contextlib.nullcontext(threading.Event()) if reader.seekable else until_interrupted() as stop:
            while not stop.is_set() and len(block := reader.read(BLOCK_SAMPLES)):
                yield block
                advance(len(block))

    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()  # a packet leaves as soon as it is complete

    return coding.encode_blocks(
        codec,
        blocks,
        reader.sample_rate,
        reader.channels,
        write=write,
        bitrate=options.bitrate,
        level=options.level,
        packet_s=options.packet_s,
        mid_side=options.stereo == "mid_side",
        seekable=reader.seekable,
        on_codes=(lambda packet, level: codes.append(packet)) if options.tokens else None,
    )


@contextlib.contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """While a pipe is coded: whoever presses Ctrl-C wants the recording to end there, not to be thrown away.

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


def decode(options: Decode) -> None:
    """A file or pipe to audio; raises ZooError for input that cannot be used, BitstreamError for damage."""
    for name, value in (("start", options.start), ("seconds", options.seconds)):
        if value is not None and not 0 <= value < float("inf"):
            raise ZooError(f"--{name} {value:g} is no time")
    is_part = options.start > 0 or options.seconds is not None
    audio_io.check_format(options.output, options.subtype)
    audio_io.check_output(options.output, force=options.force)
    with ExitStack() as stack:
        stream = stack.enter_context(open_input(options.input))
        try:
            reader = _open_packets(stream, lenient=options.lenient)
            codec = find_codec(options.ckpt, reader.header.weights_hash)
            decoding.expect(codec, reader)
            damaged: list[int] = []
            rate = reader.header.sample_rate
            if is_part:
                if reader.n_samples is None:
                    raise ZooError("--start and --seconds need a whole file, not a pipe")
                start = round(options.start * rate)
                if start >= max(reader.n_samples, 1):
                    raise ZooError(f"--start {options.start:g}: the file ends at {reader.n_samples / rate:.2f} s")
                stop = reader.n_samples if options.seconds is None else start + round(options.seconds * rate)
                n_samples: int | None = min(stop, reader.n_samples) - start
                blocks = decoding.decode_range(codec, reader, start, stop, damaged)
            else:
                n_samples = reader.n_samples
                blocks = decoding.decode_blocks(codec, reader, damaged)
            writer = stack.enter_context(
                audio_io.open_writer(
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
                    writer.write(block)
                    advance(len(block))
        except BitstreamError as error:
            raise BitstreamError(f"{options.input}: {error}") from None
    packet_s = reader.header.packet_frames / codec.module.frame_rate_hz
    for index in damaged:
        report(f"{options.input}: packet {index}, from {index * packet_s:.2f} s on, is damaged and silent")
    if isinstance(reader, ContainerReader) and reader.truncated:
        report(f"{options.input}: has no intact end; it may have been longer")


def _open_packets(stream: BinaryIO, *, lenient: bool) -> ContainerReader | tokens.Tokens:
    """What a stream holds: a `.zac` file, or tokens; raises BitstreamError for anything else."""
    head = stream.peek(len(tokens.MAGIC))[: len(tokens.MAGIC)]  # type: ignore[attr-defined]  # open_input's can
    if not head or not tokens.MAGIC.startswith(head):  # of a pipe it may be a part
        return ContainerReader(stream, lenient=lenient)
    try:
        return tokens.read(stream if stream.seekable() else io.BytesIO(stream.read()))
    except ZooError as error:
        raise BitstreamError(str(error)) from None


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Bytes of a file, or of standard input for "-"; raises ZooError naming what cannot be opened."""
    if path == "-":
        yield output.standard(sys.stdin, "standard input")
        return
    _check_input(path)
    place = Path(path)
    try:
        stream = place.open("rb")
    except OSError as error:
        raise ZooError(f"{path}: cannot be opened ({error.strerror})") from None
    with stream:
        yield stream


def _check_input(path: str) -> None:
    """Before a codec is loaded, which may take minutes."""
    if path != "-":
        no_folder(path)


def find_codec(ckpt: str | None, weights_hash: bytes | None = None) -> ReadyCodec:
    """The codec named, the one that a file was made with, or the only one there is below runs/."""
    if ckpt is not None:
        return checkpoint.load(ckpt)
    if weights_hash is not None:
        return checkpoint.find_by_hash(weights_hash)
    found = checkpoint.runs()  # a published model only by its name
    if len(found) != 1:
        names = ", ".join(model.name for model in found)
        raise ZooError(f"--ckpt is needed: {f'there are {names}' if names else 'there is no run in runs/'}")
    return checkpoint.load(found[0].name)


def raw_format(raw: Raw) -> audio_io.RawFormat | None:
    if raw.sample_rate is None and raw.channels is None:
        return None
    if raw.sample_rate is None or raw.channels is None:
        raise ZooError("raw audio needs both --raw.sample_rate and --raw.channels")
    return audio_io.RawFormat(raw.sample_rate, raw.channels, raw.encoding)


def report(line: str) -> None:
    """A line for the user; standard output may be carrying audio."""
    print(line, file=sys.stderr, flush=True)


def kbps(n_bytes: int, seconds: float) -> float:
    return n_bytes / 125 / seconds if seconds else 0.0
