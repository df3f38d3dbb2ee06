"""Spectrograms as small PNG pictures: mel bands, decibels below the original's peak."""

from __future__ import annotations

import struct
import zlib

import jax
import numpy as np

from zoo.nn import dsp

WIDTH, HEIGHT = 400, 96  # pixels: columns in time, mel bands
RANGE_DB = 80.0
N_COLOURS = 40  # 2 dB each: finer is not seen, and takes room
RATES_HZ = (500, 1000, 2000, 4000, 8000, 16_000)
# black over violet and orange to pale yellow, evenly rising in lightness, so that it also reads in grey
ANCHORS = (
    *((2, 2, 10), (26, 16, 66), (74, 16, 109), (120, 28, 109), (165, 44, 96)),
    *((207, 68, 70), (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 194)),
)

_stft = jax.jit(dsp.stft, static_argnums=(1, 2))


def bands_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Computes float32 (bands, columns) in dB of (T, C), lowest band first; powers of channels and frames are averaged.

    A clip of fewer frames than columns has its frames repeated. Digital silence is -200 dB.
    """
    n_fft = _n_fft(sample_rate)
    hop_length = n_fft // 4
    # whole seconds, so that clips of many lengths compile once
    padded = np.pad(samples, ((0, -len(samples) % sample_rate), (0, 0)))
    power = np.square(np.abs(np.asarray(_stft(padded.T, n_fft, hop_length)))).mean(axis=0)
    mels = power[: 1 + len(samples) // hop_length] @ dsp.mel_filterbank(sample_rate, n_fft, HEIGHT)
    edges = np.arange(WIDTH + 1) * len(mels) / WIDTH
    first = np.floor(edges[:-1]).astype(int)
    count = np.maximum(np.ceil(edges[1:]).astype(int) - first, 1)
    total = np.concatenate([np.zeros((1, HEIGHT)), np.cumsum(mels, axis=0, dtype=np.float64)])
    columns = (total[np.minimum(first + count, len(mels))] - total[first]) / count[:, None]
    return np.asarray(10 * np.log10(np.maximum(columns, 1e-20)).T, np.float32)


def picture(samples: np.ndarray, sample_rate: int, peak_db: float | None = None) -> bytes:
    """A PNG of (T, C), low frequencies below; black lies 80 dB under `peak_db` (default: this clip's own peak)."""
    levels = bands_db(samples, sample_rate)
    return shaded(levels, float(levels.max()) if peak_db is None else peak_db)


def shaded(levels_db: np.ndarray, peak_db: float) -> bytes:
    """A PNG of what `bands_db` gives, black 80 dB under `peak_db`."""
    shade = np.clip((levels_db - peak_db) / RANGE_DB + 1, 0, 1) * (N_COLOURS - 1)
    return png(np.rint(shade[::-1]).astype(np.uint8), palette())


def ticks(sample_rate: int) -> list[tuple[str, float]]:
    """Round frequencies, and how far from the bottom of the picture each lies: 0 to 1."""
    n_fft = _n_fft(sample_rate)
    filters = dsp.mel_filterbank(sample_rate, n_fft, HEIGHT)
    hz = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    filled = filters.sum(axis=0) > 0
    centres = (hz @ filters)[filled] / filters.sum(axis=0)[filled]
    places = (np.arange(HEIGHT)[filled] + 0.5) / HEIGHT
    found = [rate for rate in RATES_HZ if rate < 0.45 * sample_rate]
    return [
        (f"{rate // 1000} kHz" if rate >= 1000 else f"{rate} Hz", round(float(np.interp(rate, centres, places)), 4))
        for rate in found
    ]


def palette() -> np.ndarray:
    """The colours (n, 3) uint8, dark to light."""
    places = np.linspace(0, len(ANCHORS) - 1, N_COLOURS)
    channels = [np.interp(places, np.arange(len(ANCHORS)), channel) for channel in np.array(ANCHORS).T]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def png(indices: np.ndarray, colours: np.ndarray) -> bytes:
    """A picture (rows, columns) of indices into colours (n, 3), n up to 256, as a PNG file (ISO/IEC 15948)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = indices.shape
    rows = np.pad(indices.astype(np.uint8), ((0, 0), (1, 0)))  # filter 0 before each row
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", colours.astype(np.uint8).tobytes()),
            chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            chunk(b"IEND", b""),
        ]
    )


def _n_fft(sample_rate: int) -> int:
    return 1 << max(sample_rate // 24 - 1, 64).bit_length()
