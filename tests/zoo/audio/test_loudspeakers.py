"""Channels and their loudspeakers: what a file says, and what is made of more than two."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.audio_files import noise, write
from zoo import audio
from zoo.audio.decoders import wav
from zoo.audio.decoders.wav import RawFormat
from zoo.audio.loudspeakers import NAMES, layout_of, mask_of, take

FIVE_ONE = ("FL", "FR", "FC", "LFE", "BL", "BR")


def extensible(samples: np.ndarray, mask: int) -> bytes:
    """A WAV file of 16 bits with a mask of loudspeakers."""
    channels = samples.shape[1]
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, channels, 8000, 16000 * channels, 2 * channels, 16, 22, 16, mask) + guid
    data = wav.encode(samples, "s16le")
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def test_five_one_is_mixed_as_the_recommendation_says():
    """ITU-R BS.775: L + 0.7071 C + 0.7071 Ls, and so on the right; 0.7071 (L + R) + C + 0.5 (Ls + Rs)."""
    left, right, centre, low, back_left, back_right = samples = noise(50, 6).T.astype(np.float64)
    half = 0.5**0.5
    sides = [left + half * centre + half * back_left, right + half * centre + half * back_right]
    found = take(samples.T.astype(np.float32), 2, layout=FIVE_ONE)
    np.testing.assert_allclose(found, np.array(sides).T / (1 + 2 * half), atol=1e-6)
    mono = half * (left + right) + centre + 0.5 * (back_left + back_right)
    np.testing.assert_allclose(
        take(samples.T.astype(np.float32), 1, layout=FIVE_ONE)[:, 0], mono / (2 * half + 2), atol=1e-6
    )
    assert np.abs(take(np.ones((3, 6), np.float32), 2, layout=FIVE_ONE)).max() <= 1
    del low  # is left out


def test_what_is_of_no_loudspeakers_is_averaged_and_the_first_are_taken_as_they_are():
    six = noise(50, 6)
    np.testing.assert_allclose(take(six, 1)[:, 0], six.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(take(six, 2, downmix="first", layout=FIVE_ONE), six[:, :2])
    np.testing.assert_array_equal(take(six, 6, downmix="first"), six)
    # of two channels the mean, as ever
    np.testing.assert_allclose(take(six[:, :2], 1, layout=("FL", "FR"))[:, 0], six[:, :2].mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("channels", range(1, 9))
def test_the_usual_loudspeakers_have_masks(channels):
    layout = layout_of(channels)
    assert len(layout) == channels
    assert layout_of(channels, mask_of(layout)) == layout
    assert list(layout) == sorted(layout, key=NAMES.index)


def test_files_say_which_loudspeakers_their_channels_are_for(tmp_path: Path):
    six = noise(100, 6, level=0.1)
    write(tmp_path / "plain.wav", six)
    write(tmp_path / "six.flac", six)
    sides = (1 << NAMES.index("SL")) | (1 << NAMES.index("SR"))
    (tmp_path / "sides.wav").write_bytes(extensible(six, 0xF | sides))
    (tmp_path / "none.wav").write_bytes(extensible(six, 0))
    write(tmp_path / "nine.wav", noise(100, 9))
    found = {path.name: audio.probe(path).layout for path in tmp_path.iterdir()}
    assert found == {
        "plain.wav": FIVE_ONE, "six.flac": FIVE_ONE, "none.wav": (), "nine.wav": (),
        "sides.wav": ("FL", "FR", "FC", "LFE", "SL", "SR"),
    }  # fmt: skip
    stored = audio.read(tmp_path / "plain.wav").samples
    np.testing.assert_array_equal(
        audio.read(tmp_path / "plain.wav", channels=2).samples, take(stored, 2, layout=FIVE_ONE)
    )
    crop = audio.read_crop(tmp_path / "plain.wav", 20, 30, sample_rate=8000, channels=1)
    np.testing.assert_array_equal(crop, take(stored[20:50], 1, layout=FIVE_ONE))
    # channels that are of no loudspeakers, such as microphones
    mean = audio.read(tmp_path / "none.wav", channels=1).samples
    np.testing.assert_allclose(mean[:, 0], audio.read(tmp_path / "none.wav").samples.mean(axis=1), atol=1e-6)
    first = audio.read(tmp_path / "nine.wav", channels=2, downmix="first").samples
    np.testing.assert_array_equal(first, audio.read(tmp_path / "nine.wav").samples[:, :2])


def test_a_mask_is_written_and_read(tmp_path: Path):
    raw = RawFormat(8000, 6, "s16le", mask=0x60F)
    (tmp_path / "a.wav").write_bytes(wav.header(raw, 100) + bytes(1200))
    assert audio.probe(tmp_path / "a.wav").layout == layout_of(6, 0x60F)
    with audio.open_writer(tmp_path / "b.wav", 8000, 6, layout=layout_of(6, 0x60F), subtype="FLOAT") as writer:
        writer.write(noise(10, 6))
    assert audio.probe(tmp_path / "b.wav").layout == layout_of(6, 0x60F)
    assert audio.probe(tmp_path / "b.wav").n_samples == 10


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8])
def test_surround_in_ogg_keeps_its_channels(tmp_path, channels, subtype):
    t = np.arange(9600)[:, None] / 48_000
    tones = (np.arange(channels) + 2) * 400.0
    if channels > 5:
        tones[3] = 50.0  # of the LFE only the bass is kept
    samples = 0.1 * np.sin(2 * np.pi * tones * t)
    audio.write(tmp_path / "a.ogg", samples, 48_000, subtype=subtype)
    with audio.open_writer(tmp_path / "b.ogg", 48_000, channels, subtype=subtype) as writer:
        writer.write(samples)
    for name in ("a.ogg", "b.ogg"):
        back = audio.read(tmp_path / name).samples
        level = np.sqrt(2 * np.mean(np.square(back), axis=0))
        found = np.abs(np.fft.rfft(back * np.hanning(9600)[:, None], axis=0)).argmax(axis=0) * 48_000 / 9600
        np.testing.assert_allclose(found, tones, atol=10)
        np.testing.assert_allclose(level, 0.1, rtol=0.2)
