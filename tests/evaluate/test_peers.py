"""Opus as a rival: the bytes it is charged for, its rate, and that its output lies on its input."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from scipy import signal

from evaluate import peers
from evaluate.clips import Clip
from evaluate.evaluation import Trial, run
from zoo import audio
from zoo.errors import ZooError


def bursts(sample_rate: int, channels: int = 1, seconds: float = 3.0) -> np.ndarray:
    """Band-passed noise bursts: dense enough to cost what was asked, with one unmistakable best lag."""
    rng = np.random.default_rng(0)
    n = round(seconds * sample_rate)
    sos = signal.butter(4, [400, 3000], "band", fs=sample_rate, output="sos")
    envelope = 1 + 0.9 * np.sin(2 * np.pi * 3 * np.arange(n) / sample_rate)
    noise = signal.sosfilt(sos, rng.standard_normal((channels, n)), axis=1) * envelope
    return (0.15 * noise.T).astype(np.float32)


def trial(spec: str, sample_rate: int, channels: int = 1, n_samples: int | None = None) -> Trial:
    samples = bursts(sample_rate, channels)[:n_samples]
    peer = peers.create(spec, sample_rate=sample_rate, channels=channels)
    return run(peer, Clip("clip", "domain", samples, sample_rate))


@pytest.mark.parametrize(("sample_rate", "channels"), [(16_000, 1), (24_000, 1), (44_100, 1), (48_000, 2)])
@pytest.mark.parametrize("kbps", [12, 24, 64])
def test_rate_and_alignment(sample_rate: int, channels: int, kbps: int) -> None:
    found = trial(f"opus:{kbps}", sample_rate, channels)
    assert 8 * found.coded.n_bytes / 3 / 1000 == pytest.approx(kbps, rel=0.2)
    assert found.estimate.shape == found.reference.shape
    assert audio.align(found.reference, found.estimate, max_lag=500).lag == 0
    # what was undone is the speech mode's own shift, and no codec delay
    assert abs(audio.align(found.reference, found.coded.samples, max_lag=500).lag) <= 1e-4 * sample_rate
    assert np.sum((found.reference - found.estimate) ** 2) < np.sum(found.reference**2)


@pytest.mark.parametrize("n_samples", [1, 959, 961, 5003])
@pytest.mark.parametrize("sample_rate", [24_000, 44_100])
def test_exact_length(sample_rate: int, n_samples: int) -> None:
    found = trial("opus:32", sample_rate, n_samples=n_samples)
    assert found.coded.samples.shape == (n_samples, 1)
    assert found.coded.n_bytes > 0


def test_more_bits_come_closer() -> None:
    errors = [np.mean((t.reference - t.estimate) ** 2) for t in (trial(f"opus:{k}", 24_000) for k in (6, 24, 96))]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def page(packets_lacing: list[int], body: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(packets_lacing), *packets_lacing]) + body


def test_payload_counts_packets_across_pages_without_headers() -> None:
    # OpusHead of 19 bytes; OpusTags of 300 over two pages; audio of 10, 255 + 0, and 510 + 5 over two pages
    stream = page([19], bytes(19)) + page([255], bytes(255)) + page([45], bytes(45))
    stream += page([10, 255, 0, 255], bytes(520)) + page([255, 5], bytes(260))
    assert peers.payload_bytes(stream) == 10 + 255 + 515
    for broken in (b"RIFF" + stream, stream + b"Og"):
        with pytest.raises(ZooError, match="not an Ogg page"):
            peers.payload_bytes(broken)


def test_payload_leaves_out_what_ogg_adds() -> None:
    peer = peers.Opus("opus:24", 24, 24_000, 1)
    stream = peer.encode(bursts(24_000))
    # independently: from each page's header, its size is 27 + segments; header pages are those at granule position 0
    total, position = 0, 0
    while position < len(stream):
        granule, n_segments = struct.unpack_from("<q", stream, position + 6)[0], stream[position + 26]
        body = sum(stream[position + 27 : position + 27 + n_segments])
        total += body if granule else 0
        position += 27 + n_segments + body
    assert peers.payload_bytes(stream) == total < len(stream)


def test_rates_that_opus_has_are_coded_natively() -> None:
    for sample_rate, coded in ((24_000, 24_000), (44_100, 48_000), (16_000, 16_000), (22_050, 48_000)):
        peer = peers.Opus("opus:24", 24, sample_rate, 1)
        stream = io.BytesIO(peer.encode(bursts(sample_rate, seconds=0.2)))
        assert soundfile.info(stream).samplerate == peer.coded_rate == coded


@pytest.mark.parametrize(
    ("spec", "channels", "message"),
    [
        ("mp3:64", 1, r"unknown peer 'mp3:64'.*opus:KBPS"),
        ("opus", 1, r"'opus'.*kbps"),
        ("opus:fast", 1, r"'opus:fast'.*kbps"),
        ("opus:nan", 1, r"6 to 256"),
        ("opus:5", 1, r"6 to 256"),
        ("opus:10", 2, r"12 to 512"),
        ("opus:300", 1, r"6 to 256"),
    ],
)
def test_unknown_peers_are_named(spec: str, channels: int, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        peers.create(spec, sample_rate=24_000, channels=channels)
