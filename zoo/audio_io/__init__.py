"""Audio in and out block by block, at constant memory: files of any length, and pipes.

A path of "-" is standard input or output. Files are written under a temporary name and appear whole or not at all.
"""

from zoo.audio_io.inspect import FileInfo, inspect
from zoo.audio_io.output import check_output, open_output
from zoo.audio_io.reader import Reader, open_reader
from zoo.audio_io.wav import RawFormat
from zoo.audio_io.writer import Writer, check_format, open_writer

__all__ = [
    "FileInfo",
    "RawFormat",
    "Reader",
    "Writer",
    "check_format",
    "check_output",
    "inspect",
    "open_output",
    "open_reader",
    "open_writer",
]
