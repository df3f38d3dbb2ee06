"""What lies between a source and the file: colouration, reverberation, background noise, compression, level."""

from __future__ import annotations

import numpy as np

from zoo.synth.core import Array, Rng, curve, ramp, shaped, white

PEAK = 0.98
SPEED_OF_SOUND = 343.0
OCTAVES_HZ = np.array([16.0, 31.0, 62.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 24000.0])


def colour(rng: Rng, n: int, sample_rate: int, tilt_db: float) -> Array:
    """Gain (n // 2 + 1,) of a random microphone: tilt in dB per octave, bumps, rumble filter, often a low-pass."""
    octave = np.arange(len(OCTAVES_HZ)) - 6.0
    db = tilt_db * octave + rng.normal(0.0, 2.5, len(OCTAVES_HZ))
    db[-1] -= 12.0  # hardly a microphone or a file format reaches the top of 48 kHz
    gain = curve(n, sample_rate, OCTAVES_HZ, db)
    low_hz = 10.0 * 2.0 ** rng.uniform(0.0, 3.5 if rng.random() < 0.3 else 1.5)
    kind = rng.random()
    if kind < 0.06:  # telephone
        low_hz, high_hz = 250.0, rng.uniform(3300.0, 3900.0)
    elif kind < 0.35:  # what lossy coding, old recordings and cheap microphones leave
        high_hz = np.exp(rng.uniform(np.log(5000.0), np.log(18000.0)))
    else:
        high_hz = 1e9
    hz = np.arange(n // 2 + 1, dtype=np.float32) * np.float32(sample_rate / n)
    squared = hz * hz
    gain *= squared / (squared + np.float32(low_hz**2))
    if high_hz < 0.5 * sample_rate:
        gain *= np.clip((np.float32(high_hz * 1.06) - hz) / np.float32(high_hz * 0.06), 1e-3, 1.0)
    gain[0] = 0.0
    return gain


def impulse_response(rng: Rng, n: int, sample_rate: int, seconds: float) -> Array:
    """Synthetic room (n,): exponentially decaying noise (Moorer, 1979), treble dying sooner, and early reflections.

    `seconds` is the reverberation time (60 dB) of the low frequencies. Unit energy, without the direct sound.
    """
    length = min(n, max(8, int(seconds * 1.1 * sample_rate)))
    hop = 64
    time_s = np.arange(-(-length // hop) + 1) * (hop / sample_rate)
    noise = white(rng, length)
    dull = np.zeros(length, np.float32)
    smooth = max(2, int(sample_rate / rng.uniform(1500.0, 6000.0)))
    total = np.cumsum(noise, dtype=np.float64)
    dull[smooth:] = (total[smooth:] - total[:-smooth]) / smooth
    bright_s = seconds * rng.uniform(0.25, 0.7)
    out = dull * ramp(np.exp(-6.9 * time_s / seconds).astype(np.float32), hop, length)
    out += (noise - dull) * ramp(np.exp(-6.9 * time_s / bright_s).astype(np.float32), hop, length) * np.float32(0.5)
    onset = min(length, max(1, int(rng.uniform(0.002, 0.03) * sample_rate)))
    out[:onset] *= np.float32(0.1)
    reach = max(2, min(length, int(0.06 * sample_rate)))
    out[rng.integers(1, reach, 6)] += rng.normal(0.0, 6.0, 6).astype(np.float32)
    response = np.zeros(n, np.float32)
    response[:length] = out / np.float32(np.sqrt(np.dot(out, out)) + 1e-9)
    return response


def compress(data: Array, sample_rate: int, ratio: float) -> Array:
    """Reduce the dynamics of (C, n) by a gain that follows 10-ms levels: no waveshaping, so nothing folds back."""
    hop = max(1, sample_rate // 100)
    frames = -(-data.shape[1] // hop)
    padded = np.zeros((len(data), frames * hop), np.float32)
    padded[:, : data.shape[1]] = data
    level = np.sqrt(np.mean(padded.reshape(len(data), frames, hop) ** 2, axis=(0, 2)))
    around = np.maximum(level, np.maximum(np.append(level[1:], 0.0), np.append(0.0, level[:-1]) * 0.7))
    gain = (around + 0.05 * level.max() + 1e-9) ** -ratio
    return data * ramp(gain.astype(np.float32), hop, data.shape[1])[None]


def finish(data: Array, sample_rate: int, rng: Rng, *, tilt_db: float, reverb: float, squeeze: float) -> Array:
    """Turn a dry mix (C, n), n a fast even length, into a recording of the same shape with RMS -35..-14 dBFS.

    `tilt_db`: mean spectral tilt of the microphone in dB per octave; `reverb`, `squeeze`: probabilities of a room and
    of compression. The convolution is circular: what would ring past the end opens the clip instead, as in a crop
    of a longer recording.
    """
    n = data.shape[1]
    tilt = tilt_db + rng.normal(0.0, 1.2)
    gain = colour(rng, n, sample_rate, tilt)
    spectrum = np.fft.rfft(data)
    if rng.random() < reverb:
        seconds = float(np.exp(rng.uniform(np.log(0.12), np.log(2.5))))
        wet = 10.0 ** (rng.uniform(-22.0, 0.0) / 20.0)
        for channel in range(len(data)):
            room = np.fft.rfft(impulse_response(rng, n, sample_rate, seconds))
            spectrum[channel] *= np.float32(wet) * room + np.float32(1.0)
    spectrum *= gain[None]
    out = np.fft.irfft(spectrum, n).astype(np.float32, copy=False)
    if rng.random() < squeeze:
        out = compress(out, sample_rate, rng.uniform(0.2, 0.7))
    level = float(np.sqrt(np.mean(out**2)))
    if not level > 1e-12:
        out, level = out + white(rng, n)[None], 1.0
    # a recording is never digitally silent between its events: hiss and hum far below or not so far below
    floor_db = rng.uniform(-45.0, -22.0) if rng.random() < 0.3 else rng.uniform(-72.0, -40.0)
    slope = rng.uniform(-6.0, 0.5)
    for channel in range(len(out)):
        hiss = shaped(rng, n, curve(n, sample_rate, OCTAVES_HZ, slope * np.arange(len(OCTAVES_HZ))))
        out[channel] += hiss * np.float32(level * 10.0 ** (floor_db / 20.0))
    target_db = -14.0 - 21.0 * rng.beta(0.9, 1.15)
    return (out * np.float32(10.0 ** (target_db / 20.0) / level)).astype(np.float32, copy=False)
