"""`python -m zoo`: files, pipes, parts, a library that is killed and resumed, and what is refused in one line."""

from __future__ import annotations

import functools
import io
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

import zoo
from evaluate.bench.models import random_codec
from tests.audio_files import noise, write
from tests.zoo.conftest import RATE, complaint, environment, music
from zoo.__main__ import main
from zoo.bitstream.container import ContainerReader
from zoo.commands.sources import find_codec

pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture(scope="module")
def once():
    """What finds a codec, but each one only once, so that its programs are traced once."""
    return functools.cache(find_codec)


@pytest.fixture
def loaded_once(once, monkeypatch) -> None:
    for module in ("encode", "decode", "corpus"):
        monkeypatch.setattr(f"zoo.commands.{module}.find_codec", once)


def test_there_and_back(here, capfd):
    main(["encode", "song.wav", "song.zac"])
    assert "payload" in capfd.readouterr().err
    main(["decode", "song.zac", "back.wav"])
    assert "song.zac → back.wav: 3.3 s, " in capfd.readouterr().err
    audio, rate = soundfile.read("back.wav")
    assert (audio.shape, rate) == ((36_411, 2), 11_025)
    codec = zoo.load("runs/tiny")
    blob = Path("song.zac").read_bytes()
    samples, _ = soundfile.read("song.wav", dtype="float32")
    assert blob == codec.compress(samples, 11_025)
    expected = zoo.decompress(blob).audio
    np.testing.assert_allclose(audio, np.clip(expected, -1, 1), atol=2**-15)
    main(["decode", "song.zac", "part.flac", "--start", "1.2", "--seconds", "0.5"])
    part, _ = soundfile.read("part.flac")
    np.testing.assert_allclose(part, audio[round(1.2 * 11_025) :][: len(part)], atol=2**-14)
    assert len(part) == round(0.5 * 11_025)
    capfd.readouterr()
    main(["info", "song.zac"])
    told = capfd.readouterr().out
    for expected_line in ("36411 samples, 11025 Hz, 2 channels as mid and side", codec.digest.hex(), "4 of 200 frames"):
        assert expected_line in told


@pytest.mark.usefixtures("loaded_once")
def test_a_bitrate(here, capfd):
    main(["encode", "song.wav", "all.zac", "--level", "2"])
    full = Path("all.zac").stat().st_size
    rate = 0.9 * full / 125 / 3.3
    main(["encode", "song.wav", "less.zac", "--bitrate", f"{rate:.2f}", "--packet_s", "0.25"])
    assert 0.85 * full < Path("less.zac").stat().st_size < 0.95 * full
    main(["encode", "song.wav", "more.zac", "--bitrate", "900"])
    assert "the most that the codec can spend" in capfd.readouterr().err
    assert "cannot be reached" in complaint(capfd, "encode", "song.wav", "x.zac", "--bitrate", "0.01")
    assert not Path("x.zac").exists()


@pytest.mark.usefixtures("loaded_once")
def test_tokens_decode_as_the_coded_file_does(here, capfd, monkeypatch):
    codec = zoo.load("runs/tiny")
    for i, options in enumerate(
        ([], ["--bitrate", "20", "--packet_s", "0.3"], ["--stereo", "separate", "--level", "0"])
    ):
        main(["encode", "song.wav", f"{i}.zac", "--tokens", *options])
        tokens = zoo.tokens.load(f"{i}.npy")
        np.testing.assert_array_equal(np.load(f"{i}.npy"), tokens.codes)
        np.testing.assert_array_equal(codec.decode(tokens), codec.decompress(Path(f"{i}.zac").read_bytes()).audio)
        for part in ([], ["--start", "1.2", "--seconds", "0.5"]):
            for coded in ("zac", "npy"):
                main(["decode", f"{i}.{coded}", f"{coded}.wav", "--force", "--subtype", "FLOAT", *part])
            assert Path("npy.wav").read_bytes() == Path("zac.wav").read_bytes()
    assert len(set(zoo.tokens.load("1.npy").levels)) > 1
    with subprocess.Popen(["cat", "2.npy"], stdout=subprocess.PIPE) as pipe:
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=pipe.stdout))
        main(["decode", "-", "piped.wav", "--subtype", "FLOAT"])
    main(["decode", "2.zac", "zac.wav", "--force", "--subtype", "FLOAT"])
    assert Path("piped.wav").read_bytes() == Path("zac.wav").read_bytes()
    np.save("bare.npy", np.load("0.npy"))
    assert "bare.npy: holds codes alone" in complaint(capfd, "decode", "bare.npy", "x.wav", "--ckpt", "runs/tiny")
    Path("cut.npy").write_bytes(Path("0.npy").read_bytes()[:3000])
    assert "cut.npy: is no array" in complaint(capfd, "decode", "cut.npy", "x.wav", "--ckpt", "runs/tiny")
    assert "is the name that the tokens get" in complaint(capfd, "encode", "song.wav", "x.npy", "--tokens")
    assert not Path("x.wav").exists()
    assert not Path("x.npy").exists()


def test_pipes(here, monkeypatch):
    program = [sys.executable, "-m", "zoo"]
    run = {"env": environment(), "check": True, "capture_output": True}
    song = Path("song.wav").read_bytes()
    # another process has the codecs of the package, if it brings any
    encode = [*program, "encode", "-", "-", "--ckpt", "runs/tiny"]
    coded = subprocess.run(encode, input=song, **run).stdout
    main(["encode", "song.wav", "song.zac"])
    assert coded == Path("song.zac").read_bytes()
    wav = subprocess.run([*program, "decode", "-", "-"], input=coded, **run).stdout
    main(["decode", "song.zac", "back.wav"])
    expected, _ = soundfile.read("back.wav", dtype="int16")
    np.testing.assert_array_equal(np.frombuffer(wav[-expected.nbytes :], "<i2").reshape(-1, 2), expected)
    raw = soundfile.read("song.wav", dtype="int16")[0].astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(raw)))
    main(["encode", "-", "raw.zac", "--raw.sample_rate", "11025", "--raw.channels", "2"])
    assert Path("raw.zac").read_bytes() == coded


def test_an_interrupted_recording_is_kept(here):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "zoo", "encode", "-", "live.zac", "--ckpt", "runs/tiny"),
            *("--raw.sample_rate", "8000", "--raw.channels", "1"),
        ],
        stdin=subprocess.PIPE,
        env=environment(),
    )
    second = (30_000 * music(8000, 1)).astype("<i2").tobytes()
    process.stdin.write(3 * second)
    process.stdin.flush()
    deadline = time.time() + 60
    hidden = lambda: [p for p in Path.cwd().glob(".live*") if p.stat().st_size > 60]  # noqa: E731
    while not hidden():
        assert time.time() < deadline, "no packet has left"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    assert process.wait(60) == 0
    main(["decode", "live.zac", "live.wav"])
    assert soundfile.info("live.wav").frames == 3 * 8000
    assert not list(Path.cwd().glob(".live*"))


def test_a_terminated_encode_leaves_nothing(here):
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "decode", "-", "x.wav"], stdin=subprocess.PIPE, env=environment()
    )
    main(["encode", "song.wav", "song.zac"])
    process.stdin.write(Path("song.zac").read_bytes()[:-30])
    process.stdin.flush()
    deadline = time.time() + 60
    while not list(Path.cwd().glob(".x*")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not list(Path.cwd().glob("*x.wav")) + list(Path.cwd().glob(".x*"))


@pytest.mark.usefixtures("loaded_once")
def test_a_library(here, capfd):
    for name, seed in (("a/one.wav", 1), ("a/two.flac", 2), ("one.wav", 3), ("same.wav", 4), ("same.flac", 5)):
        path = here / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, music(15_000 + seed, seed=seed), 11_025)
    (here / "music" / "broken.wav").write_bytes(b"RIFF----")
    with pytest.raises(SystemExit) as ended:
        main(["encode", "--corpus", "music", "coded", "--tokens"])
    assert ended.value.code == 1
    told = capfd.readouterr().err
    assert told.count("skipped music/broken.wav") == 1
    assert "5 files, 0.00 hours" in told
    assert "left out 1" in told
    names = {str(p.relative_to("coded")) for p in Path("coded").rglob("*.zac")}
    assert names == {"a/one.zac", "a/two.zac", "one.zac", "same.wav.zac", "same.flac.zac"}
    codec = zoo.load("runs/tiny")
    blob = Path("coded/a/two.zac").read_bytes()
    samples, _ = soundfile.read("music/a/two.flac", dtype="float32")
    assert blob == codec.compress(samples, 11_025)
    tokens = np.load("coded/a/two.npy")
    frames = codec.module.n_frames(-(-len(samples) * RATE // 11_025))
    assert tokens.shape == (2, frames, 20)
    packets = zoo_codes(codec, blob)
    np.testing.assert_array_equal(tokens, packets)
    np.testing.assert_array_equal(codec.decode(zoo.tokens.load("coded/a/two.npy")), codec.decompress(blob).audio)
    # what is finished is kept, what is missing is done
    kept = Path("coded/one.zac")
    before = kept.stat().st_mtime_ns
    Path("coded/a/one.zac").unlink()
    with pytest.raises(SystemExit, match="1"):
        main(["encode", "--corpus", "music", "coded", "--tokens"])
    told = capfd.readouterr().err
    assert "4 of 6 files are coded already" in told
    assert "1 file, " in told
    assert kept.stat().st_mtime_ns == before
    assert Path("coded/a/one.zac").exists()
    Path("coded/one.zac").write_bytes(b"mine")
    assert "coded/one.zac: in the way" in complaint(capfd, "encode", "--corpus", "music", "coded")


def zoo_codes(codec: zoo.ReadyCodec, blob: bytes) -> np.ndarray:
    return np.concatenate(
        [
            codec.entropy.decode(packet.payload, n_streams=2, n_frames=packet.n_frames, level=packet.level)
            for packet in ContainerReader(io.BytesIO(blob))
        ],
        axis=1,
    )


@pytest.mark.usefixtures("loaded_once")
def test_damage(here, capfd):
    main(["encode", "song.wav", "song.zac"])
    data = bytearray(Path("song.zac").read_bytes())
    data[len(data) // 2] ^= 4
    Path("hurt.zac").write_bytes(data)
    said = complaint(capfd, "decode", "hurt.zac", "x.wav")
    assert "hurt.zac: packet" in said
    assert "; --lenient decodes what is intact" in said
    assert not Path("x.wav").exists()
    main(["decode", "hurt.zac", "x.wav", "--lenient"])
    assert "is damaged and silent" in capfd.readouterr().err
    assert soundfile.info("x.wav").frames == 36_411
    Path("short.zac").write_bytes(data[: 2 * len(data) // 3])
    said = complaint(capfd, "decode", "short.zac", "y.wav")
    assert "short.zac" in said
    assert "; --lenient decodes what is intact" in said
    main(["decode", "short.zac", "y.wav", "--lenient"])
    assert "has no intact end" in capfd.readouterr().err
    assert 0 < soundfile.info("y.wav").frames < 36_411
    Path("longer.zac").write_bytes(Path("song.zac").read_bytes() + bytes(1000))
    assert "; --lenient decodes what is intact" in complaint(capfd, "decode", "longer.zac", "z.wav")
    main(["decode", "longer.zac", "z.wav", "--lenient"])
    assert "longer.zac: 1,000 bytes between or behind its packets" in capfd.readouterr().err
    whole = Path("song.zac").read_bytes()
    Path("twice.zac").write_bytes(2 * whole)
    main(["decode", "twice.zac", "twice.wav", "--lenient"])
    assert f"twice.zac: {len(whole):,} bytes between or behind its packets" in capfd.readouterr().err
    Path("none.zac").write_bytes(whole[:40])
    assert "none.zac: none of its packets is intact" in complaint(capfd, "decode", "none.zac", "none.wav", "--lenient")
    assert not Path("none.wav").exists()
    assert soundfile.info("z.wav").frames == 36_411


def test_a_pipe_without_a_coded_file_is_named_as_such(here, capfd, monkeypatch):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(b""))))
    assert complaint(capfd, "decode", "-", "x.wav").startswith("error: standard input: not a .zac file")


@pytest.mark.usefixtures("loaded_once")
def test_what_is_refused(here, capfd):
    main(["encode", "song.wav", "song.zac"])
    (here / "folder").mkdir()
    (here / "text.wav").write_text("no audio")
    soundfile.write("loud.wav", 1e4 * music(8000), 11_025, subtype="FLOAT")
    capfd.readouterr()
    for arguments, culprit in (
        (["encode", "missing.wav", "x.zac"], "missing.wav: no such file"),
        (["encode", "missing.wav", "x.zac", "--ckpt", "nothing"], "missing.wav: no such file"),
        (["encode", "folder", "x.zac"], "folder: is a folder"),
        (["encode", "", "x.zac"], "the name of an input is empty"),
        (["encode", "song.wav", ""], "the name of an output is empty"),
        (["decode", "song.zac", "x.wav", "--seconds", "0"], "--seconds 0 is no duration"),
        (["decode", "song.zac", "x.wav", "--ckpt", ""], "--ckpt is empty"),
        (["decode", "song.zac", ""], "the name of an output is empty"),
        (["encode", "song.wav", "x.flac"], "x.flac: is no name for coded audio"),
        (["encode", "song.wav", "x.mp3"], "x.mp3: is no name for coded audio"),
        (["encode", "text.wav", "x.zac"], "text.wav"),
        (["encode", "loud.wav", "x.zac"], "loud.wav: float samples reach "),
        (["encode", "song.wav", "song.zac"], "song.zac: exists already"),
        (["encode", "song.wav", "folder"], "folder: is a folder"),
        (["encode", "song.wav", "nowhere/x.zac"], "nowhere"),
        (["encode", "song.wav", "x.zac", "--ckpt", "nothing"], "no checkpoint at nothing"),
        (["encode", "song.wav", "x.zac", "--level", "3"], "level 3"),
        (["encode", "song.wav", "x.zac", "--level", "1", "--bitrate", "2"], "give one of them"),
        (["encode", "song.wav", "x.zac", "--bitrate", "inf"], "bitrate inf kbps is above 1e+06"),
        (["encode", "song.zac", "x.zac"], "song.zac: is a .zac file, which python -m zoo decode makes audio of"),
        (["encode", "song.wav", "/dev/full"], "no space left"),
        (["encode", "--corpus", "folder", "out"], "folder"),
        (["encode", "--corpus", "song.wav", "out"], "song.wav"),
        (["decode", "missing.zac", "x.wav"], "missing.zac: no such file"),
        (["decode", "song.wav", "x.wav"], "song.wav: not a .zac file"),
        (["decode", "song.zac", "x.mp3", "--ckpt", "nothing"], "x.mp3: cannot write '.mp3'"),
        (["decode", "song.zac", "x.wav", "--subtype", "PCM_9", "--ckpt", "nothing"], "x.wav: cannot write the subtype"),
        (["decode", "song.zac", "song.wav"], "song.wav: exists already"),
        (["decode", "song.zac", "x.wav", "--start", "99"], "ends at 3.30 s"),
        (["decode", "song.zac", "x.wav", "--start", "1e308"], "ends at 3.30 s"),
        (["decode", "song.zac", "x.wav", "--seconds", "-1"], "--seconds"),
        (["info", "nowhere.wav"], "nowhere.wav: no such file"),
    ):
        assert culprit in complaint(capfd, *arguments)
    assert sorted(p.name for p in here.iterdir()) == [
        *("folder", "loud.wav", "runs", "song.wav", "song.zac", "text.wav")
    ]


def test_help_is_quick_and_wrong_arguments_are_one_line(here, capfd):
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "zoo", "--help"], env=environment(), check=True, capture_output=True)
    assert time.perf_counter() - begin < 6  # (1.5 s on a machine with nothing else to do)
    assert "bitrate" in complaint(capfd, "encode", "song.wav", "x.zac", "--bitrat", "3")


def test_more_than_two_channels(here, monkeypatch, capfd):
    """A codec of two channels refuses six, mixes them, takes the first ones, or codes them one by one, and back."""
    size = {"latent_dim": 8, "widths": (8, 8), "strides": (5, 8), "dilations": (1,)}
    stereo = random_codec("vae", sample_rate=8_000, channels=2, **size)
    for module in ("encode", "decode", "corpus"):
        monkeypatch.setattr(f"zoo.commands.{module}.find_codec", lambda *_: stereo)
    Path("lib").mkdir()
    write(Path("lib/six.wav"), noise(9_000, 6, level=0.1), 8_000)
    assert "audio has 6 channels, this codec 2: give it 1 or 2" in complaint(capfd, "encode", "lib/six.wav", "x.zac")
    samples, _ = soundfile.read("lib/six.wav", dtype="float32")
    gains = np.zeros((6, 2))
    gains[:, 0], gains[:, 1] = (1, 0, 0.5**0.5, 0, 0.5**0.5, 0), (0, 1, 0.5**0.5, 0, 0, 0.5**0.5)
    mixed = (samples @ gains / (1 + 2**0.5)).astype(np.float32)
    wanted = {"mix": (mixed, "mixed to 2 (ITU-R BS.775)"), "first": (samples[:, :2], "the first 2 taken")}
    for channels, (taken, said) in wanted.items():
        main(["encode", "lib/six.wav", f"{channels}.zac", "--channels", channels])
        assert f"six.wav: 6 channels (FL FR FC LFE BL BR), {said}" in capfd.readouterr().err
        main(["decode", f"{channels}.zac", f"{channels}.wav", "--subtype", "FLOAT"])
        found, _ = soundfile.read(f"{channels}.wav", dtype="float32")
        np.testing.assert_allclose(found, stereo.decode(stereo.encode(taken, 8_000)), atol=1e-4)
    main(["encode", "lib/six.wav", "six.zac", "--channels", "surround", "--bitrate", "60", "--tokens"])
    main(["encode", "lib/six.wav", "six.zac", "--channels", "surround", "--tokens", "--force"])
    alone = [stereo.decode(stereo.encode(samples[:, c], 8_000)) for c in range(6)]
    for coded in ("six.zac", "six.npy"):
        main(["decode", coded, "six.wav", "--subtype", "FLOAT", "--force"])
        np.testing.assert_allclose(soundfile.read("six.wav")[0], np.stack(alone, axis=1), atol=1e-5)
    main(["decode", "six.zac", "part.wav", "--start", "0.5", "--seconds", "0.25", "--subtype", "FLOAT"])
    np.testing.assert_allclose(soundfile.read("part.wav")[0], soundfile.read("six.wav")[0][4000:6000], atol=1e-4)
    capfd.readouterr()
    for channels, n in (("surround", 6), ("mix", 2), ("mix", 2)):
        main(["encode", "--corpus", "lib", "coded", "--channels", channels])
        main(["decode", "coded/six.zac", "six.wav", "--force"])
        assert soundfile.info("six.wav").channels == n
    said = capfd.readouterr().err
    assert said.count("was coded with other options and is coded again") == 1
    assert "1 of 1 files are coded already" in said
