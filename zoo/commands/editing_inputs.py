"""What the commands that edit read: audio files and pipes of every kind, and `.zac` files, which are decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo import coding
from zoo.audio import Reader, open_reader
from zoo.audio.places import no_folder
from zoo.bitstream.container import ContainerReader
from zoo.bitstream.layout import MAGIC
from zoo.commands.sources import find_codec
from zoo.editing.aligned import BLOCK_SAMPLES
from zoo.errors import BitstreamError, ZooError


class CodedReader:
    """The audio of a `.zac` file in order, as a `zoo.audio.Reader` gives it; a context manager."""

    seekable = True
    warning: str | None = None

    def __init__(self, path: str, ckpt: str | None) -> None:
        """Raises BitstreamError for a file that is damaged, ZooError where its codec cannot be found."""
        self.name, self._stream = path, Path(path).open("rb")  # noqa: SIM115
        try:
            self._packets = ContainerReader(self._stream)
            codec = find_codec(ckpt, self._packets.header.weights_hash)
            coding.expect(codec.engine, self._packets)
            self._engine = codec.engine
        except BitstreamError as error:
            self._stream.close()
            raise BitstreamError(f"{path}: {error}") from None
        except BaseException:
            self._stream.close()
            raise
        self.sample_rate, self.channels = self._packets.header.sample_rate, self._packets.header.channels
        self.n_samples = self._packets.n_samples
        self._begin()

    def _begin(self) -> None:
        self._blocks = coding.decode_blocks(self._engine, self._packets)
        self._waiting = np.zeros((0, self.channels), np.float32)
        self._position = 0

    def read(self, n: int) -> np.ndarray:
        """The next samples, float32 (m, C) with m <= n; m is 0 only at the end. Raises BitstreamError for damage."""
        try:
            while not len(self._waiting):
                block = next(self._blocks, None)
                if block is None:
                    break
                self._waiting = block
        except BitstreamError as error:
            raise BitstreamError(f"{self.name}: {error}") from None
        taken, self._waiting = self._waiting[:n], self._waiting[n:]
        if not len(taken) and not self._position:
            raise ZooError(f"{self.name}: holds no samples")
        self._position += len(taken)
        return taken

    def rewind(self) -> None:
        """Starts again at the first sample."""
        self._begin()

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> CodedReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Input = Reader | CodedReader


def open_input(path: str, ckpt: str | None) -> Input:
    """Opens an audio file, a pipe, or a `.zac` file, by what it holds; raises ZooError naming what cannot be read."""
    if path != "-" and no_folder(Path(path)) == "file" and is_coded(path):
        return CodedReader(path, ckpt)
    return open_reader(path)


def is_coded(path: str) -> bool:
    """Whether a file begins as a `.zac` file does."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # opening it says why


def check_apart(inputs: list[str], output: str) -> None:
    """Raises ZooError if an input is also what is to be written, by whatever name, or standard input is asked twice."""
    if inputs.count("-") > 1:
        raise ZooError("standard input can be only one of the inputs")
    place = Path(output)
    for path in inputs:
        same = path != "-" and output != "-" and place.is_file() and Path(path).exists() and place.samefile(path)
        if same:
            raise ZooError(f"{output}: is an input as well; give the result a name of its own")


def count_samples(reader: Input) -> int:
    """How many samples a file holds: it is read once, and then from its beginning again.

    What a header says may be wrong. Raises ZooError for a pipe.
    """
    if not reader.seekable:
        raise ZooError(f"{reader.name}: is a pipe, whose length is not known beforehand")
    n = 0
    while block := len(reader.read(BLOCK_SAMPLES)):
        n += block
    reader.rewind()
    return n
