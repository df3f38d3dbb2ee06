"""What all commands that edit have in common: what is read, brought to one format, edited, and written."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from zoo.audio import check_format, check_output, open_writer
from zoo.audio.places import no_folder
from zoo.commands.clipping import Peak
from zoo.commands.editing_inputs import Input, check_apart, open_input
from zoo.commands.editing_options import Edit, Eq, Gain, Pitch, Stretch
from zoo.commands.encode import until_interrupted
from zoo.commands.sources import find_codec
from zoo.console.command import progress
from zoo.console.terminal import report
from zoo.editing.aligned import BLOCK_SAMPLES
from zoo.editing.through import LatentEditor
from zoo.ready import ReadyCodec
from zoo.wording import speed


@dataclass(frozen=True, eq=False)
class Setting:
    """What an edit has to do with: the open inputs, the format of the result, and the codec of latent edits."""

    readers: Sequence[Input]
    sample_rate: int
    """Hz, the highest of the inputs'"""
    channels: int
    """the most of the inputs'"""
    codec: ReadyCodec | None
    """None for an edit of waveforms"""


class Process(Protocol):
    """Blocks to blocks; what is still to come at the end, if anything, is given by `finish`."""

    def push(self, block: Any) -> np.ndarray: ...
    def finish(self) -> np.ndarray | None: ...


class Plain:
    """A function of blocks, each by itself."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self._function = function

    def push(self, block: np.ndarray) -> np.ndarray:
        return self._function(block)

    def finish(self) -> None:
        return None


def edit(options: Edit, inputs: list[str], output: str, work: Callable[[Setting], Iterator[np.ndarray]]) -> None:
    """Writes the blocks that `work` gives; raises ZooError, and leaves nothing behind, for what cannot be used."""
    for path in inputs:
        if path != "-":
            no_folder(path)
    _, subtype = check_format(output, options.subtype)
    check_apart(inputs, output)
    check_output(output, force=options.force)
    codec = find_codec(options.ckpt) if options.domain == "latent" else None
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        readers: list[Input] = []
        for path in inputs:
            readers.append(reader := open_input(path, options.ckpt))
            stack.callback(reader.close)
        rate, channels = max(r.sample_rate for r in readers), max(r.channels for r in readers)
        writer = stack.enter_context(open_writer(output, rate, channels, subtype=options.subtype, force=options.force))
        advance = stack.enter_context(progress(None, type(options).__name__.lower()))
        peak = Peak()
        for block in work(Setting(readers, rate, channels, codec)):
            writer.write(peak.of(block))
            advance(len(block))
    for reader in readers:
        if (reader.sample_rate, reader.channels) != (rate, channels):
            report(f"{reader.name}: {_format(reader.sample_rate, reader.channels)} → {_format(rate, channels)}")
        if reader.warning:
            print(f"warning: {reader.warning}", file=sys.stderr)
    peak.warn(writer.name, subtype)
    seconds = writer.n_samples / rate
    names = " + ".join(reader.name for reader in readers)
    report(f"{names} → {writer.name}: {seconds:.1f} s, {speed(seconds, time.perf_counter() - begin)}")


def edit_one(
    options: Stretch | Pitch | Eq | Gain,
    waveform: Callable[[int, int], Process],
    latent: Callable[[ReadyCodec, int, int], LatentEditor],
) -> None:
    """`edit` of one file or pipe by a process that is made for a sample rate and channels, and for latents a codec."""

    def work(setting: Setting) -> Iterator[np.ndarray]:
        (reader,), rate, channels = setting.readers, setting.sample_rate, setting.channels
        # Ctrl-C ends a recording rather than throw it away
        with contextlib.nullcontext(threading.Event()) if reader.seekable else until_interrupted() as stop:
            blocks = _read(reader, stop)
            if setting.codec is None:
                yield from pushed(waveform(rate, channels), blocks)
            else:
                yield from pushed(latent(setting.codec, rate, channels), ([block] for block in blocks))

    edit(options, [options.input], options.output, work)


def pushed(process: Process | LatentEditor, blocks: Iterable[Any]) -> Iterator[np.ndarray]:
    """All that a process makes of blocks."""
    for block in blocks:
        yield process.push(block)
    if (rest := process.finish()) is not None:
        yield rest


def _read(reader: Input, stop: threading.Event) -> Iterator[np.ndarray]:
    while not stop.is_set() and len(block := reader.read(BLOCK_SAMPLES)):
        yield np.asarray(block)


def _format(rate: int, channels: int) -> str:
    return f"{rate} Hz, {channels} channel{'s' * (channels > 1)}"
