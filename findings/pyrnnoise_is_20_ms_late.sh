#!/usr/bin/env bash
# RNNoise's Python binding gives audio back 20 ms late, with as many samples as it had.
# Versions: pyrnnoise 0.4.5, audiolab 0.5.2, numpy 2.4.6.
# Expected: cleaned audio has its sounds where the noisy one has them.
# What happens: the library answers each frame of 10 ms with a frame from two frames ago. The binding neither skips the
#   first two answers nor asks for the last two: the output begins with 20 ms of silence, its sounds are 960 samples
#   late, and the last 20 ms of the input are missing. By ear that is nothing; measured sample on sample against the
#   clean signal (SNR, SI-SDR) the output shares next to nothing with it.
# Output seen:
#   samples in 192000, out 192000
#   lag of the output: 960 samples
#   correlation as written 0.0, two frames earlier 0.6
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    pyrnnoise==0.4.5 audiolab==0.5.2 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
from pyrnnoise import RNNoise

RATE = 48000


def voice(seconds, seed=0):
    """Syllables: harmonics of a gliding pitch under three formants, and pauses between them."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    syllable = np.floor(4 * t).astype(int)
    pitch = 120 * 2 ** (0.25 * np.sin(2 * np.pi * 0.7 * t))
    cycles = np.cumsum(pitch) / RATE
    formants = rng.uniform((300, 900, 2300), (800, 2200, 3200), (syllable.max() + 1, 3))[syllable]
    sound = np.zeros(len(t))
    for n in range(1, 40):
        gain = (1 / (1 + ((n * pitch[:, None] - formants) / 100) ** 2)).sum(axis=1) / n**0.5
        sound += gain * np.sin(2 * np.pi * n * cycles)
    sound *= np.maximum(np.sin(2 * np.pi * 4 * t), 0) ** 0.5
    return 0.3 * sound / np.abs(sound).max()


clean = voice(4.0)
given = np.round(clean * 32767).astype(np.int16)[None]
denoiser = RNNoise(RATE)
found = np.concatenate([frame for _, frame in denoiser.denoise_chunk(given, partial=True)], axis=1)[0]
given, found = given[0] / 32768, found / 32768
print(f"samples in {len(given)}, out {len(found)}")
n = 1 << 19
products = np.fft.irfft(np.conj(np.fft.rfft(given, n)) * np.fft.rfft(found, n), n)
lag = int(np.argmax(products[:4800]))
print(f"lag of the output: {lag} samples")
length = len(found) - 960


def correlation(start):
    x, y = given[:length], found[start : start + length]
    return abs(float(x @ y / np.sqrt((x @ x) * (y @ y))))


print(f"correlation as written {correlation(0):.1f}, two frames earlier {correlation(960):.1f}")
assert len(found) == len(given)
assert not found[:950].any() or np.abs(found[:900]).max() < 1e-3
assert abs(lag - 960) <= 4
assert correlation(960) > 0.5 > 5 * correlation(0)
PY
