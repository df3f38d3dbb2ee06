#!/usr/bin/env bash
# Neither libsndfile nor FFmpeg reads the length of a compressed WAV file from its fact chunk.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2).
# Expected: for a compressed WAV file the fact chunk holds the length in samples (Microsoft, "New Multimedia
#   Data Types and Data Techniques", 1994: "Fact chunk"), since the data is whole blocks: 50000 samples come
#   back as 50000.
# What happens: MS ADPCM by libsndfile says 50000 in its fact chunk, yet both readers give the whole last
#   block. IMA ADPCM has the padded length even in the chunk. For GSM 6.10 the two do not agree on the
#   length.
# Output seen:
#   MS_ADPCM: written 50000, fact chunk 50000, libsndfile reads 53092, FFmpeg 53092
#   IMA_ADPCM: written 50000, fact chunk 53157, libsndfile reads 53157, FFmpeg 53157
#   GSM610: written 50000, fact chunk 50000, libsndfile reads 50560, FFmpeg 50240
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import struct

import av
import numpy as np
import soundfile

RATE, LENGTH = 44100, 50000
sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(LENGTH) / RATE)
found = {}
for codec in ("MS_ADPCM", "IMA_ADPCM", "GSM610"):
    soundfile.write("sound.wav", sound, RATE, format="WAV", subtype=codec)
    data = open("sound.wav", "rb").read()
    (fact,) = struct.unpack_from("<I", data, data.index(b"fact") + 8)
    with av.open("sound.wav") as file:
        ffmpeg = sum(frame.samples for frame in file.decode(audio=0))
    found[codec] = fact, len(soundfile.read("sound.wav")[0]), ffmpeg
    print(f"{codec}: written {LENGTH}, fact chunk {fact}, libsndfile reads {found[codec][1]}, FFmpeg {ffmpeg}")
if found != {"MS_ADPCM": (50000, 53092, 53092), "IMA_ADPCM": (53157,) * 3, "GSM610": (50000, 50560, 50240)}:
    raise SystemExit("the behaviour has changed")
PY
