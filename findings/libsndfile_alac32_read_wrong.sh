#!/usr/bin/env bash
# libsndfile cannot read back the 32-bit ALAC of white noise that it wrote rightly, and says nothing.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2) reads the file for
#   comparison.
# Expected: ALAC is lossless, and soundfile offers the subtype ALAC_32: what was written as int32 is read
#   back.
# What happens: for mono noise at full scale FFmpeg reads exactly what was written, so the file is right;
#   libsndfile's own reader gives other numbers for each sample. Quieter noise, whose frames compress, is
#   exact with both.
# Output seen:
#   full scale: wrong by libsndfile 100 %, by FFmpeg 0 %
#   quiet: wrong by libsndfile 0 %, by FFmpeg 0 %
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

noise = np.random.default_rng(0).integers(-(2**31), 2**31, 50_000)
wrong = {}
for name, sound in (("full scale", noise), ("quiet", noise >> 6)):
    sent = sound.astype("i4")
    soundfile.write("sound.caf", sent, 44100, format="CAF", subtype="ALAC_32")
    own = soundfile.read("sound.caf", dtype="int32")[0]
    with av.open("sound.caf") as file:
        ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    wrong[name] = np.mean(own != sent), np.mean(ffmpeg != sent)
    print(f"{name}: wrong by libsndfile {100 * wrong[name][0]:.0f} %, by FFmpeg {100 * wrong[name][1]:.0f} %")
if wrong["full scale"][0] < 0.5 or wrong["full scale"][1] or any(wrong["quiet"]):
    raise SystemExit("the behaviour has changed")
PY
