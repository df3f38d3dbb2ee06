"""Many clips at once: what each gives is what it gives alone, whatever else is computed with it."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, sound
from tests.zoo.published import small
from zoo.coding.batches import Batches
from zoo.coding.chunks import Chunks
from zoo.coding.stream import FrameDecoder, FrameEncoder
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

PUBLISHED = {
    "mimi": {"name": "small"},  # attention
    "encodec": {"name": "causal"},  # LSTM
    "snac": {"name": "speech", "layout": "original"},  # noise by the number of the frame, which looks ahead
    "vocos": {"name": "mels", "layout": "original"},  # remembers nothing
    "neucodec": {"name": "neucodec"},  # encodes whole clips
}


def ready(name: str) -> zoo.ReadyCodec:
    return small.ready(name, **PUBLISHED[name])


@functools.cache
def chunks(name: str, batch_size: int) -> Chunks:
    """Of twelve frames; compiled for all tests."""
    codec = ready(name)
    return Chunks(codec.module, codec.variables, 12, batch_size)


def clips(codec: zoo.ReadyCodec, n_frames: list[int], streams: list[int]) -> list[np.ndarray]:
    """Clips (n_streams, T, C)."""
    hop = codec.hop_length
    channels = codec.channels
    made = []
    for i, (frames, n) in enumerate(zip(n_frames, streams)):
        n_samples = frames * hop - i
        made.append(np.stack([sound(n_samples, channels, seed=10 * i + stream) for stream in range(n)]))
    return made


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * max(np.abs(wanted).max(), 1e-3))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_clip_among_others_is_what_it_is_alone(name):
    codec, alone = ready(name), chunks(name, 1)
    together = chunks(name, 2)  # fewer than one of the clips has streams
    whole = codec.module.encodes_whole  # and compiled for each length
    made = clips(codec, *([50, 7, 31, 12, 90, 24], [1, 2, 1, 5, 1, 1]) if not whole else ([16, 9, 12], [1, 2, 1]))
    batches = Batches(together, lambda latents, n_frames: latents)
    rng = np.random.default_rng(0)
    open_clips = [batches.open(len(clip)) for clip in made]
    places, given_up = [0] * len(made), 2
    while any(place is not None for place in places):
        i = int(rng.choice([i for i, place in enumerate(places) if place is not None]))
        n = int(rng.integers(1, 20 * codec.hop_length))
        open_clips[i].push(made[i][:, places[i] : places[i] + n])
        places[i] += n
        if i == given_up and places[i] > 14 * codec.hop_length:
            batches.close(open_clips[i])
            places[i] = None
        elif places[i] >= made[i].shape[1]:
            open_clips[i].finish()
            places[i] = None
        if rng.random() < 0.3:
            batches.step()
    while batches.step():
        pass
    assert batches.held_bytes == 0
    for i, (clip, among) in enumerate(zip(made, open_clips)):
        if i == given_up:
            continue
        encoder = FrameEncoder(alone, len(clip))
        wanted = np.concatenate([*encoder.push(clip), *encoder.finish()], axis=1)
        close(np.concatenate(among.take_values(), axis=1), wanted)


@pytest.mark.parametrize("name", ["mimi", "snac", "vocos"])
def test_streams_of_a_batch_are_what_they_are_alone(name):
    codec = ready(name)
    several, alone = (chunks(name, batch_size) for batch_size in (2, 1))
    (audio,) = clips(codec, [40], [5])

    def coded(by: Chunks) -> tuple[np.ndarray, np.ndarray]:
        encoder, decoder = FrameEncoder(by, len(audio)), FrameDecoder(by, len(audio))
        parts = [*encoder.push(audio), *encoder.finish()]
        pieces = [decoder.push(part) for part in parts]
        return np.concatenate(parts, axis=1), np.concatenate([*pieces, decoder.finish(audio.shape[1])], axis=1)

    if name == "vocos":  # its decoder takes the spectrogram that its encoder computes
        assert not jax.tree.leaves(several.encoder_carry())
    for found, wanted in zip(coded(several), coded(alone)):
        close(found, wanted)


def test_files_and_codes_do_not_depend_on_the_batch_size(build):
    codec = build("vae")
    other = codec.with_batch_size(4)
    audio = np.stack([sound(2 * RATE + 77, seed=i) for i in range(5)])
    encoded = codec.encode(audio)
    np.testing.assert_array_equal(other.encode(audio).codes, encoded.codes)
    close(other.decode(encoded), codec.decode(encoded))
    stereo = sound(2 * RATE, 2)
    blob = codec.compress(stereo)
    assert other.compress(stereo) == blob
    close(other.decompress(blob).audio, codec.decompress(blob).audio)
    assert other.digest == codec.digest
    assert codec.with_batch_size(1).batch_size == 1


@pytest.mark.parametrize("size", [0, -3, 1.5, "many", None])
def test_a_batch_size_that_is_none(build, size):
    with pytest.raises(ZooError, match="batch_size"):
        build("vae").with_batch_size(size)
