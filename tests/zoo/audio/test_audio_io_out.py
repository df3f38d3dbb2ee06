"""Audio out block by block: files whole or not at all, headers that soundfile reads, a full disk, a closed pipe."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import audio
from zoo.audio import RawFormat, check_output, open_output, open_reader, open_writer
from zoo.audio.decoders import wav
from zoo.audio.output import check_folder
from zoo.errors import ZooError

ROOT = Path(__file__).parents[3]
BITS = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 0, "DOUBLE": 0}
EDGES = np.float32([[1.5, -1.5], [1.0, -1.0], [0.99999, -0.99999], [1e-5, -1e-5]])


def noise(n: int, channels: int = 2, *, seed: int = 0, level: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, channels)) * level).astype(np.float32)


def pipe_out(monkeypatch) -> io.BytesIO:
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=stream))
    return stream


def write_in_blocks(place, samples, sample_rate=44100, *, block=300, **options) -> None:
    with open_writer(place, sample_rate, samples.shape[1], **options) as writer:
        for first in range(0, len(samples), block):
            writer.write(samples[first : first + block])
        assert writer.n_samples == len(samples)


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("subtype", BITS)
@pytest.mark.parametrize("pipe", [True, False])
def test_wav_of_every_subtype_is_read_back_by_soundfile(tmp_path, monkeypatch, subtype, pipe):
    samples = np.concatenate([noise(999), EDGES])
    stream = pipe_out(monkeypatch)
    for n_samples in (None, len(samples)):
        place = "-" if pipe else tmp_path / f"{n_samples}.wav"
        stream.seek(0)
        stream.truncate()
        write_in_blocks(place, samples, subtype=subtype, n_samples=n_samples)
        data = stream.getvalue() if pipe else Path(place).read_bytes()
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            assert (file.format, file.subtype, file.samplerate) == ("WAV", subtype, 44100)
            back = file.read(always_2d=True)
        if bits := BITS[subtype]:
            step = 2.0 ** (1 - bits)
            np.testing.assert_allclose(back, samples.astype(np.float64).clip(-1, 1 - step), rtol=0, atol=step / 2)
        else:
            np.testing.assert_array_equal(back, samples)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("subtype", [None, "PCM_24"])
def test_blocks_become_what_the_whole_written_at_once_is(tmp_path, suffix, subtype):
    samples = np.concatenate([noise(70_001), EDGES])
    audio.write(tmp_path / f"whole{suffix}", samples, 22050, subtype=subtype)
    write_in_blocks(tmp_path / f"blocks{suffix}", samples, 22050, block=30_000, subtype=subtype)
    info = soundfile.info(tmp_path / f"blocks{suffix}")
    assert (info.frames, info.subtype, info.samplerate) == (len(samples), subtype or "PCM_16", 22050)
    np.testing.assert_array_equal(
        audio.read(tmp_path / f"blocks{suffix}").samples, audio.read(tmp_path / f"whole{suffix}").samples
    )
    if suffix == ".wav":
        write_in_blocks(tmp_path / "known.wav", samples, 22050, subtype=subtype, n_samples=len(samples))
        assert (tmp_path / "known.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_vorbis_keeps_length_and_level(tmp_path):
    samples = np.sin(np.arange(100_000) / 15).astype(np.float32)[:, None] * np.float32([0.5, 0.2])
    write_in_blocks(tmp_path / "a.ogg", samples, 24000, block=90_000)
    back = audio.read(tmp_path / "a.ogg").samples
    assert back.shape == samples.shape
    assert np.mean((back - samples) ** 2) < 1e-3 * np.mean(samples**2)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 500),
    channels=st.integers(1, 4),
    encoding=st.sampled_from(list(wav.SAMPLE_BYTES)),
    block=st.integers(1, 200),
    known=st.booleans(),
    raw=st.booleans(),
)
def test_a_pipe_out_is_read_back_by_the_pipe_in(n, channels, encoding, block, known, raw):
    samples = noise(n, channels, seed=n)
    raw_format = RawFormat(12345, channels, encoding) if raw else None
    subtype = next(name for name, value in wav.SUBTYPES.items() if value == encoding)
    with pytest.MonkeyPatch.context() as patch:
        stream = pipe_out(patch)
        write_in_blocks(
            "-", samples, 12345, block=block, raw=raw_format, subtype=subtype, n_samples=n if known else None
        )
        patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stream.getvalue())))
        with open_reader("-", raw=raw_format) as reader:
            assert (reader.sample_rate, reader.channels) == (12345, channels)
            back = np.concatenate([reader.read(n), reader.read(n)])
            assert reader.warning is None
    bits = BITS[subtype]
    step = 2.0 ** (1 - bits) if bits else 0.0
    np.testing.assert_allclose(
        back, samples.clip(-1, 1 - step) if bits else samples, rtol=0, atol=step / 2 + 6e-8 * bits
    )
    again = wav.encode(back, encoding)  # what was read is written back unchanged
    if encoding != "s32le":  # finer than float32
        np.testing.assert_array_equal(wav.decode(again, encoding).reshape(back.shape), back)
        assert raw_format is None or again == stream.getvalue()


def test_a_file_beyond_4_gib_has_64_bit_sizes(tmp_path):
    raw = RawFormat(48000, 2, "f32le")
    n = (1 << 32) // raw.frame_bytes + 1000
    path = tmp_path / "long.wav"
    head = wav.header(raw, n, long=True)
    with path.open("wb") as file:  # sparse: takes no space
        file.write(head)
        file.seek(len(head) + (n - 10) * raw.frame_bytes)
        file.write(wav.encode(noise(10), "f32le"))
    assert soundfile.info(path).frames == n
    np.testing.assert_array_equal(soundfile.read(path, start=n - 10, dtype="float32")[0], noise(10))
    with open_reader(path) as reader:
        assert reader.n_samples == n
        assert reader.warning is None
    assert len(wav.header(raw, 5, long=True)) == len(head)
    assert wav.needs_long(raw, n)
    assert not wav.needs_long(raw, 1000)


def test_pipes_promise_only_what_comes(monkeypatch):
    pipe_out(monkeypatch)
    with pytest.raises(ZooError, match="standard output: 11 samples were promised, but 10 came"):
        write_in_blocks("-", noise(10), n_samples=11)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.mp4", {}, r"a\.mp4: cannot write '\.mp4'"),
        ("a.wav", {"subtype": "VORBIS"}, "a.wav: cannot write the subtype 'VORBIS'"),
        ("a.flac", {"subtype": "FLOAT"}, "a.flac: cannot be written"),
        ("a.flac", {"channels": 9}, "a.flac: cannot be written"),
        ("a.wav", {"channels": 40_000}, "40000 channels"),
        ("a.raw", {"raw": RawFormat(8000, 2, "u8")}, "a.raw: raw audio of 2 channels at 8000 Hz"),
        ("nowhere/a.wav", {}, "a.wav: no folder"),
        ("", {}, "cannot write|is a folder"),
    ],
)
def test_formats_and_places_that_will_not_do(tmp_path, path, options, message):
    with (
        pytest.raises(ZooError, match=message),
        open_writer(tmp_path / path, 8000, **{"channels": 1, **options}) as writer,
    ):
        writer.write(noise(10, options.get("channels", 1)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("block", [np.zeros(5, np.float32), np.zeros((5, 1), np.float32), np.zeros((5, 2), np.int16)])
def test_blocks_that_are_no_audio(tmp_path, block):
    with pytest.raises(ZooError, match=r"a\.wav: expected"), open_writer(tmp_path / "a.wav", 8000, 2) as writer:
        writer.write(block)


# ---------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".zac"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_leaves_the_old_file_and_nothing_else(tmp_path, suffix, error):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    for place, force in ((path, True), (tmp_path / f"new{suffix}", False)):
        with pytest.raises(error):  # noqa: PT012
            if suffix == ".zac":
                with open_output(place, force=force) as stream:
                    stream.write(b"half")
                    raise error
            with open_writer(place, 8000, 2, force=force) as writer:
                writer.write(noise(70_000))
                raise error
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(f"a{suffix}", b"old")]


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.zac"
    with open_output(path) as stream:
        stream.write(b"one ")
        stream.flush()
        assert not path.exists()
        stream.write(memoryview(b"two"))
    assert path.read_bytes() == b"one two"
    link = tmp_path / "link.zac"
    link.symlink_to(path)
    with open_output(link, force=True) as stream:
        stream.write(b"three")
    assert link.is_symlink()
    assert path.read_bytes() == b"three"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zac", "link.zac"]


def test_what_is_in_the_way_is_refused_before_any_work(tmp_path):
    path = tmp_path / ("n" * 250 + ".wav")  # nearly the longest name there may be
    write_in_blocks(path, noise(10))
    before = path.read_bytes()
    for use in (open_output, check_output, lambda place: open_writer(place, 8000, 1)):
        for place, message in (
            (path, "exists already"),
            (tmp_path, "folder|cannot write"),
            (tmp_path / "x/a.wav", "no folder"),
        ):
            with pytest.raises(ZooError, match=message):  # noqa: PT012
                context = use(place)
                context.__enter__()
    assert path.read_bytes() == before
    write_in_blocks(path, noise(20), force=True)
    assert len(audio.read(path).samples) == 20


SCRIPT = """
import sys, time
import numpy as np
from zoo.audio import open_output, open_writer
with open_writer(sys.argv[1], 8000, 1) as writer, open_output(sys.argv[2]) as stream:
    stream.write(b"half")
    stream.flush()
    writer.write(np.zeros((100_000, 1), np.float32))
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_kill_leaves_no_half_file(tmp_path, sent):
    command = [sys.executable, "-c", SCRIPT, tmp_path / "a.flac", tmp_path / "a.zac"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(sent)
        process.wait(30)
    left = [p.name for p in tmp_path.iterdir()]
    assert left == [] if sent == signal.SIGINT else all(name.startswith(".a.") for name in left)


# ---------------------------------------------------------------- writing that fails


@pytest.mark.parametrize("raw", [None, RawFormat(8000, 2, "s16le")])
def test_a_full_disk_is_named(raw):
    for _ in range(2):
        with (
            pytest.raises(ZooError, match=r"^/dev/full: cannot be written \(no space left on the device\)$"),
            open_writer("/dev/full", 8000, 2, raw=raw) as writer,
        ):
            writer.write(noise(10))
    with pytest.raises(ZooError, match=r"/dev/full: .*no space"), open_output("/dev/full") as stream:
        stream.write(b"x")
    assert Path("/dev/full").is_char_device()  # and not replaced by a file
    write_in_blocks("/dev/null", noise(10))
    assert Path("/dev/null").is_char_device()


LIMITED = """
import resource, sys
import numpy as np
from zoo.audio import open_output, open_writer
from zoo.errors import ZooError
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
noise = (np.random.default_rng(0).standard_normal((20_000, 2)) * 0.3).astype(np.float32)
for path in sys.argv[1:]:
    try:
        if path.endswith(".zac"):
            with open_output(path) as stream:
                stream.write(bytes(50_001))
        else:
            with open_writer(path, 44100, 2) as writer:
                for _ in range(10):
                    writer.write(noise)
    except ZooError as error:
        print(error)
"""


def test_a_file_that_finds_no_room_is_named_and_removed(tmp_path):
    paths = [str(tmp_path / f"a.{suffix}") for suffix in ("wav", "flac", "ogg", "zac")]
    run = subprocess.run([sys.executable, "-c", LIMITED, *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        f"{path}: cannot be written (the file has become larger than is allowed here)" for path in paths
    ]
    assert run.stderr == ""
    assert list(tmp_path.iterdir()) == []


FOREVER = """
import sys
import numpy as np
from zoo.audio import open_writer
from zoo.errors import ZooError
try:
    with open_writer("-", 8000, 1) as writer:
        while True:
            writer.write(np.zeros((8000, 1), np.float32))
except ZooError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def test_a_reader_that_leaves_is_one_line_and_no_traceback():
    with subprocess.Popen(
        [sys.executable, "-c", FOREVER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert errors == "standard output: cannot be written (whoever reads it has closed the pipe)\n"
    assert process.returncode == 2


COPY = """
from zoo.audio import open_reader, open_writer
with open_reader("-") as reader, open_writer("-", reader.sample_rate, reader.channels, subtype="FLOAT") as writer:
    while len(block := reader.read(8000)):
        writer.write(block)
"""


def test_a_block_leaves_before_the_next_one_has_come():
    samples = noise(4000)
    raw = RawFormat(8000, 2, "f32le")
    head = wav.header(raw, None)
    with subprocess.Popen(
        [sys.executable, "-c", COPY], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), True)
        process.stdin.write(head + samples[:1000].tobytes())
        process.stdin.flush()
        assert process.stdout.read(len(head) + 8000) == head + samples[:1000].tobytes()
        time.sleep(0.05)
        process.stdin.write(samples[1000:].tobytes())
        process.stdin.close()
        assert process.stdout.read() == samples[1000:].tobytes()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("stream", "name", "use"), [("stdin", "standard input", open_reader), ("stdout", "standard output", check_output)]
)
def test_a_standard_stream_that_is_closed_or_a_terminal(monkeypatch, stream, name, use):
    monkeypatch.setattr(sys, stream, None)
    with pytest.raises(ZooError, match=f"{name}: is closed"):
        use("-")
    monkeypatch.setattr(sys, stream, SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: True))
    with pytest.raises(ZooError, match=f"{name}: is a terminal"):
        use("-")


def test_a_folder_that_may_not_be_written_to_is_named_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "there.wav").touch()
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # as for a user who is not root
    for name in ("there.wav", "new.wav"):
        with pytest.raises(ZooError, match=rf"{name}: cannot be written \(no permission to write to {tmp_path}\)"):
            check_output(tmp_path / name, force=True)
    with pytest.raises(ZooError, match="no permission to write"):
        check_folder(tmp_path / "folder" / "below")
    check_output("/dev/null")
