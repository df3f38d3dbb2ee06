"""Token files: enough to decode, exactly as the `.zac` file that they were made with, or refused."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, sound
from zoo import coding, tokens
from zoo.coding import codes as bare_codes
from zoo.coding.rate import Planned
from zoo.errors import ZooError
from zoo.nn.bottlenecks import SymbolFormat

pytestmark = pytest.mark.usefixtures("quick_module")

NAMES = ("autoencoder", "vae", "gan_vocoder")
LENGTH = 20_001
"""samples, of three packets at 8 kHz, the last of them shorter"""


def coded(codec, audio, sample_rate=RATE, *, levels=None, level=None, **options) -> tuple[bytes, tokens.Tokens]:
    """A `.zac` file, and its tokens; `levels` are those of its packets."""
    packets: list[np.ndarray] = []
    policy = coding.level_policy(codec.engine, None, level) if levels is None else Planned(levels)
    encoder = coding.StreamEncoder(
        codec.engine,
        sample_rate,
        audio.shape[1],
        policy=policy,
        packet_frames=codec.packet_frames(),
        on_codes=lambda codes, _: packets.append(codes),
        **options,
    )
    blob = encoder.push(audio) + encoder.finish()
    return blob, tokens.of(encoder, packets)


def refused(call) -> str:
    with pytest.raises(ZooError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("channels", "rate", "options"),
    [(1, RATE, {"level": 0}), (1, RATE, {"mixed": True}), (2, 6_000, {"mixed": True}), (2, RATE, {"mid_side": False})],
)
def test_a_token_file_decodes_as_the_coded_file_does(build, tmp_path, name, channels, rate, options):
    codec = build(name)
    audio = sound(LENGTH, channels, sample_rate=rate)
    if "mixed" in options:  # the dictionary is every family's, and so is not changed
        highest = codec.n_levels - 1
        options = {"levels": [highest // 2, 0, highest] * 2}
    blob, made = coded(codec, audio, rate, **options)
    path = tmp_path / "song.npy"
    tokens.save(path, made)
    found = tokens.load(str(path))
    decoded = codec.decode(found)
    expected = codec.decompress(blob).audio
    np.testing.assert_array_equal(decoded, expected)
    assert (decoded.shape, decoded.dtype, found.sample_rate) == ((LENGTH, channels), np.float32, rate)
    # what numpy reads is an ordinary array, with -1 where a packet's level has fewer codes
    plain = np.load(path)
    np.testing.assert_array_equal(plain, found.codes)
    assert plain.dtype == np.int16
    assert plain.shape[:2] == (channels, codec.module.n_frames(-(-LENGTH * RATE // rate)))
    size = codec.packet_frames()
    for i, level in enumerate(found.levels):
        packet = plain[:, i * size : (i + 1) * size]
        n_codes = codec.symbols.n_codes(level)
        assert (packet[..., :n_codes] >= 0).all()
        assert (packet[..., n_codes:] == -1).all()
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), plain)


@pytest.mark.parametrize(("name", "shape"), [("vae", (LENGTH,)), ("vae", (LENGTH, 2)), ("gan_vocoder", (1, LENGTH, 1))])
def test_what_encode_gives_can_be_kept(build, tmp_path, name, shape):
    codec = build(name)
    encoded = codec.encode(np.resize(sound(LENGTH), shape), 11_025, level=1)
    tokens.save(tmp_path / "song.npy", codec.tokens(encoded))
    found = tokens.load(tmp_path / "song.npy")
    assert (found.sample_rate, found.n_samples, set(found.levels)) == (11_025, LENGTH, {1})
    np.testing.assert_array_equal(found.codes, encoded.codes)
    decoded = codec.decode(encoded)
    np.testing.assert_allclose(codec.decode(found).reshape(shape), decoded, atol=1e-5 * np.abs(decoded).max())
    with pytest.raises(ZooError, match=r"tokens are of one clip"):
        codec.tokens(codec.encode(np.zeros((2, 900, 1), np.float32)))


def test_the_array_alone_is_enough_where_it_can_be(build):
    codec = build("gan_vocoder")
    audio = sound(LENGTH)
    blob, made = coded(codec, audio, levels=[1, 0, 3])
    expected = codec.decompress(blob).audio
    np.testing.assert_allclose(codec.decode(made.codes, length=LENGTH)[0], expected, atol=1e-6)
    # of a stereo file they are those of mid and side, and so is the audio
    blob, made = coded(codec, sound(LENGTH, 2), levels=[1, 0, 3])
    mid, side = codec.decode(made.codes, length=LENGTH)[..., 0]
    both = np.stack([mid + side, mid - side], axis=1) / np.sqrt(2)
    np.testing.assert_allclose(both, codec.decompress(blob).audio, atol=1e-5)
    # the levels of a grid cannot be seen
    assert "at which of the 5 levels" in refused(lambda: build("vae").decode(coded(build("vae"), audio)[1].codes))


def test_levels_of_frames_that_hold_several_codes_of_a_codebook():
    symbols = SymbolFormat((4, 4, 4), n_levels=2, n_always=1, subframes=2)  # 4 or 6 codes
    codes = np.array([[[1, 1, 1, 1, -1, -1], [1, 1, 1, 1, 1, 1]]])
    checked = bare_codes.check(codes, symbols, frame_multiple=1)
    np.testing.assert_array_equal(bare_codes.levels(checked, symbols), [[0, 1]])
    codes[0, 1, 5] = -1
    said = refused(lambda: bare_codes.levels(codes, symbols))
    assert said.startswith("codes of clip 0, frame 1: a frame has its first 4, 6 codes")


def test_no_samples_are_no_tokens(build, tmp_path):
    codec = build("vae")
    encoder = codec.stream_encoder(RATE, 2)
    blob = encoder.finish()
    tokens.save(tmp_path / "a.npy", tokens.of(encoder, []))
    found = tokens.load(tmp_path / "a.npy")
    assert (found.codes.shape, found.levels) == ((2, 0, 0), ())
    assert codec.decode(found).shape == codec.decompress(blob).audio.shape == (0, 2)


def test_tokens_may_be_changed_and_put_back(build, tmp_path):
    codec = build("gan_vocoder")
    _, made = coded(codec, sound(LENGTH))
    other = codec.encode(sound(LENGTH, seed=1)).codes
    changed = dataclasses.replace(made, codes=other)
    tokens.save(tmp_path / "a.npy", changed)
    np.testing.assert_allclose(
        codec.decode(tokens.load(tmp_path / "a.npy"))[None], codec.decode(other, length=LENGTH), atol=1e-6
    )
    assert "exists already" in refused(lambda: tokens.save(tmp_path / "a.npy", made))
    tokens.save(tmp_path / "a.npy", made, force=True)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), made.codes)


def test_parts_that_do_not_go_together_are_refused(build):
    codec = build("gan_vocoder")
    _, made = coded(codec, sound(LENGTH), levels=[1, 0, 3])
    codes, header = made.codes, made.header
    for changes, said in (
        ({"codes": codes.astype(np.float32)}, "tokens must be integers (streams, frames, codes)"),
        ({"codes": codes[0]}, "tokens must be integers"),
        ({"codes": codes[:, :100]}, "100 frames in packets of 200, but 3 levels"),
        ({"levels": made.levels[:-1]}, "but 2 levels"),
        ({"levels": (1, 0, -2)}, "may be negative"),
        ({"n_samples": -1}, "may be negative"),
        ({"n_samples": 8000}, "8000 samples take 200 frames, the tokens are 501"),
        ({"levels": (1, 0, 9)}, "packet 2: level 9, but the codec has 4"),
        ({"levels": (2, 0, 3)}, "packet 0: level 2 has 3 codes to a frame, each in [0, size), and -1 beyond"),
        ({"codes": np.where(codes > 14, 16, codes)}, "codes to a frame, each in [0, size)"),
        ({"codes": codes[..., :2]}, "packet 2: 1 streams of 4 codes a frame, got 1 of 2"),
        ({"codes": codes.repeat(3, axis=0)}, "packet 0: 1 streams of 2 codes a frame, got 3 of 4"),
        ({"header": dataclasses.replace(header, weights_hash=bytes(16))}, "it was made with weights 0000"),
    ):
        assert said in refused(lambda changes=changes: codec.decode(dataclasses.replace(made, **changes)))
    for options in ({"length": 100}, {"level": 1}):
        assert "length and level belong to bare codes" in refused(lambda options=options: codec.decode(made, **options))


def test_a_file_that_is_no_token_file_is_named(build, tmp_path):
    _, made = coded(build("vae"), sound(4000))
    path = tmp_path / "a.npy"
    assert refused(lambda: tokens.load(path)).endswith("a.npy: cannot be read (No such file or directory)")
    assert "cannot be read (Is a directory)" in refused(lambda: tokens.load(tmp_path))
    np.save(path, made.codes)
    assert "a.npy: holds codes alone, and not how they were made (level, " in refused(lambda: tokens.load(path))
    tokens.save(path, made, force=True)
    data = path.read_bytes()
    begin = data.index(b'{"format"')
    for n in (0, 3, 40, begin - 200, begin - 5, begin + 7, len(data) - 1):
        path.write_bytes(data[:n])
        assert str(path) in refused(lambda: tokens.load(path))
    about = json.loads(data[begin:])
    for changes, said in (
        ({"version": 2}, "version 2; this program reads version 1"),
        ({"format": "x"}, "damaged token file: ValueError its format is 'x'"),
        ({"levels": "high"}, "level must be a number"),
        ({"levels": [0.5, 1]}, "level must be a whole number"),
        ({"channels": 100}, "100 channels"),
        ({"samples": None}, "samples must be a number"),
        ({"weights": "xyz"}, "damaged token file: ValueError"),
        ({"weights": "00"}, "a hash of weights has 16 bytes"),
        ({"mid_side": True}, "mid/side needs 2 channels"),
    ):
        stream = io.BytesIO()
        np.save(stream, made.codes)
        np.save(stream, np.frombuffer(json.dumps(about | changes).encode(), np.uint8))
        path.write_bytes(stream.getvalue())
        assert said in refused(lambda: tokens.load(path))
    for other in ([], "x", 3, None, {}):
        stream = io.BytesIO()
        np.save(stream, made.codes)
        np.save(stream, np.frombuffer(json.dumps(other).encode(), np.uint8))
        path.write_bytes(stream.getvalue())
        assert "a.npy: is a damaged token file: " in refused(lambda: tokens.load(path))
    np.save(path, np.array([None]), allow_pickle=True)
    assert "no array that can be read" in refused(lambda: zoo.tokens.load(path))


def test_the_module_is_found_from_the_package():
    assert zoo.tokens.load is tokens.load
    assert zoo.Tokens is tokens.Tokens
    assert Path(zoo.tokens.__file__).name == "tokens.py"
