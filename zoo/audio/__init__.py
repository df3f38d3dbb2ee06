"""Audio files, pipes and arrays: whole, in parts, and block by block at constant memory.

Audio is float32 (T, C), T samples of C channels, nominally in [-1, 1]; a float file that goes beyond is kept as it is.
A path of "-" is standard input or output of `open_reader`, `open_writer` and `open_output`. Files are written under a
temporary name and appear whole or not at all. Decoders and soxr are imported only when a file is touched or a rate
changed.
"""

from zoo.audio.decoders.formats import FORMATS, INTEGER_BITS, SUFFIXES, WRITE_BLOCK, blame
from zoo.audio.decoders.inspect import FileInfo, inspect
from zoo.audio.decoders.wav import RawFormat
from zoo.audio.files import Audio, find_files, probe, read, read_crop, write
from zoo.audio.output import check_output, open_output
from zoo.audio.reader import Reader, open_reader
from zoo.audio.samples import Aligned, align, mix_channels, quantise, resample, validate
from zoo.audio.writer import Writer, check_format, open_writer

__all__ = [
    "FORMATS",
    "INTEGER_BITS",
    "SUFFIXES",
    "WRITE_BLOCK",
    "Aligned",
    "Audio",
    "FileInfo",
    "RawFormat",
    "Reader",
    "Writer",
    "align",
    "blame",
    "check_format",
    "check_output",
    "find_files",
    "inspect",
    "mix_channels",
    "open_output",
    "open_reader",
    "open_writer",
    "probe",
    "quantise",
    "read",
    "read_crop",
    "resample",
    "validate",
    "write",
]
