"""Small valid files of every format that the tests can write, and what must come out of them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soundfile

RATE = 44100
_NAMES = """
    pcm_u8.wav pcm_16.wav pcm_24.wav pcm_32.wav float.wav double.wav ulaw.wav alaw.wav ima_adpcm.wav
    ms_adpcm.wav wavex.wav rf64.rf64 w64.w64 aiff.aiff aiff.aifc au.au caf.caf nist.nist voc.voc flac.flac
    flac.24.flac gsm610.wav g721_32.au g723_24.au g723_40.au nms_adpcm_32.wav dpcm_16.xi alac.caf vorbis.ogg
    vorbis_8k.ogg flac.oga music.opus speech.opus chained.opus chained.ogg chained_rates.ogg no_rate.opus
    no_end.opus late.opus gain.opus late.ogg cbr.mp3 vbr.mp3 tags.mp3 zeros.mp3 low.mp3 half.mp3 cbr_no_tag.mp3
    vbr_no_tag.mp3 joined.mp3 joined_rates.mp3 layer2.mp2 mp3.wav aac.m4a aac.mp4 aac.mov aac.3gp aac.mka
    aac.aac aac.ts aac.flv alac_s16p.m4a alac_s32p.m4a alac_ffmpeg.caf flac.mka flac.mp4 pcm.mov opus.webm
    opus.mp4 mp3.mka wma1.wma wma2.wma ac3.ac3 eac3.mka wavpack.wv tta.tta pcm.avi size_0.wav size_all_ones.wav
    size_2g.wav list_behind.wav list_before.wav cut.wav unknown_length.flac tags.flac cut.flac cut.mp3
"""
NAMES = _NAMES.split()
"""Of all examples; written down, so that tests are collected without making them."""


@dataclass(frozen=True)
class Example:
    """A file's name, its bytes, the samples (T, C) it was made from, and how far those that come out may lie from them.

    `late` is by how many samples its format delays sound without saying so (below 0: how many it loses at the
    beginning), `more` how many it appends at the most; `warns`: a line tells that its header is wrong.
    """

    name: str
    data: bytes
    samples: np.ndarray
    sample_rate: int
    tolerance: float
    late: int = 0
    more: int = 0
    warns: bool = False


def music(seconds: float, sample_rate: int, channels: int = 1, *, seed: int = 0) -> np.ndarray:
    """Band-limited sound (T, C) that changes all the time: no two places are alike."""
    rng = np.random.default_rng(seed)
    n = round(seconds * sample_rate) + 123
    t = np.arange(n) / sample_rate
    out = np.zeros((n, channels))
    for c in range(channels):
        for k in range(6):
            frequency = 90 * 1.7**k * (1 + 0.05 * c)
            if frequency > 0.2 * sample_rate:
                break
            phase = 2 * np.pi * (frequency * t + 3 * np.sin(2 * np.pi * (0.31 + 0.07 * k) * t + c))
            out[:, c] += (
                np.sin(phase + rng.uniform(0, 6)) * (0.6 + 0.4 * np.sin(2 * np.pi * (0.9 + 0.4 * k) * t)) / (2 + k)
            )
    return (0.35 * out).astype(np.float32)


def by_soundfile(samples: np.ndarray, sample_rate: int, kind: str, subtype: str, **options: object) -> bytes:
    """A file written by libsndfile."""
    stream = io.BytesIO()
    with soundfile.SoundFile(
        stream, "w", sample_rate, samples.shape[1], subtype, format=kind, **options
    ) as file:  # libvorbis is not given minutes at once
        for first in range(0, len(samples), 1 << 15):
            file.write(samples[first : first + (1 << 15)])
    return stream.getvalue()


def by_ffmpeg(
    samples: np.ndarray,
    sample_rate: int,
    codec: str,
    container: str,
    *,
    sample_format: str = "fltp",
    kbps: int | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A file written by FFmpeg."""
    import av

    layout = "mono" if samples.shape[1] == 1 else "stereo"
    content = samples
    if sample_format.startswith("s16"):
        content = np.round(samples * 32767).astype(np.int16)
    elif sample_format.startswith("s32"):
        content = np.round(samples * (2**31 - 2**8)).astype(np.int32)
    content = content.T if sample_format.endswith("p") else content.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(content), format=sample_format, layout=layout)
    frame.sample_rate, frame.pts = sample_rate, 0
    stream = io.BytesIO()
    with av.open(stream, "w", format=container, options=muxer or {}) as out:
        out.metadata.update(metadata or {})
        track = out.add_stream(codec, rate=sample_rate, options=options or {})
        context = track.codec_context
        context.layout, context.format = layout, sample_format
        if kbps:
            context.bit_rate = kbps * 1000
        for piece in (frame, None):
            for packet in track.encode(piece):
                out.mux(packet)
    return stream.getvalue()


def ogg_pages(data: bytes) -> list[bytearray]:
    """The pages of an Ogg file."""
    pages, at = [], 0
    while at < len(data):
        n = data[at + 26]
        size = 27 + n + sum(data[at + 27 : at + 27 + n])
        pages.append(bytearray(data[at : at + size]))
        at += size
    return pages


def edited_ogg(data: bytes, edit: Callable[[int, bytearray, bool], None], *, drop_last: int = 0) -> bytes:
    """An Ogg file whose pages were changed by edit(number, page, is_last), with right checksums."""
    pages = ogg_pages(data)
    pages = pages[: len(pages) - drop_last]
    for i, page in enumerate(pages):
        edit(i, page, i == len(pages) - 1)
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", _ogg_crc(page))
    return b"".join(pages)


def _ogg_crc(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if value & 0x80000000 else value << 1
    return value


def with_serial(data: bytes, serial: int) -> bytes:
    """An Ogg file whose stream has another number, as the links of a chain must."""
    return edited_ogg(data, lambda _, page, __: struct.pack_into("<I", page, 14, serial))


def without_tag(data: bytes) -> bytes:
    """An MP3 file without the frame in which LAME says how long it is."""
    from zoo.audio.decoders import mpeg

    start = mpeg.first_frame(data)
    assert start is not None
    frame = mpeg.parse(data, start)
    assert frame is not None
    return data[start + frame.size :] if mpeg.parse_tag(data, start, frame) else data[start:]


def wav(
    samples: np.ndarray, sample_rate: int, *, size: int | None = None, behind: bytes = b"", before: bytes = b""
) -> bytes:
    """16-bit WAV with a data size of its own, and chunks before and behind."""
    body = np.round(samples * 32767).astype("<i2").tobytes()
    channels = samples.shape[1]
    fmt = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * 2 * channels, 2 * channels, 16)
    size = len(body) if size is None else size
    content = (
        b"WAVE" + before + b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size) + body + behind
    )
    return b"RIFF" + struct.pack("<I", len(content) & 0xFFFFFFFF) + content


def examples() -> list[Example]:
    """One of each."""
    found: list[Example] = []

    def add(name: str, data: bytes, samples: np.ndarray, rate: int, tolerance: float, **more: object) -> None:
        found.append(Example(name, data, samples, rate, tolerance, **more))  # type: ignore[arg-type]

    stereo = music(4, RATE, 2, seed=1)
    speech, low = music(5, 16000, seed=2), music(5, 8000, seed=3)
    full = music(5, 48000, 2, seed=4)
    # ---- by libsndfile
    subtypes = {"PCM_U8": 8e-3, "PCM_16": 4e-5, "PCM_24": 1e-6, "PCM_32": 1e-6, "FLOAT": 0.0, "DOUBLE": 0.0,
                "ULAW": 0.03, "ALAW": 0.03, "IMA_ADPCM": 0.1, "MS_ADPCM": 0.1}  # fmt: skip
    for subtype, tolerance in subtypes.items():
        more = 4096 if "ADPCM" in subtype else 0
        add(f"{subtype.lower()}.wav", by_soundfile(stereo, RATE, "WAV", subtype), stereo, RATE, tolerance, more=more)
    for kind, subtype, suffix in (("WAVEX", "PCM_24", "wav"), ("RF64", "PCM_16", "rf64"), ("W64", "PCM_16", "w64"),
                                  ("AIFF", "PCM_24", "aiff"), ("AIFF", "FLOAT", "aifc"), ("AU", "PCM_16", "au"),
                                  ("CAF", "PCM_24", "caf"), ("NIST", "PCM_16", "nist"), ("VOC", "PCM_16", "voc"),
                                  ("FLAC", "PCM_16", "flac"), ("FLAC", "PCM_24", "24.flac")):  # fmt: skip
        add(f"{kind.lower()}.{suffix}", by_soundfile(stereo, RATE, kind, subtype), stereo, RATE, 4e-5)
    for kind, subtype, suffix in (("WAV", "GSM610", "wav"), ("AU", "G721_32", "au"), ("AU", "G723_24", "au"),
                                  ("AU", "G723_40", "au"), ("WAV", "NMS_ADPCM_32", "wav"),
                                  ("XI", "DPCM_16", "xi")):  # fmt: skip
        rate = 44100 if kind == "XI" else 8000
        add(f"{subtype.lower()}.{suffix}", by_soundfile(low, rate, kind, subtype), low, rate, 0.35, more=4096)
    add("alac.caf", by_soundfile(stereo, RATE, "CAF", "ALAC_16"), stereo, RATE, 4e-5)
    add("vorbis.ogg", by_soundfile(stereo, RATE, "OGG", "VORBIS", compression_level=0.2), stereo, RATE, 0.12)
    add("vorbis_8k.ogg", by_soundfile(low, 8000, "OGG", "VORBIS"), low, 8000, 0.2)
    add("flac.oga", by_ffmpeg(stereo, RATE, "flac", "ogg", sample_format="s16"), stereo, RATE, 4e-5)
    opus = by_soundfile(full, 48000, "OGG", "OPUS", compression_level=0.4)
    add("music.opus", opus, full, 48000, 0.12)
    low_opus = by_ffmpeg(speech, 16000, "libopus", "ogg", sample_format="flt", kbps=14)
    speech48 = _at_48(speech, 16000)
    add("speech.opus", low_opus, speech48, 48000, 0.3, more=300)
    # ---- Ogg that libsndfile alone does not read
    two = with_serial(by_soundfile(music(2, 48000, 2, seed=5), 48000, "OGG", "OPUS", compression_level=0.4), 7)
    add("chained.opus", opus + two, np.concatenate([full, music(2, 48000, 2, seed=5)]), 48000, 0.12, warns=True)
    vorbis = by_soundfile(stereo, RATE, "OGG", "VORBIS", compression_level=0.2)
    add("chained.ogg", vorbis + with_serial(vorbis, 8), np.concatenate([stereo, stereo]), RATE, 0.12, warns=True)
    other = by_soundfile(music(2, 22050, seed=6), 22050, "OGG", "VORBIS", compression_level=0.2)
    add("chained_rates.ogg", vorbis + with_serial(other, 9), stereo, RATE, 0.12, more=3 * RATE, warns=True)

    def no_rate(i: int, page: bytearray, _: bool) -> None:
        if i == 0:
            struct.pack_into("<I", page, 28 + 12, 0)

    def no_end(_: int, page: bytearray, __: bool) -> None:
        page[5] &= ~4

    def late(i: int, page: bytearray, _: bool) -> None:
        if i > 1:
            struct.pack_into("<q", page, 6, struct.unpack_from("<q", page, 6)[0] + 48000 * 3600)

    def louder(i: int, page: bytearray, _: bool) -> None:
        if i == 0:
            struct.pack_into("<h", page, 28 + 16, round(-6.0206 * 256))

    add("no_rate.opus", edited_ogg(opus, no_rate), full, 48000, 0.12)
    add("no_end.opus", edited_ogg(opus, no_end), full, 48000, 0.12, more=1000)
    add("late.opus", edited_ogg(opus, late), full, 48000, 0.12)
    add("gain.opus", edited_ogg(opus, louder), full / 2, 48000, 0.06)
    add("late.ogg", edited_ogg(vorbis, late), stereo, RATE, 0.12)
    # ---- MPEG audio
    mp3 = by_soundfile(stereo, RATE, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=0.5)
    vbr = by_soundfile(stereo, RATE, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.2)
    lsf = by_soundfile(low, 8000, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=0.0)
    half = by_soundfile(music(4, 22050, seed=7), 22050, "MP3", "MPEG_LAYER_III", compression_level=0.5)
    id3v2, id3v1 = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256), b"TAG" + b"x" * 125
    ape = b"APETAGEX" + struct.pack("<IIIQ", 2000, 32, 1, 0)
    ape += b"\0" * 32 + ape
    delay = 1105
    add("cbr.mp3", mp3, stereo, RATE, 0.12)
    add("vbr.mp3", vbr, stereo, RATE, 0.12)
    add("tags.mp3", id3v2 + vbr + id3v1, stereo, RATE, 0.12)
    add("zeros.mp3", bytes(5000) + vbr, stereo, RATE, 0.12)
    add("low.mp3", lsf, low, 8000, 0.3, late=0 if b"LAME" in lsf else delay, more=2000)
    add("half.mp3", half, music(4, 22050, seed=7), 22050, 0.12)
    for name, data in (("cbr", mp3), ("vbr", vbr)):
        add(f"{name}_no_tag.mp3", without_tag(data), stereo, RATE, 0.12, late=delay, more=2304)
    add("joined.mp3", vbr + id3v2 + mp3, np.concatenate([stereo, stereo]), RATE, 0.12, warns=True)
    add("joined_rates.mp3", vbr + half, stereo, RATE, 0.12, more=5 * RATE, warns=True)
    add(
        "layer2.mp2",
        by_ffmpeg(stereo, RATE, "mp2", "mp2", sample_format="s16", kbps=192),
        stereo,
        RATE,
        0.12,
        late=481,
        more=1700,
    )
    add("mp3.wav", by_ffmpeg(stereo, RATE, "libmp3lame", "wav", kbps=128), stereo, RATE, 0.12, late=delay, more=2304)
    # ---- containers
    for container, suffix in (("ipod", "m4a"), ("mp4", "mp4"), ("mov", "mov"), ("3gp", "3gp")):
        add(f"aac.{suffix}", by_ffmpeg(stereo, RATE, "aac", container, kbps=128), stereo, RATE, 0.2)
    for container, suffix, late_by in (("matroska", "mka", 0), ("adts", "aac", 1024), ("mpegts", "ts", 1024),
                                       ("flv", "flv", 1024)):  # fmt: skip
        data = by_ffmpeg(stereo, RATE, "aac", container, kbps=128)
        add(f"aac.{suffix}", data, stereo, RATE, 0.2, late=late_by, more=1024)
    for bits in ("s16p", "s32p"):
        add(f"alac_{bits}.m4a", by_ffmpeg(stereo, RATE, "alac", "ipod", sample_format=bits), stereo, RATE, 4e-5)
    add("alac_ffmpeg.caf", by_ffmpeg(stereo, RATE, "alac", "caf", sample_format="s16p"), stereo, RATE, 4e-5)
    add("flac.mka", by_ffmpeg(stereo, RATE, "flac", "matroska", sample_format="s16"), stereo, RATE, 4e-5)
    add("flac.mp4", by_ffmpeg(stereo, RATE, "flac", "mp4", sample_format="s16"), stereo, RATE, 4e-5)
    add("pcm.mov", by_ffmpeg(stereo, RATE, "pcm_s16le", "mov", sample_format="s16"), stereo, RATE, 4e-5)
    add(
        "opus.webm",
        by_ffmpeg(full, 48000, "libopus", "webm", sample_format="flt", kbps=96),
        full,
        48000,
        0.12,
        more=960,
    )
    add("opus.mp4", by_ffmpeg(full, 48000, "libopus", "mp4", sample_format="flt", kbps=96), full, 48000, 0.12, more=960)
    add("mp3.mka", by_ffmpeg(stereo, RATE, "libmp3lame", "matroska", kbps=128), stereo, RATE, 0.12, more=1152)
    # FFmpeg takes two frames for what the encoder put before the sound; its own puts one, and loses the last one, too
    for version in (1, 2):
        data = by_ffmpeg(stereo, RATE, f"wmav{version}", "asf", kbps=128)
        whole = stereo[: len(stereo) // 2048 * 2048 + 2048]
        add(f"wma{version}.wma", data, whole, RATE, 0.2, late=-2048, more=2048)
    # its encoder of AC-3 loses the last, incomplete frame
    frames = stereo[: 114 * 1536 - 256]
    add("ac3.ac3", by_ffmpeg(frames, RATE, "ac3", "ac3", kbps=192), frames, RATE, 0.12, late=256)
    add("eac3.mka", by_ffmpeg(frames, RATE, "eac3", "matroska", kbps=192), frames, RATE, 0.12)
    add("wavpack.wv", by_ffmpeg(stereo, RATE, "wavpack", "wv", sample_format="s16p"), stereo, RATE, 4e-5)
    add("tta.tta", by_ffmpeg(stereo, RATE, "tta", "tta", sample_format="s16"), stereo, RATE, 4e-5)
    add("pcm.avi", by_ffmpeg(stereo, RATE, "pcm_s16le", "avi", sample_format="s16"), stereo, RATE, 4e-5)
    # ---- WAV headers that are wrong
    n_bytes = stereo.size * 2
    info = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"some writer 1\0"
    add("size_0.wav", wav(stereo, RATE, size=0), stereo, RATE, 4e-5)
    add("size_all_ones.wav", wav(stereo, RATE, size=0xFFFFFFFF), stereo, RATE, 4e-5)
    add("size_2g.wav", wav(stereo, RATE, size=0x7FFFFFFF - 36), stereo, RATE, 4e-5)
    add("list_behind.wav", wav(stereo, RATE, behind=info), stereo, RATE, 4e-5)
    add("list_before.wav", wav(stereo, RATE, before=info), stereo, RATE, 4e-5)
    add("cut.wav", wav(stereo, RATE)[: 44 + n_bytes // 2], stereo[: len(stereo) // 2], RATE, 4e-5, warns=True)
    # ---- FLAC headers that are wrong
    flac = by_soundfile(stereo, RATE, "FLAC", "PCM_16")
    unknown = bytearray(flac)
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    add("unknown_length.flac", bytes(unknown), stereo, RATE, 4e-5)
    add("tags.flac", id3v2 + flac + id3v1, stereo, RATE, 4e-5)
    n = len(stereo) // 2 // 4096 * 4096
    cut = by_soundfile(stereo[: n + 4096], RATE, "FLAC", "PCM_16")
    head = bytearray(cut)
    head[22:26] = len(stereo).to_bytes(4)
    add("cut.flac", bytes(head[:-100]), stereo[:n], RATE, 4e-5, warns=True)
    cut_mp3 = vbr[: len(vbr) // 4]
    add("cut.mp3", cut_mp3, stereo[: len(stereo) // 8], RATE, 0.12, more=len(stereo), warns=True)
    return found


def _at_48(samples: np.ndarray, rate: int) -> np.ndarray:
    import soxr

    resampled: np.ndarray = soxr.resample(samples, rate, 48000, quality="HQ")
    return resampled.astype(np.float32)
