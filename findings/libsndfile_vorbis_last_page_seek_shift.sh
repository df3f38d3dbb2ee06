#!/usr/bin/env bash
# libsndfile: a seek into the last page of an Ogg Vorbis file lands too late, by as many samples as the end
#   is trimmed.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6. The file is written by soundfile itself.
# Expected: reading from sample q gives what reading the whole file gives from q on (libsndfile's API:
#   sf_seek counts in frames).
# What happens: the granule position of the last page is smaller than its packets would make it, so that the
#   file ends on the right sample (Vorbis I specification, appendix A.2). libsndfile counts back from it as
#   if nothing had been trimmed: 48 samples here. On tonal sound, which packs well, that page can be more
#   than a second long; here it is 0.6 s. Before that page all is exact.
# Output seen:
#   882000 samples; the last page holds those from 855616 on
#   largest difference before it: 0.0000; within it, from 0.8114 to 0.8486
#   what is read from there is the sound 48 samples later (difference 0.0000)
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import struct

import numpy as np
import soundfile

RATE, LENGTH = 44100, 20 * 44100
time = np.arange(LENGTH) / RATE
sound = sum(0.1 * np.sin(2 * np.pi * f * time + f) for f in (221.3, 447.9, 913.2, 1571.6, 2339.8, 3187.4))
soundfile.write("sound.ogg", sound, RATE, format="OGG", subtype="VORBIS")
whole = soundfile.read("sound.ogg")[0]

data = open("sound.ogg", "rb").read()
pages, at = [], 0
while at < len(data):
    pages.append(struct.unpack_from("<q", data, at + 6)[0])
    at += 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
print(f"{len(whole)} samples; the last page holds those from {pages[-2]} on")


def difference(start, moved=0, count=2000):
    part = soundfile.read("sound.ogg", start=start, frames=count)[0]
    return np.abs(part - whole[start + moved : start + moved + count]).max()


before = max(difference(q) for q in range(100_000, pages[-2] - 4000, 37_001))
inside = [difference(q) for q in range(pages[-2] + 2000, LENGTH - 3000, 3001)]
part = soundfile.read("sound.ogg", start=pages[-2] + 8000, frames=4000)[0]
gaps = [np.abs(part - whole[q : q + 4000]).max() for q in range(pages[-2], LENGTH - 4000)]
shift = int(np.argmin(gaps)) - 8000
print(f"largest difference before it: {before:.4f}; within it, from {min(inside):.4f} to {max(inside):.4f}")
print(f"what is read from there is the sound {shift} samples later (difference {min(gaps):.4f})")
if before > 1e-5 or min(inside) < 1e-3 or shift <= 0 or min(gaps) > 1e-5:
    raise SystemExit("the behaviour has changed")
PY
