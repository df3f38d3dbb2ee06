#!/usr/bin/env bash
# libsndfile: after each seek in an MP3 with small frames, up to some thousand samples are wrong; reading in
#   blocks seeks.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2 with libmpg123 and LAME), av (PyAV) 18.1.0 (FFmpeg 8.1.2) for
#   comparison.
# Expected: soundfile.blocks joined are what soundfile.read gives, and a part read from sample q is the
#   whole's from q on.
# What happens: at low bit rates a frame's data may begin several frames back (ISO/IEC 11172-3, 2.4.2.7,
#   main_data_begin: up to 511 bytes). libmpg123 goes back by too few frames on a seek, and gives silence in
#   place of the frames whose data it lacks. soundfile seeks after every read, so most of what `blocks`
#   gives is wrong. The file is written by soundfile with default settings. White noise, whose frames are
#   large, is right.
# Output seen:
#   tones: 140 bytes a frame; whole file against FFmpeg 9.2e-07
#     blocks of 1000: 97 % of the samples differ, by up to 0.59
#     wrong samples after a seek to each of 6 places: [1595, 1121, 1829, 1350, 903, 1562]
#   noise: 229 bytes a frame; whole file against FFmpeg 2.5e-06
#     blocks of 1000: 0 % of the samples differ, by up to 0.00
#     wrong samples after a seek to each of 6 places: [0, 0, 0, 0, 0, 0]
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import av
import numpy as np
import soundfile

RATE, LENGTH = 48000, 8 * 48000
time = np.arange(LENGTH) / RATE
tones = sum(0.1 * np.sin(2 * np.pi * f * time + f) for f in (517.3, 1290.2, 2265.4, 156.2, 2866.1, 3203.3))
shares = {}
for name, sound in (("tones", tones), ("noise", np.random.default_rng(0).uniform(-0.3, 0.3, LENGTH))):
    soundfile.write("sound.mp3", sound, RATE, format="MP3")
    whole = soundfile.read("sound.mp3")[0]
    with av.open("sound.mp3") as file:
        size = file.size / LENGTH * 1152
        ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    print(f"{name}: {size:.0f} bytes a frame; whole file against FFmpeg {np.abs(ffmpeg - whole).max():.1e}")
    joined = np.concatenate(list(soundfile.blocks("sound.mp3", 1000)))
    gap = np.abs(joined - whole)
    shares[name] = np.mean(gap > 1e-3)
    print(f"  blocks of 1000: {100 * shares[name]:.0f} % of the samples differ, by up to {gap.max():.2f}")
    counts = []
    for start in range(50_000, 350_000, 50_000):
        part = soundfile.read("sound.mp3", start=start, frames=8000)[0]
        counts.append(int(np.sum(np.abs(part - whole[start : start + 8000]) > 1e-3)))
    print(f"  wrong samples after a seek to each of {len(counts)} places: {counts}")
    shares[name, "seeks"] = np.mean(np.array(counts) > 0)
right = shares["noise"] == shares["noise", "seeks"] == 0
if not right or shares["tones"] < 0.5 or shares["tones", "seeks"] < 1:
    raise SystemExit("the behaviour has changed")
PY
