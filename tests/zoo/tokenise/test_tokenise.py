"""`python -m zoo tokenise` and `detokenise`: what comes back, how work is cut, and what is said of bad input."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import soundfile

from evaluate.bench.models import random_codec
from tests.audio_files import noise, write
from tests.zoo.conftest import complaint
from tests.zoo.tokenise.conftest import contents
from zoo import audio, tokens
from zoo.__main__ import main
from zoo.commands import tokenise as commands_tokenise
from zoo.errors import ZooError
from zoo.nn.bottlenecks import SymbolFormat
from zoo.tokenise import Row, local, read, to_tokens

FILES = ("a.wav", "b/b.flac", "b/c.ogg", "b/d.wav", "e.wav")


def rows(folder: str) -> list[Row]:
    return [row for shard in sorted(Path(folder, "data").iterdir()) for row in read(shard)]


def manifest(folder: str) -> dict:
    return json.loads(Path(folder, "manifest.json").read_text())


def test_what_comes_back_is_what_the_coded_file_gives(tokenise, library, codec):
    assert tokenise("out") == 0
    main(["detokenise", "out", "back", "--ckpt", "runs/tiny", "--subtype", "FLOAT"])
    assert [row.key for row in rows("out")] == list(FILES)
    for name in FILES:
        samples, rate = soundfile.read(library / name, dtype="float32", always_2d=True)
        expected, _ = codec.decompress(codec.compress(samples, rate))
        back, its_rate = soundfile.read(f"back/{name.removesuffix('.wav')}.wav", dtype="float32", always_2d=True)
        assert its_rate == rate
        np.testing.assert_array_equal(back, expected)


def test_a_clip_among_others_has_the_codes_that_it_has_alone(tokenise, library, codec):
    tokenise("out", "--stereo", "separate", "--level", "1")
    for row in rows("out"):
        samples, rate = soundfile.read(library / row.key, dtype="float32", always_2d=True)
        assert row.values.dtype == np.int16
        np.testing.assert_array_equal(row.values, codec.encode(samples, rate, level=1).codes)
        assert (row.samples, row.sample_rate, row.channels) == (len(samples), rate, samples.shape[1])


def test_rows_are_those_of_token_files(tokenise, library):
    tokenise("out")
    main(["encode", "lib/a.wav", "a.zac", "--ckpt", "runs/tiny", "--tokens"])
    made, expected = to_tokens(rows("out")[:1]), tokens.load("a.npy")
    np.testing.assert_array_equal(made.codes, expected.codes)
    assert (made.levels, made.header, made.n_samples) == (expected.levels, expected.header, expected.n_samples)


def test_parts_in_any_order_give_the_same_folder(tokenise):
    cut = ("--unit_mb", "0.07")
    assert tokenise("one", *cut) == 0
    for part in ("2/3", "0/3", "1/3"):
        assert not Path("three/manifest.json").exists()
        assert tokenise("three", *cut, "--part", part) == 0
    assert contents(Path("one")) == contents(Path("three"))
    assert manifest("one")["clips"] == 5
    assert len(manifest("one")["shards"]) > 2


def test_an_output_in_the_input_is_none_of_it(tokenise, library, monkeypatch):
    monkeypatch.chdir(library)
    for source in (".", str(library), "."):  # its Parquet would be a table without audio
        assert tokenise("b/out", source=source) == 0
    assert manifest("b/out")["clips"] == 5


def test_a_thread_to_each_device_gives_the_same_folder(tokenise, codec, monkeypatch):
    tokenise("one", "--unit_mb", "0.07")
    devices = jax.devices()[:2]
    monkeypatch.setattr("zoo.tokenise.local.run", partial(local._in_threads, devices=devices))
    assert tokenise("two", "--unit_mb", "0.07", workers="3") == 0
    assert contents(Path("one")) == contents(Path("two"))


def test_actors_of_ray_give_the_same_folder(tokenise):
    ray = pytest.importorskip("ray")
    tokenise("one", "--unit_mb", "0.07")
    with ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error"):
        assert tokenise("two", "--unit_mb", "0.07", "--engine", "ray") == 0
    assert contents(Path("one")) == contents(Path("two"))


def test_what_fails_in_a_thread_ends_the_others(tokenise, monkeypatch, capfd):
    def fail(self, unit):
        if unit.index == 1:
            raise ZooError("a disk is full")
        assert self._stop.wait(30)

    monkeypatch.setattr("zoo.tokenise.work.Worker.run", fail)
    monkeypatch.setattr("zoo.tokenise.local.run", partial(local._in_threads, devices=jax.devices()[:2]))
    assert tokenise("out", "--unit_mb", "0.07", workers="2") == 2
    assert capfd.readouterr().err == "error: a disk is full\n"


def test_more_work_is_not_done_twice(tokenise, capfd, monkeypatch):
    tokenise("out")
    before = contents(Path("out"))
    monkeypatch.setattr("zoo.tokenise.work.Worker.run", None)
    capfd.readouterr()
    assert tokenise("out") == 0
    assert capfd.readouterr().err == "1 of 1 units are done already\n"
    assert contents(Path("out")) == before
    (shard,) = Path("out/data").iterdir()
    shard.unlink()
    assert tokenise("out") == 2
    said = capfd.readouterr().err
    assert f"out/data/{shard.name}: is gone; remove .units/000000.json and run again" in said


def test_a_long_clip_is_several_rows_in_shards_of_bounded_size(tokenise, library, codec):
    frames = codec.packet_frames()
    row_bytes = 2 * 20 * frames  # a packet of 20 codes a frame
    assert tokenise("out", "--shard_mb", str(4 * row_bytes / 1e6)) == 0
    found = [row for row in rows("out") if row.key == "b/b.flac"]
    assert [(row.part, row.last, row.values.shape[1]) for row in found[:2]] == [(0, False, frames), (1, False, frames)]
    assert found[-1].last
    assert sum(row.samples for row in found) == 20_800
    assert [row.samples for row in found[:2]] == [8_000, 8_000]
    assert all(shard["bytes"] < 5 * row_bytes + 10_000 for shard in manifest("out")["shards"])
    tokenise("whole")
    (whole,) = [row for row in rows("whole") if row.key == "b/b.flac"]
    np.testing.assert_array_equal(np.concatenate([row.values for row in found], axis=1), whole.values)
    for name in ("out", "whole"):
        main(["detokenise", name, f"{name}-back", "--ckpt", "runs/tiny"])
    assert contents(Path("out-back")) == contents(Path("whole-back"))


def test_clips_that_are_computed_together_give_the_same_shards(tokenise, library):
    """Among them long ones, which take several rows, some of an archive, and some that fail in their middle."""
    for seed, length in enumerate([30_000, 900, 4_000, 17_000, 12_345]):
        samples = noise(length, seed=20 + seed)
        if seed == 3:
            samples[-5] = np.nan
        write(library / "more" / f"{seed}.wav", samples, 8_000, subtype="FLOAT")
    with tarfile.open(library / "c.tar", "w") as archive:
        for path in sorted((library / "more").iterdir()):
            archive.add(path, path.name)
    options = ("--shard_mb", "0.01")
    assert tokenise("alone", *options) == tokenise("together", *options, "--batch_size", "3") == 1
    assert contents(Path("together")) == contents(Path("alone"))
    assert len(Path("alone/errors.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(("channels", "streams"), [("each", 6), ("mix", 1), ("first", 1), ("surround", 6)])
def test_channels(tokenise, library, codec, channels, streams, capfd):
    tokenise("out", "--channels", channels)
    (row,) = [row for row in rows("out") if row.key == "e.wav"]
    samples = soundfile.read(library / "e.wav", dtype="float32")[0]
    mixed = samples @ np.array([0.5**0.5, 0.5**0.5, 1, 0, 0.5, 0.5]) / (2**0.5 + 2)  # 5.1, as ITU-R BS.775 has it
    expected = {"each": samples, "surround": samples, "mix": mixed.astype(np.float32), "first": samples[:, 0]}[channels]
    assert (row.values.shape[0], row.channels, row.source_channels) == (streams, streams, 6)
    codes = codec.encode(expected, 8_000).codes
    if channels == "mix":  # whose sum may be rounded otherwise
        assert np.mean(row.values == codes) > 0.999
    else:
        np.testing.assert_array_equal(row.values, codes)
    found = manifest("out")
    assert found["plan"]["settings"]["channels"] == channels
    what = {"mix": "mixed to 1 (ITU-R BS.775)", "first": "the first 1 taken"}.get(channels, "each coded")
    said = f"6 channels (FL FR FC LFE BL BR), {what}"
    assert found["channels"][said] == 1
    assert row.layout == "FL FR FC LFE BL BR"
    assert f"1 clip of {said}" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["000000-000.npy", "000000-000.jsonl"])
def test_one_shard_is_decoded_by_itself(tokenise, name):
    tokenise("out", "--format", "npy")
    main(["detokenise", "out", "all"])
    main(["detokenise", f"out/data/{name}", "one"])
    assert contents(Path("all")) == contents(Path("one"))


def test_a_codec_of_two_channels(quick, tokenise, library, monkeypatch):
    """Takes one or two; of six it has all mixed, or the first ones, or cannot."""
    size = {"latent_dim": 8, "widths": (8, 8), "strides": (5, 8), "dilations": (1,)}
    stereo = random_codec("vae", sample_rate=8_000, channels=2, **size)
    monkeypatch.setattr("zoo.commands.tokenise.find_codec", lambda *_: stereo)
    for channels, expected in (("each", 1), ("mix", 0), ("first", 0)):
        assert tokenise(channels, "--channels", channels) == expected
    samples = soundfile.read(library / "e.wav", dtype="float32")[0]
    (mixed,), (first,) = ([row for row in rows(name) if row.key == "e.wav"] for name in ("mix", "first"))
    np.testing.assert_array_equal(first.values, stereo.encode(samples[:, :2], 8_000).codes)
    assert mixed.values.shape == first.values.shape
    assert [row.key for row in rows("each")] == list(FILES[:-1])
    (error,) = map(json.loads, Path("each/errors.jsonl").read_text().splitlines())
    assert error["reason"] == "audio has 6 channels, this codec 2: give it 1 or 2"
    (one,) = [row for row in rows("each") if row.key == "b/d.wav"]
    mono = soundfile.read(library / "b" / "d.wav", dtype="float32")[0]
    np.testing.assert_array_equal(one.values, stereo.encode(mono, 8_000).codes)
    # one by one, as six recordings of one channel, and back with their loudspeakers
    assert tokenise("surround", "--channels", "surround") == 0
    (row,) = [row for row in rows("surround") if row.key == "e.wav"]
    alone = [stereo.encode(samples[:, c], 8_000) for c in range(6)]
    np.testing.assert_array_equal(row.values, np.concatenate([each.codes for each in alone]))
    main(["detokenise", "surround", "back", "--subtype", "FLOAT"])
    back = soundfile.read("back/e.wav", dtype="float32")[0]
    np.testing.assert_allclose(back, np.stack([stereo.decode(each) for each in alone], axis=1), atol=1e-5)
    assert audio.probe("back/e.wav").layout == ("FL", "FR", "FC", "LFE", "BL", "BR")
    assert audio.probe("back/b/d.wav").channels == 1


def test_a_codec_without_codes_has_latents(tokenise, codec, monkeypatch, capfd):
    monkeypatch.setitem(vars(codec.engine), "symbols", SymbolFormat(()))  # where it is kept once it was asked for
    said = complaint(capfd, "tokenise", "lib", "out")
    assert "has no codes, its latents are continuous: give --latents" in said


def test_latents(tokenise, library, codec):
    tokenise("out", "--latents", "--channels", "first")
    (row,) = [row for row in rows("out") if row.key == "b/b.flac"]
    samples, rate = soundfile.read(library / "b/b.flac", dtype="float32")
    latents = codec.encode_latents(samples, rate)
    assert row.values.dtype == np.float16
    np.testing.assert_array_equal(row.values, latents.astype(np.float16))
    main(["detokenise", "out", "back", "--ckpt", "runs/tiny", "--subtype", "FLOAT"])
    back = soundfile.read("back/b/b.flac.wav", dtype="float32")[0]
    expected = codec.decode_latents(latents.astype(np.float16), len(samples))[0, :, 0]
    np.testing.assert_allclose(back, expected, atol=1e-6)


def test_a_name_that_is_no_text_is_spelt_out(tokenise, library):
    source = (library / "b" / "d.wav").read_bytes()
    Path("odd").mkdir()
    (Path("odd") / os.fsdecode(b"\xff\n.wav")).write_bytes(source)
    assert tokenise("out", source="odd") == 0
    main(["detokenise", "out", "back"])
    assert [row.key for row in rows("out")] == [path.name for path in Path("back").iterdir()] == [r"\xff\n.wav"]


def tar_of(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_archives_give_what_their_files_do(tokenise, library):
    tokenise("plain")
    Path("packed").mkdir()
    data = {name: (library / name).read_bytes() for name in FILES}
    tar_of(Path("packed/s.tar"), {**data, "a.json": b"{}", "b/._c.ogg": b"junk"})
    assert tokenise("out", source="packed") == 0
    assert tokenise("alone", source="packed/s.tar") == 0
    expected = [(f"s.tar/{row.key}", row.values.tobytes()) for row in rows("plain")]
    assert [(row.key, row.values.tobytes()) for row in rows("out")] == expected
    assert [(row.key, row.values.tobytes()) for row in rows("alone")] == expected


def silent_film(path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


def test_what_cannot_be_coded_is_listed_with_its_reason(tokenise, library, capfd):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    (library / "b" / "text.mp3").write_text("no music at all")
    (library / "b" / "empty.wav").write_bytes(b"")
    (library / "z.zip").write_bytes(b"PK\x03\x04")
    good = (library / "a.wav").read_bytes()
    tar_of(library / "n.tar", {"in.tar": b"x", "good.wav": good, "../up.wav": good})
    (library / "cut.tar").write_bytes((library / "n.tar").read_bytes()[:9_000])
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), library / "t.parquet")
    silent_film(library / "film.mp4")
    assert tokenise("out") == 1
    lines = map(json.loads, Path("out/errors.jsonl").read_text().splitlines())
    errors = {line["key"]: line["reason"] for line in lines}
    assert list(errors) == [
        "b/empty.wav", "b/text.mp3", "cut.tar/in.tar", "cut.tar", "film.mp4", "n.tar/in.tar", "n.tar/../up.wav",
        "t.parquet", "z.zip",
    ]  # fmt: skip
    assert errors["b/empty.wav"] == "holds no samples"
    assert errors["n.tar/in.tar"] == "is an archive in an archive, which is not opened"
    assert errors["n.tar/../up.wav"] == "has a name that leads out of its archive"
    assert errors["t.parquet"].endswith("its columns: text (string), n (int64)")
    assert errors["film.mp4"] == "holds no sound"
    assert errors["cut.tar"].startswith("this archive cannot be read to its end")
    assert "a kind that is not read" in errors["z.zip"]
    assert "n.tar/good.wav" in {row.key for row in rows("out")}
    assert (manifest("out")["clips"], manifest("out")["errors"]) == (6, 9)
    assert "9 clips could not be coded: out/errors.jsonl says why" in capfd.readouterr().err
    assert tokenise("out") == 1  # once more, the status says so


@pytest.mark.parametrize("shard_mb", ["32", "0.01"])
def test_a_clip_whose_end_is_damaged_leaves_no_row(tokenise, library, shard_mb):
    """Though its beginning is coded by then, and may be a row of its own."""
    samples = noise(40_000, seed=6)
    samples[-5] = np.nan
    write(library / "nan.wav", samples, 8_000, subtype="FLOAT")
    assert tokenise("out", "--shard_mb", shard_mb) == 1
    assert "nan.wav" not in {row.key for row in rows("out")}
    assert json.loads(Path("out/errors.jsonl").read_text())["reason"] == "NaN at 4.999375 s, channel 0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "out"), "nowhere: no such file or folder"),
        (("lib", "lib"), "lib: is the input"),
        (("lib", "song.wav"), "song.wav: cannot be read (Not a directory)"),
        (("lib", "busy"), "busy: holds other things (notes.txt)"),
        (("lib", "out", "--part", "3/3"), "--part 3/3: give I/N, I from 0 to N - 1"),
        (("lib", "out", "--part", "x"), "--part x: give I/N"),
        (("lib", "out", "--level", "9"), "level 9 is not between 0 and 2"),
        (("lib", "out", "--latents", "--level", "1"), "--level is of codes"),
        (("lib", "out", "--workers", "0"), "--workers 0 is not positive"),
        (("lib", "out", "--shard_mb", "nan"), "--shard_mb nan is not positive"),
        (("lib", "out", "--batch_size", "0"), "batch_size must be at least 1, got 0"),
        (("lib", "out", "--unit_mb", "inf"), "--unit_mb inf is more than 1e+09"),
        (("empty", "out"), "empty: holds neither audio files nor archives"),
        (("nothing://bucket", "out"), "nothing://bucket: no store of this kind is known"),
        (("memory://not-there", "out"), "memory://not-there: there is nothing there"),
    ],
)
def test_bad_input_is_one_line(tokenise, capfd, arguments, said):
    Path("busy").mkdir()
    Path("busy/notes.txt").write_text("mine")
    Path("empty").mkdir()
    assert said in complaint(capfd, "tokenise", *arguments)
    assert not Path("out").exists()
    assert contents(Path("busy")) == {"notes.txt": b"mine"}


def test_a_folder_that_was_begun_otherwise_is_left_alone(tokenise, library, codec, capfd, monkeypatch):
    tokenise("out")
    before = contents(Path("out"))
    said = complaint(capfd, "tokenise", "lib", "out", "--level", "0", "--format", "npy")
    assert "out: was begun with other options: format 'parquet', now 'npy', level 1, now 0" in said
    said = complaint(capfd, "tokenise", "lib", "out", "--precision", "bfloat16")
    assert "precision 'float32', now 'bfloat16'" in said
    write(library / "new.wav", noise(1_000), 8_000)
    assert "the input was 5 files" in complaint(capfd, "tokenise", "lib", "out")
    other = replace(codec, metadata={**codec.metadata, "family": "another"})
    monkeypatch.setattr("zoo.commands.tokenise.find_codec", lambda *_: other)
    said = complaint(capfd, "tokenise", "lib", "out")
    assert "its shards are by another codec" in said
    assert other.digest.hex() in said
    said = complaint(capfd, "detokenise", "out", "back")
    assert f"this one is {other.digest.hex()}" in said
    assert contents(Path("out")) == before


def test_a_folder_from_before_there_were_precisions_is_gone_on_with(tokenise, capfd):
    tokenise("out")
    plan = json.loads(Path("out/plan.json").read_text())
    assert plan["settings"].pop("precision") == "float32"
    Path("out/plan.json").write_text(json.dumps(plan))
    assert tokenise("out") == 0
    assert "units are done already" in capfd.readouterr().err


@pytest.mark.parametrize("key", ["../up.wav", "/abs.wav"])
def test_a_key_does_not_lead_out_of_the_folder(tokenise, key):
    Path("packed").mkdir()
    tar_of(Path("packed/s.tar"), {key: Path("lib/a.wav").read_bytes()})
    if ".." in key:
        assert tokenise("out", source="packed") == 1
        assert "leads out of its archive" in Path("out/errors.jsonl").read_text()
        with pytest.raises(ZooError, match="is no name of a file below a folder"):  # in shards that others made
            commands_tokenise._file_name(SimpleNamespace(key=f"s.tar/{key}"), ".wav")
    else:
        assert tokenise("out", source="packed") == 0
        main(["detokenise", "out", "back"])
        assert [path.as_posix() for path in Path("back").rglob("*.wav")] == ["back/s.tar/abs.wav"]
