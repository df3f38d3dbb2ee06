"""Codecs at a bitrate that every clip keeps to by itself."""

import numpy as np
import pytest

from evaluate.systems import RatedSystem
from tests.evaluate.test_evaluation import RATE, tiny_codec, tone
from zoo.errors import ZooError


@pytest.fixture(scope="module")
def codec():
    return tiny_codec("gan_vocoder")


def kbps(coded, n_samples):
    return 8 * coded.payload_bytes / n_samples * RATE / 1000


def test_loud_and_soft_clips_cost_the_same(codec):
    lowest, highest = (kbps(RatedSystem(codec, "x", rate, RATE, 1).process(tone(8000)), 8000) for rate in (1e-3, 1e3))
    wanted = (lowest + 2 * highest) / 3
    system = RatedSystem(codec, "tiny", wanted, RATE, 1)
    assert system.name == f"tiny:{wanted:g}"
    assert system.level is None
    for gain in (1.0, 0.01):
        assert lowest < kbps(system.process(gain * tone(8000)), 8000) <= wanted


def test_it_is_the_file_that_the_codec_makes_at_that_bitrate(codec):
    coded = RatedSystem(codec, "tiny", 1e3, RATE, 1).process(tone(4000))
    blob = codec.compress(tone(4000), RATE, bitrate=1e3)
    assert coded.n_bytes == len(blob)
    np.testing.assert_array_equal(coded.samples, codec.decompress(blob).audio)


def test_a_rate_below_the_lowest_level_is_that_level(codec):
    coded = RatedSystem(codec, "tiny", 1e-3, RATE, 1).process(tone(4000))
    np.testing.assert_array_equal(coded.samples, codec.decompress(codec.compress(tone(4000), RATE, level=0)).audio)


def test_rates_are_kept_apart_by_the_cache_and_must_be_above_zero(codec):
    assert len({RatedSystem(codec, "tiny", rate, RATE, 1).identity for rate in (3.0, 6.0)}) == 2
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ZooError, match=f"tiny:{rate:g}: a bitrate must be above 0, and finite"):
            RatedSystem(codec, "tiny", rate, RATE, 1)
