"""Audio block by block: every encoding against soundfile, pipes cut anywhere, files whole or not at all."""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.audio import RawFormat, open_reader, open_writer
from zoo.audio.decoders import wav
from zoo.errors import ZooError

SUBTYPES = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 0, "DOUBLE": 0}


def noise(n: int, channels: int = 2, *, seed: int = 0, level: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, channels)) * level).astype(np.float32)


def as_file(samples: np.ndarray, subtype: str = "PCM_16", container: str = "WAV", sample_rate: int = 44100) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, subtype=subtype, format=container)
    return buffer.getvalue()


def with_size(data: bytes, size: int) -> bytes:
    """A WAV file whose header promises `size` bytes of samples."""
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


class Drip(io.RawIOBase):
    """A pipe that hands over its bytes in pieces of given sizes, again and again."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes, self._i = data, sizes, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self._i += 1
        n = min(len(buffer), self._sizes[self._i % len(self._sizes)], len(self._data))
        buffer[:n], self._data = self._data[:n], self._data[n:]
        return n


def pipe_in(monkeypatch, data: bytes, sizes: list[int] | None = None) -> None:
    stream = io.BufferedReader(Drip(data, sizes or [65536]))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))


def pipe_out(monkeypatch) -> io.BytesIO:
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=stream))
    return stream


def read_all(reader, block: int = 1000) -> np.ndarray:
    blocks = [np.zeros((0, reader.channels), np.float32)]
    while len(samples := reader.read(block)):
        assert len(samples) <= block
        assert samples.dtype == np.float32
        blocks.append(samples)
    assert not len(reader.read(block))  # the end stays the end
    return np.concatenate(blocks)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_wav_is_read_as_soundfile_does_from_files_and_pipes(tmp_path, monkeypatch, subtype, container, channels):
    data = as_file(noise(777, channels), subtype, container)
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    pipe_in(monkeypatch, data)
    for name in (path, "-"):
        with open_reader(name) as reader:
            assert (reader.sample_rate, reader.channels, reader.n_samples) == (44100, channels, 777)
            np.testing.assert_array_equal(read_all(reader, 100), expected)
            assert reader.warning is None


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("flac", "PCM_24"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"), ("aiff", "PCM_16"), ("wav", "ULAW"),
     ("opus", "OPUS")],
)  # fmt: skip
def test_blocks_of_any_file_are_what_one_read_gives(tmp_path, suffix, subtype):
    path = tmp_path / f"a.{suffix}"
    container = {"opus": "OGG", "aiff": "AIFF"}.get(suffix)
    samples = np.sin(np.arange(60_000) / 20).astype(np.float32)[:, None] * [0.3, 0.1]
    with soundfile.SoundFile(path, "w", 48000, 2, subtype, format=container) as file:
        file.write(samples)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0]
    with open_reader(str(path)) as reader:
        assert reader.n_samples == 60_000
        assert reader.seekable
        content = read_all(reader, 777)
        np.testing.assert_allclose(content, expected, rtol=0, atol=2e-6 if suffix == "mp3" else 0)  # other decoders
        reader.rewind()
        np.testing.assert_array_equal(read_all(reader, 10_000), content)
        assert reader.warning is None


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 400),
    channels=st.integers(1, 3),
    subtype=st.sampled_from(list(SUBTYPES)),
    cuts=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    blocks=st.lists(st.integers(1, 200), min_size=1, max_size=6),
    raw=st.booleans(),
)
def test_a_pipe_may_be_cut_anywhere(n, channels, subtype, cuts, blocks, raw):
    data = as_file(noise(n, channels, seed=n), subtype)
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]
    raw_format = RawFormat(44100, channels, wav.SUBTYPES[subtype]) if raw else None
    if raw_format is not None:
        first = data.index(b"data") + 8
        data = data[first : first + n * raw_format.frame_bytes]
    with pytest.MonkeyPatch.context() as patch:
        pipe_in(patch, data, cuts)
        reader = open_reader("-", raw=raw_format)
        pieces = [reader.read(blocks[i % len(blocks)]) for i in range(n)]
        np.testing.assert_array_equal(np.concatenate(pieces)[:n], expected[: sum(map(len, pieces))])
        np.testing.assert_array_equal(np.concatenate([*pieces, read_all(reader)]), expected)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFDB, 0x7FFFFFDC, 0x7FFFF000, 0x80000000])
@pytest.mark.parametrize("pipe", [True, False])
def test_wav_of_unknown_length_is_read_to_its_end(tmp_path, monkeypatch, size, pipe):
    samples = noise(5000)
    data = with_size(as_file(samples), size)
    (tmp_path / "a.wav").write_bytes(data)
    pipe_in(monkeypatch, data)
    with open_reader("-" if pipe else tmp_path / "a.wav") as reader:
        assert reader.n_samples == (None if pipe else 5000)
        np.testing.assert_allclose(read_all(reader), samples.clip(-1, 1), atol=2**-15)
        assert reader.warning is None


def test_what_follows_the_samples_is_not_read_as_samples(monkeypatch):
    data = as_file(noise(10)) + b"LIST\x04\0\0\0abcd"
    pipe_in(monkeypatch, data)
    assert len(read_all(open_reader("-"))) == 10
    odd = as_file(noise(3, 1), "PCM_U8")  # chunks before the samples, one of odd length and one that is large
    start = odd.index(b"fmt ")
    junk = b"LIST\x03\0\0\0abc\0" + b"id3 " + struct.pack("<I", 200_001) + bytes(200_002)
    pipe_in(monkeypatch, odd[:start] + junk + odd[start:])
    assert len(read_all(open_reader("-"))) == 3


def test_less_than_was_promised_gives_what_is_there_and_a_warning(tmp_path, monkeypatch):
    data = as_file(noise(100))
    for cut, message in ((40, "ends after 90 samples, its header promises 100"), (2, "promises 100")):
        (tmp_path / "a.wav").write_bytes(data[:-cut])
        pipe_in(monkeypatch, data[:-cut])
        for name in ("-", tmp_path / "a.wav"):
            with open_reader(name) as reader:
                assert len(read_all(reader)) == (400 - cut) // 4
                assert message in reader.warning
    raw = RawFormat(8000, 2, "s24le")
    pipe_in(monkeypatch, bytes(6 * 50 + 5), [4])
    (tmp_path / "a.raw").write_bytes(bytes(6 * 50 + 5))
    for name in ("-", tmp_path / "a.raw"):
        with open_reader(name, raw=raw) as reader:
            assert len(read_all(reader)) == 50
            assert "last 5 bytes are dropped" in reader.warning


def test_a_named_pipe_and_standard_input_cannot_be_rewound(tmp_path, monkeypatch):
    samples = noise(3000)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    feeder = threading.Thread(target=lambda: path.write_bytes(as_file(samples, "FLOAT")))
    feeder.start()
    pipe_in(monkeypatch, as_file(samples, "FLOAT"))
    for name in (path, "-"):
        with open_reader(name) as reader:
            assert not reader.seekable
            np.testing.assert_array_equal(read_all(reader), samples)
            with pytest.raises(ZooError, match="is a pipe"):
                reader.rewind()
    feeder.join()


def test_what_is_no_number_is_named_with_its_time(tmp_path):
    samples = noise(9000)
    samples[6000, 1] = np.inf
    samples[7000, 0] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    with (
        open_reader(tmp_path / "a.wav") as reader,
        pytest.raises(ZooError, match=r"a\.wav: infinity at 0\.750000 s, ch"),
    ):
        read_all(reader, 1024)
    with (
        pytest.raises(ZooError, match=r"b\.wav: NaN at 0\.750000 s, channel 0"),
        open_writer(tmp_path / "b.wav", 8000, 2) as writer,
    ):
        list(map(writer.write, (samples[:3000], samples[1000:4000], samples[7000:])))
    assert not (tmp_path / "b.wav").exists()


def test_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    data = bytearray(as_file(noise(20_000), container="FLAC"))
    data[21] &= 0xF0  # the 36 bits that hold the number of samples
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    with open_reader(tmp_path / "a.flac") as reader:
        assert reader.n_samples == 20_000
        assert len(read_all(reader)) == 20_000


def test_an_mp3_that_is_not_as_long_as_it_says(tmp_path):
    quiet, loud = noise(200_000, level=1e-3), noise(20_000)
    path = tmp_path / "a.mp3"
    with soundfile.SoundFile(path, "w", 44100, 2, bitrate_mode="VARIABLE", compression_level=0.5) as file:
        file.write(np.concatenate([loud, quiet, loud, quiet]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with open_reader(path) as reader:
        assert 10_000 < len(read_all(reader)) < 400_000
        assert "its header promises 440000" in reader.warning
    second = whole.index(b"\xff\xfb", whole.index(b"Xing"))
    # without the header, libsndfile guesses the length from the first frame
    path.write_bytes(whole[second:] + whole[second:])
    n_frames = -(-(440_000 + 1105) // 1152)  # LAME's delay, rounded up to whole frames
    with open_reader(path) as reader:
        assert len(read_all(reader)) == 2 * n_frames * 1152
        assert reader.warning is None


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_that_shrinks_while_it_is_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(200_000), 44100)
    with open_reader(path) as reader:
        reader.read(1000)
        os.truncate(path, 200_000)
        with pytest.raises(ZooError, match=rf"^\S*a\.{suffix}: "):
            read_all(reader)
    path.unlink()
    with pytest.raises(ZooError, match="no such file"):
        open_reader(path)


def test_a_file_that_vanishes_before_the_second_pass(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(as_file(noise(10)))
    with open_reader(path) as reader:
        read_all(reader)
        path.unlink()
        with pytest.raises(ZooError, match=r"a\.wav: no such file"):
            reader.rewind()
        path.write_bytes(as_file(noise(11)))
        with pytest.raises(ZooError, match="has changed"):
            reader.rewind()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds nothing"),
        (b"hello, world", "no WAV stream"),
        (b"RIFF\0\0\0\0WAVE", "ends within"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "lacks the format"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7fabc", "ends within"),
        (b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0ab", "2 bytes"),
        (as_file(noise(10), "ULAW"), "format 0x7"),
        (as_file(noise(10), sample_rate=2_000_000_000), "2000000000 Hz"),
        (as_file(noise(0)), "holds no samples"),
        (as_file(noise(10))[:40], "ends within"),
    ],
)
def test_what_is_no_wav_stream(tmp_path, monkeypatch, data, message):
    pipe_in(monkeypatch, data)
    with pytest.raises(ZooError, match=f"^standard input: .*{message}"):
        open_reader("-").read(100)
    if message != "format 0x7":
        (tmp_path / "a.wav").write_bytes(data)
        with pytest.raises(ZooError, match=r"^\S*a\.wav: ") as error:
            open_reader(tmp_path / "a.wav").read(100)
        assert "\n" not in str(error.value)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=120), keep=st.integers(0, 60))
def test_random_headers_raise_only_zoo_errors(data, keep):
    with pytest.MonkeyPatch.context() as patch:
        pipe_in(patch, as_file(noise(1), "FLOAT")[:keep] + data, [7])
        try:
            assert np.isfinite(read_all(open_reader("-"))).all()
        except ZooError as error:
            assert str(error).startswith("standard input: ")  # noqa: PT017


def test_places_that_are_no_input(tmp_path):
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "none.wav", "no such file")):
        with pytest.raises(ZooError, match=message):
            open_reader(path)
    for bad in ({"encoding": "s12le"}, {"channels": 0}, {"sample_rate": 0}):
        with pytest.raises(ZooError, match="raw audio"):
            RawFormat(**{"sample_rate": 8000, "channels": 1, **bad})
