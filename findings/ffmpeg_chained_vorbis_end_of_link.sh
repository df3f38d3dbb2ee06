#!/usr/bin/env bash
# FFmpeg does not trim the end of a link in a chained Ogg Vorbis file; libsndfile reads the first link
#   alone.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2; soundfile 0.14.0 (libsndfile 1.2.2) writes the
#   links.
# Expected: two files of 50000 samples joined (chained: RFC 3533, section 4; Vorbis I specification,
#   appendix A) are 100000 samples. The granule position of each link's last page says where it ends.
# What happens: see the output. Alone each link has the right length with both. In the chain FFmpeg gives
#   out the padding between the links, so that all of the second comes late; libsndfile ends after the
#   first, without an error.
# Output seen:
#   one link: FFmpeg 50000 samples, libsndfile 50000
#   chain of two: FFmpeg 100128 samples, libsndfile 50000
#   the second link begins at 50128
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io

import av
import numpy as np
import soundfile

RATE, LENGTH = 44100, 50000


def link(seed):
    out = io.BytesIO()
    sound = np.random.default_rng(seed).uniform(-0.3, 0.3, LENGTH)
    soundfile.write(out, sound, RATE, format="OGG", subtype="VORBIS")
    return out.getvalue()


def read(data):
    with av.open(io.BytesIO(data)) as file:
        ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    return ffmpeg, soundfile.read(io.BytesIO(data))[0]


second = read(link(2))[1]
lengths = {}
for name, data in (("one link", link(1)), ("chain of two", link(1) + link(2))):
    ffmpeg, libsndfile = read(data)
    lengths[name] = len(ffmpeg), len(libsndfile)
    print(f"{name}: FFmpeg {len(ffmpeg)} samples, libsndfile {len(libsndfile)}")
place = LENGTH + int(np.correlate(ffmpeg[LENGTH:], second[2000:12000], "valid").argmax()) - 2000
print(f"the second link begins at {place}")
if lengths["one link"] != (LENGTH, LENGTH) or lengths["chain of two"][1] != LENGTH or place <= LENGTH:
    raise SystemExit("the behaviour has changed")
PY
