"""The commands that edit: files of any rates and channels to one file, and what they refuse."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import zoo
from tests.zoo.conftest import complaint
from zoo import editing
from zoo.__main__ import main
from zoo.audio import resample

pytestmark = pytest.mark.usefixtures("quick_module")
RATE = 11_025
STEP = 2 / 2**15


def read(path: str) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def write(path: str, samples: np.ndarray, rate: int = RATE) -> np.ndarray:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return samples


def noise(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((n, channels))).astype(np.float32)


def test_a_mix_has_the_highest_rate_and_the_most_channels(here, capsys):
    low = write("low.wav", noise(2000), 8000)
    main(["mix", "song.wav", "low.wav", "out.wav", "--weights", "0.7,0.3"])
    expected = editing.mix([read("song.wav"), np.repeat(resample(low, 8000, RATE), 2, axis=1)], [0.7, 0.3])
    np.testing.assert_allclose(read("out.wav"), expected, atol=STEP)
    assert soundfile.info("out.wav").samplerate == RATE
    assert "low.wav: 8000 Hz, 1 channel → 11025 Hz, 2 channels" in capsys.readouterr().err


def test_a_mix_without_weights_is_the_mean_of_any_number(here):
    parts = [write(f"{i}.wav", noise(500 + i, seed=i)) for i in range(3)]
    main(["mix", "0.wav", "1.wav", "2.wav", "out.wav", "--subtype", "FLOAT"])
    np.testing.assert_allclose(read("out.wav"), editing.mix(parts), atol=1e-6)


def test_a_morph_in_latents_begins_as_one_and_ends_as_the_other(here):
    a, b = write("a.wav", noise(20_000)), write("b.wav", noise(15_000, seed=1))
    main(["morph", "a.wav", "b.wav", "out.wav", "--subtype", "FLOAT"])
    found, codec = read("out.wav"), zoo.load("runs/tiny")
    assert found.shape == b.shape
    decoded = [codec.decode_latents(codec.encode_latents(x, RATE)) for x in (a, b)]
    for part, wave in ((slice(0, 200), decoded[0]), (slice(-200, None), decoded[1][:, : len(b) * 8000 // RATE])):
        near = resample(wave[0], 8000, RATE)[: len(b)][part]
        assert np.square(found[part] - near).mean() < 0.05 * np.square(near).mean()


def test_an_amount_and_the_waveform(here):
    a, b = write("a.wav", noise(900)), write("b.wav", noise(700, seed=1))
    for words, amount in (([], None), (["--amount", "0.25"], 0.25)):
        main(["morph", "a.wav", "b.wav", "out.wav", "--domain", "waveform", "--subtype", "FLOAT", "--force", *words])
        np.testing.assert_allclose(read("out.wav"), editing.morph(a, b, amount), atol=1e-6)


@pytest.mark.parametrize("start", [0.0, 0.02])
def test_a_splice_is_that_of_arrays(here, start):
    a, b = write("a.wav", noise(3000)), write("b.wav", noise(2000, seed=1))
    main(["splice", "a.wav", "b.wav", "out.wav", "--at", "0.1", "--start", str(start), "--subtype", "FLOAT"])
    at, begin, fade = (round(s * RATE) for s in (0.1, start, 0.02))
    np.testing.assert_allclose(read("out.wav"), editing.splice(a, b, at, fade=fade, start=begin), atol=1e-6)


def test_a_splice_in_latents_is_as_long(here):
    write("a.wav", noise(9000)), write("b.wav", noise(20_000, seed=1))
    words = ["--at", "0.5", "--start", "0.3", "--subtype", "FLOAT"]
    main(["splice", "a.wav", "b.wav", "wave.wav", *words])
    main(["splice", "a.wav", "b.wav", "latent.wav", *words, "--domain", "latent"])
    assert read("latent.wav").shape == read("wave.wav").shape
    codec = zoo.load("runs/tiny")
    for name, own, lag in (("a.wav", slice(0, 5000), 0), ("b.wav", slice(7000, 20_000), round(0.2 * RATE))):
        decoded = codec.decode_latents(codec.encode_latents(read(name), RATE))[0]
        decoded = resample(decoded, 8000, RATE)
        found = read("latent.wav")[own]
        shifted = decoded[own.start - lag : own.start - lag + len(found)]
        # of b, frames lie elsewhere than in a file of its own
        if name == "a.wav":
            np.testing.assert_allclose(found, shifted, atol=1e-3)
        assert len(found) == len(shifted)


def test_time_pitch_bands_and_gain_are_those_of_arrays(here):
    song = read("song.wav")
    for words, expected in (
        (["stretch", "--factor", "1.25"], lambda: editing.stretch(song, RATE, 1.25)),
        (["pitch", "--semitones", "-3"], lambda: editing.pitch(song, RATE, -3)),
        (["gain", "--db", "-6"], lambda: editing.gain(song, -6)),
        (["eq", "300:-9,2000:+2"], lambda: editing.equalise(song, RATE, "300:-9,2000:+2")),
    ):
        command, *rest = words
        main([command, "song.wav", "out.flac", *rest, "--force"])
        np.testing.assert_allclose(read("out.flac"), expected(), atol=STEP)


def test_latents_are_edited_where_that_is_asked_for(here):
    song = read("song.wav")
    for words in (["stretch", "--factor", "0.8"], ["pitch", "--semitones", "2"], ["gain", "--db", "-6"]):
        main([words[0], "song.wav", "out.wav", *words[1:], "--domain", "latent", "--ckpt", "runs/tiny", "--force"])
        found = read("out.wav")
        assert found.shape == (round(len(song) * (0.8 if words[0] == "stretch" else 1)), 2)
        assert np.abs(found).max() > 0.01


def test_a_coded_file_is_an_input_like_others(here):
    main(["encode", "song.wav", "song.zac"])
    main(["decode", "song.zac", "decoded.wav", "--subtype", "FLOAT"])
    main(["gain", "song.zac", "out.wav", "--db", "-6", "--subtype", "FLOAT"])
    np.testing.assert_allclose(read("out.wav"), editing.gain(read("decoded.wav"), -6), atol=1e-6)
    main(["morph", "song.zac", "decoded.wav", "out.wav", "--domain", "waveform", "--subtype", "FLOAT", "--force"])
    np.testing.assert_allclose(read("out.wav"), read("decoded.wav"), atol=1e-6)


def test_a_pipe_gives_what_a_file_gives(here, monkeypatch, capfdbinary):
    main(["stretch", "song.wav", "out.wav", "--factor", "0.9"])
    with (here / "song.wav").open("rb") as song:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=song))
        main(["stretch", "-", "-", "--factor", "0.9"])
    (here / "piped.wav").write_bytes(capfdbinary.readouterr().out)
    np.testing.assert_array_equal(read("piped.wav"), read("out.wav"))


def test_a_sample_and_silence_are_edited_like_others(here, capsys):
    write("one.wav", np.full((1, 1), 0.5, np.float32))
    write("still.wav", np.zeros((3000, 1), np.float32))
    main(["mix", "one.wav", "still.wav", "out.wav", "--weights", "2.5,1"])
    assert read("out.wav").shape == (3000, 1)
    assert "peaks are 1.9 dB above full scale" in capsys.readouterr().err
    for name, n in (("one.wav", 1), ("still.wav", 3000)):
        main(["stretch", name, "out.wav", "--factor", "3", "--force"])
        assert read("out.wav").shape == (3 * n, 1)
        main(["pitch", name, "out.wav", "--semitones", "7", "--force"])
        assert read("out.wav").shape == (n, 1)
        main(["morph", name, name, "out.wav", "--force"])
        assert read("out.wav").shape == (n, 1)
    assert not read("out.wav").any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mix", "song.wav", "b.wav", "out.wav", "--weights", "1"], "1 weights do not match 2 inputs"),
        (["mix", "song.wav", "b.wav", "out.wav", "--weights", "1,much"], "'much' is no number"),
        (["mix", "song.wav", "b.wav", "out.wav", "--weights", "1,nan"], "weight nan"),
        (["mix", "song.wav", "out.wav"], "mix takes two or more sounds"),
        (["mix", "song.wav", "none.wav", "out.wav"], "none.wav: no such file"),
        (["mix", "song.wav", "b.wav", "b.wav", "--force"], "b.wav: is an input as well"),
        (["mix", "song.wav", "b.wav", "linked.wav", "--force"], "linked.wav: is an input as well"),
        (["mix", "song.wav", "b.wav", "there.wav"], "there.wav: exists already"),
        (["mix", "song.wav", "b.wav", "out.mp3"], "out.mp3: cannot write"),
        (["mix", "song.wav", "empty.wav", "out.wav"], "empty.wav: holds no samples"),
        (["mix", "song.wav", "three.wav", "out.wav", "--domain", "latent", "--ckpt", "nowhere"], "nowhere"),
        (["morph", "song.wav", "b.wav", "out.wav", "--amount", "2"], "--amount 2 is not between"),
        (["morph", "song.wav", "empty.wav", "out.wav"], "empty.wav: holds no samples"),
        (["splice", "song.wav", "b.wav", "out.wav", "--at", "99"], "--at 99: song.wav ends at 3.30 s"),
        (["splice", "song.wav", "b.wav", "out.wav", "--at", "99", "--domain", "latent"], "--at 99: song.wav ends at"),
        (["splice", "song.wav", "b.wav", "out.wav", "--at", "-1"], "--at -1 is no time"),
        (["splice", "song.wav", "b.wav", "out.wav", "--at", "1", "--start", "9"], "--start 9: b.wav ends at 0.18 s"),
        (["splice", "song.wav", "b.wav", "out.wav", "--at", "1", "--fade_s", "nan"], "--fade_s nan is not between"),
        (["stretch", "song.wav", "out.wav", "--factor", "0"], "factor 0 is not between 0.1 and 10"),
        (["stretch", "song.wav", "out.wav", "--factor", "1e9"], "factor 1e+09 is not between"),
        (["stretch", "song.wav", "song.wav", "--factor", "2", "--force"], "song.wav: is an input as well"),
        (["stretch", "empty.wav", "out.wav", "--factor", "2"], "empty.wav: holds no samples"),
        (["stretch", "text.wav", "out.wav", "--factor", "2"], "text.wav"),
        (["pitch", "song.wav", "out.wav", "--semitones", "nan"], "nan semitones are not between"),
        (["eq", "song.wav", "out.wav", "loud"], "eq 'loud': a band is HZ:DB"),
        (["eq", "song.wav", "out.wav", "9000:3"], "the frequency must lie between 0 and 5512.5 Hz"),
        (["gain", "song.wav", "out.wav", "--db", "inf"], "gain inf dB"),
        (["gain", "cut.zac", "out.wav", "--db", "1"], "cut.zac"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(here, capfd, arguments, words):
    write("b.wav", noise(2000))
    write("three.wav", noise(100, 3))
    write("empty.wav", np.zeros((0, 1), np.float32))
    (here / "linked.wav").symlink_to(here / "b.wav")
    write("there.wav", noise(10))
    Path("text.wav").write_text("no audio")
    Path("cut.zac").write_bytes(b"\x89ZAC and no more")
    before = {path.name: path.read_bytes() for path in here.iterdir() if path.is_file()}
    assert words in complaint(capfd, *arguments)
    assert {path.name: path.read_bytes() for path in here.iterdir() if path.is_file()} == before
