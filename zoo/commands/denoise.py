"""`python -m zoo denoise`: a file or a pipe without its noise."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

from zoo.audio import check_format, check_output, open_reader, open_writer
from zoo.commands.clipping import Peak
from zoo.commands.editing_inputs import check_apart
from zoo.commands.encode import BLOCK_SAMPLES, until_interrupted
from zoo.commands.options import Denoise
from zoo.commands.sources import check_input, find_codec, raw_format
from zoo.console.command import progress
from zoo.console.terminal import report
from zoo.denoising import StreamDenoiser
from zoo.wording import speed


def denoise(options: Denoise) -> None:
    """Cleans one file or pipe; raises ZooError for input that cannot be used."""
    check_input(options.input)
    _, subtype = check_format(options.output, options.subtype)
    check_apart([options.input], options.output)
    check_output(options.output, force=options.force)
    codec = find_codec(options.ckpt, denoises=True)
    begin, peak = time.perf_counter(), Peak()
    with open_reader(options.input, raw=raw_format(options.raw), stream=options.stream) as reader:
        cleaner = StreamDenoiser(
            codec.engine,
            reader.sample_rate,
            reader.channels,
            mix=options.mix,
            eq=options.eq,
            chunk_s=options.chunk_s,
        )
        if not codec.denoises:
            print(f"warning: {codec.origin} was not trained to denoise: it gives noise back as well", file=sys.stderr)
        # what the header of a pipe promises may not come
        n_samples = reader.n_samples if reader.seekable else None
        with (
            open_writer(
                options.output,
                reader.sample_rate,
                reader.channels,
                n_samples=n_samples,
                subtype=options.subtype,
                force=options.force,
            ) as writer,
            progress(n_samples, "denoising") as advance,
            contextlib.nullcontext(threading.Event()) if reader.seekable else until_interrupted() as stop,
        ):
            while not stop.is_set() and len(block := reader.read(BLOCK_SAMPLES)):
                writer.write(peak.of(cleaner.push(block)))
                advance(len(block))
            writer.write(peak.of(cleaner.finish()))
        if reader.warning:
            print(f"warning: {reader.warning}", file=sys.stderr)
    peak.warn(writer.name, subtype)
    seconds = writer.n_samples / reader.sample_rate
    report(f"{reader.name} → {writer.name}: {seconds:.1f} s, {speed(seconds, time.perf_counter() - begin)}")
