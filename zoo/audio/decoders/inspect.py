"""What an audio file is, how long it really is, and which engine reads it: the contents decide, not the name.

docs/formats.md has the table with reasons and versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.arguments import as_path
from zoo.audio.decoders import container, ffmpeg, flac, joined, library, mpeg_source, ogg, pcm, promised
from zoo.audio.decoders.formats import INSTALL
from zoo.audio.decoders.library import LibraryPart
from zoo.audio.decoders.source import Part, Source
from zoo.audio.decoders.wav import RawFormat
from zoo.audio.loudspeakers import Layout
from zoo.audio.output import describe
from zoo.audio.places import no_folder
from zoo.bitstream.layout import MAGIC, MAX_SAMPLE_RATE
from zoo.errors import ZooError
from zoo.wording import counted

_UNKNOWN = 1 << 40  # libsndfile's number of samples where it knows none is beyond
_LONGEST_BLOCK = 1 << 14  # samples of ADPCM and the like
_UNUSED_BYTES = 1 << 12  # behind the samples, that no one misses
PLAUSIBLE_HZ = (1000, 1_000_000)
"""Sample rates between which sound is recorded."""

# of libsndfile's subtypes, those whose decoders it cannot make begin anywhere
_SEQUENTIAL = ("GSM610", "G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "DPCM_8",
               "DPCM_16", "DWVW_12", "DWVW_16", "DWVW_24", "DWVW_N", "VOX_ADPCM")  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a file holds: rate in Hz, channels, and how many samples come out (None only where that was not asked)."""

    path: Path
    sample_rate: int
    channels: int
    n_samples: int | None
    engine: str
    """what decodes it: "PCM", "libsndfile" or "FFmpeg" """
    format: str
    header_samples: int | None
    """how many samples its header promises, at `sample_rate`; None where it does not say"""
    warning: str | None
    """a line that names the file: what is missing or left out, or how it was put right"""
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        """Duration by the samples that come out."""
        return (self.n_samples or 0) / self.sample_rate

    @property
    def sequential(self) -> bool:
        """Whether reading from the middle has to decode all that is before."""
        return any(part.sequential for part in self.parts)

    @property
    def layout(self) -> Layout:
        """The loudspeakers of the channels, in their order; empty where none are meant."""
        return self.parts[0].layout

    def open(self) -> Source:
        """The samples; raises ZooError if the file cannot be opened, or has changed."""
        return self.parts[0].open(self.path) if len(self.parts) == 1 else joined.JoinedSource(self.path, self.parts)


def inspect(
    path: str | Path, *, count: bool = True, stream: int | None = None, raw: RawFormat | None = None
) -> FileInfo:
    """Finds out what a file is; its length is found by what decodes, whatever the header says.

    With `count` false, that is left open where the whole file would have to be decoded. `stream` chooses among the
    audio streams of a container (from 0), `raw` says that there is no header. Raises ZooError, naming the file, if it
    is missing, no file, holds no samples or no such stream, is not audio, or needs decoders that are not installed.
    """
    path = Path(as_path(path))
    if no_folder(path) != "file":
        raise ZooError(f"{path}: is a pipe, not a file")
    if stream is not None and stream < 0:
        raise ZooError(f"{path}: audio streams are numbered from 0, there is no number {stream}")
    try:
        info = _inspect(path, count, stream, raw)
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({describe(error)})") from error
    if info.n_samples == 0 or not info.parts:
        raise ZooError(f"{path}: holds no samples")
    if info.sample_rate > MAX_SAMPLE_RATE:
        raise ZooError(f"{path}: says that it has {info.sample_rate} Hz; at most {MAX_SAMPLE_RATE} are taken")
    return info


def _inspect(path: Path, count: bool, stream: int | None, raw: RawFormat | None) -> FileInfo:
    with path.open("rb") as file:
        head = file.read(1024)
    if raw is not None:
        return _pcm(path, pcm.inspect_raw(path, raw))
    if not head:
        raise ZooError(f"{path}: holds no samples")
    if head.startswith(MAGIC):
        raise ZooError(f"{path}: is a .zac file, which python -m zoo decode makes audio of")
    if not stream:
        for find in (_wav, _flac, _ogg, _mpeg):
            if info := find(path, head):
                return info
        if not _is_container(head):
            try:
                return _library(path)
            except ZooError as error:
                if not ffmpeg.is_installed():
                    raise ZooError(f"{error}; more formats are read with {INSTALL}") from error
    return _container(path, stream=stream or 0, count=count)


def _info(
    path: Path, parts: Sequence[Part], engine: str, kind: str, header: int | None, warning: str | None
) -> FileInfo:
    if not parts:
        raise ZooError(f"{path}: holds no samples")
    first = parts[0]
    n = joined.length(parts)
    if not PLAUSIBLE_HZ[0] <= first.sample_rate <= PLAUSIBLE_HZ[1]:
        warning = f"{path}: its header says {first.sample_rate} Hz, at which no sound is recorded"
    return FileInfo(
        path,
        first.sample_rate,
        channels=first.channels,
        n_samples=n,
        engine=engine,
        format=kind,
        header_samples=header,
        warning=warning,
        parts=tuple(parts),
    )


def _pcm(path: Path, found: pcm.Wav, kind: str = "raw") -> FileInfo:
    return _info(
        path,
        (found.part,),
        engine="PCM",
        kind=f"{kind}, {found.part.encoding}",
        header=found.header_samples,
        warning=found.warning,
    )


def _wav(path: Path, head: bytes) -> FileInfo | None:
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return None
    try:
        return _pcm(path, pcm.inspect_wav(path), "WAV")
    except ZooError as error:  # samples that are coded, for which there are others
        for find in (_library, _container) if ffmpeg.is_installed() else (_library,):
            try:
                return find(path)
            except ZooError:
                continue
        hint = "" if ffmpeg.is_installed() else f"; more kinds are read with {INSTALL}"
        raise ZooError(f"{error}{hint}") from None


def _flac(path: Path, head: bytes) -> FileInfo | None:
    if head[:3] != b"ID3" and head[:4] != b"fLaC":
        return None
    try:
        found = flac.inspect(path)
    except ZooError:
        if not ffmpeg.is_installed():
            raise
        return _container(path)  # 32 bits, or something long behind the last frame
    if found is None:
        return None
    return _info(
        path, (found.part,), engine="libsndfile", kind="FLAC", header=found.header_samples, warning=found.warning
    )


def _ogg(path: Path, head: bytes) -> FileInfo | None:
    if head[:4] != b"OggS":
        return None
    found = ogg.inspect(path)
    if found.codec is None:
        return _container(path)
    engine = "libsndfile" if all(isinstance(part, LibraryPart) for part in found.parts) else "FFmpeg"
    info = _info(path, found.parts, engine=engine, kind=f"Ogg, {found.codec}", header=None, warning=found.warning)
    if len(found.parts) > 1:
        seconds = " + ".join(f"{(part.n_samples or 0) / part.sample_rate:.2f}" for part in found.parts[:4])
        more = " + …" if len(found.parts) > 4 else ""
        said = f"{path}: holds {len(found.parts)} streams in a chain, {seconds}{more} s; all are read"
        if len({(part.sample_rate, part.channels) for part in found.parts}) > 1:
            said += f", converted to {info.sample_rate} Hz with {counted(info.channels, 'channel')}"
        info = replace(info, warning=said)
    return info


def _mpeg(path: Path, head: bytes) -> FileInfo | None:
    if _is_container(head) or not (
        head[:3] == b"ID3" or head[0] == 0xFF or path.suffix.lower() in mpeg_source.SUFFIXES or not any(head)
    ):
        return None
    found = mpeg_source.inspect(path)
    if found is None:
        # frames of free format, whose size no header tells
        return _free_format(path) if path.suffix.lower() in mpeg_source.SUFFIXES else None
    engine = "libsndfile" if isinstance(found.parts[0], LibraryPart) else "FFmpeg"
    name = "MP3" if found.layer == 3 else f"MPEG Layer {found.layer}"
    return _info(path, found.parts, engine=engine, kind=name, header=found.header_samples, warning=found.warning)


def _free_format(path: Path) -> FileInfo | None:
    """MPEG audio that libsndfile alone reads, and only from the beginning: its length is counted."""
    try:
        with library.opened(path) as file:
            if not file.subtype.startswith("MPEG"):
                return None
            sample_rate, channels = file.samplerate, file.channels
    except ZooError:
        return None
    n = library.count(path)
    warning = f"{path}: is of free format, and read as far as libsndfile does: {n} samples"
    part = LibraryPart(sample_rate, channels, n, preroll=None)
    return _info(path, (part,), engine="libsndfile", kind="MP3, free format", header=None, warning=warning)


def _library(path: Path) -> FileInfo:
    """Whatever else libsndfile opens."""
    with library.opened(path) as file:
        n, subtype, kind = file.frames, file.subtype, file.format
        sample_rate, channels = file.samplerate, file.channels
        preroll = None if subtype in _SEQUENTIAL else 0
    # it guesses the length of MPEG audio, and decodes ALAC of 32 bits wrongly
    if subtype.startswith("MPEG") or (subtype.startswith("ALAC") and ffmpeg.is_installed()):
        return _container(path)
    if n < 1:
        raise ZooError(f"{path}: holds no samples")
    header = n if n < _UNKNOWN else None
    counted = n if preroll == 0 and header and library.ends_at(path, (), n) else library.count(path)
    warning = None
    if header and (found := promised.extent(path)):
        # libsndfile has made one of the two of what is there
        if found.is_cut:
            header = found.samples(n)
        elif 0 < counted - (found.n_samples or counted) < _LONGEST_BLOCK:
            header = counted = found.samples(n)  # without what fills up the last block
        elif kind == "AU" and found.present - found.promised > _UNUSED_BYTES:
            there = round(n * found.present / found.promised)
            warning = f"{path}: holds {there} samples by its size, its header promises {n}, which are read"
    if header not in (None, counted):
        warning = f"{path}: holds {counted} samples, its header promises {header}"
    part = LibraryPart(sample_rate, channels, counted, preroll=preroll)
    return _info(path, (part,), engine="libsndfile", kind=f"{kind}, {subtype}", header=header, warning=warning)


def _container(path: Path, *, stream: int = 0, count: bool = True) -> FileInfo:
    found = container.inspect(path, stream=stream, count=count)
    part, header = found.part, found.header_samples
    warning = container.length_warning(path, part.n_samples, header, part.sample_rate) if part.n_samples else None
    if found.format.endswith(", speex"):
        warning = f"{path}: is Speex, which FFmpeg decodes later than libspeex, wide bands more softly, too"
    return _info(path, (part,), engine="FFmpeg", kind=found.format, header=header, warning=warning)


def _is_container(head: bytes) -> bool:
    """Whether a file begins as one does that libsndfile cannot read, however much it looks like another."""
    magic: tuple[tuple[int, bytes], ...] = (
        (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (0, b"\x1aE\xdf\xa3"), (0, b"0&\xb2u\x8ef\xcf\x11"),
        (0, b"FLV"), (0, b"wvpk"), (0, b"TTA1"), (0, b"MAC "), (0, b"MPCK"), (0, b"MP+"), (0, b"#!AMR"), (0, b"\x0bw"),
        (0, b"\x7f\xfe\x80\x01"), (0, b"\x00\x00\x01\xba"), (0, b"tBaK"), (0, b".RMF"), (0, b"DSD "), (0, b"FRM8"),
    )  # fmt: skip
    is_adts = head[0] == 0xFF and len(head) > 1 and head[1] & 0xF6 == 0xF0
    is_riff = head[:4] == b"RIFF" and head[8:12] != b"WAVE"
    # packets of an MPEG transport stream, with a time before each or without
    is_stream = any(len(head) > at + 376 and head[at] == head[at + size] == 0x47 for at, size in ((0, 188), (4, 192)))
    return is_adts or is_riff or is_stream or any(head[at : at + len(word)] == word for at, word in magic)
