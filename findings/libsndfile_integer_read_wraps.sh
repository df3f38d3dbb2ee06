#!/usr/bin/env bash
# libsndfile: loud Vorbis and Opus read as integers wrap round instead of clipping.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6. The files are written by soundfile itself.
#   (libsndfile's issue 194.)
# Expected: a sample beyond full scale becomes the largest integer, as with MP3 here and in every player:
#   soundfile turns clipping on (SFC_SET_CLIPPING in libsndfile's documentation of commands) for each file
#   that it opens.
# What happens: the Vorbis and Opus readers take no note of it. A decoded 1.2 becomes -25000 as int16 and
#   the most negative number as int32: the loudest parts turn into full-scale clicks. Decoded sound goes
#   beyond full scale on any loud music; here a sine of amplitude 1.2 stands for it.
# Output seen:
#   VORBIS as int16: 1.222 becomes -25481; 38 % of the samples wrong
#   VORBIS as int32: 1.222 becomes -2147483648; 19 % of the samples wrong
#   OPUS as int16: 1.198 becomes -26277; 37 % of the samples wrong
#   OPUS as int32: 1.198 becomes -2147483648; 19 % of the samples wrong
#   MPEG_LAYER_III as int16: 1.200 becomes 32767; 0 % of the samples wrong
#   MPEG_LAYER_III as int32: 1.200 becomes 2147483647; 0 % of the samples wrong
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
import soundfile

RATE = 48000
sound = 1.2 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
wrapped = {}
for container, codec in (("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")):
    name = f"sound.{codec.lower()}"
    soundfile.write(name, sound, RATE, format=container, subtype=codec)
    real = soundfile.read(name)[0]
    peak = 1000 + int(real[1000:2000].argmax())
    for kind, scale in (("int16", 2**15), ("int32", 2**31)):
        whole = soundfile.read(name, dtype=kind)[0]
        wrong = np.abs(whole / scale - np.clip(real, -1, 1)) > 0.5
        wrapped[codec, kind] = np.mean(wrong)
        share = f"{100 * np.mean(wrong):.0f} % of the samples wrong"
        print(f"{codec} as {kind}: {real[peak]:.3f} becomes {whole[peak]}; {share}")
lossy = [share for (codec, _), share in wrapped.items() if codec in ("VORBIS", "OPUS")]
if min(lossy) < 0.05 or wrapped["MPEG_LAYER_III", "int16"] or wrapped["MPEG_LAYER_III", "int32"]:
    raise SystemExit("the behaviour has changed")
PY
