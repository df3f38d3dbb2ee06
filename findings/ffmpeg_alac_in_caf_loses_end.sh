#!/usr/bin/env bash
# FFmpeg loses the end of lossless audio that it wrote itself: ALAC in a CAF file.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2 (the command-line FFmpeg 9.0.2 does the same; 5.1
#   did not).
# Expected: ALAC is lossless, so as many samples come back as went in. The CAF specification (Packet Table
#   Chunk) says how many frames are valid in all (mNumberValidFrames) and how many of the last packet, were
#   it full, are not (mRemainderFrames).
# What happens: the file is right, and holds 88977 valid frames and a remainder of 1135 (22 * 4096 - 88977).
#   But an ALAC packet says its own length: the last one is decoded to 2961 samples, already short, and the
#   CAF reader then takes the remainder off these once more. The same audio in M4A comes back whole.
# Output seen:
#   written 88977; CAF table: 22 packets, 88977 valid frames, remainder 1135
#   read back: {'CAF': 87842, 'M4A': 88977}
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io
import struct

import av
import numpy as np

RATE, LENGTH = 44100, 88977
sound = np.random.default_rng(0).uniform(-0.3, 0.3, LENGTH).astype("f4")


def encode(container):
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream("alac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def length(data):
    with av.open(io.BytesIO(data)) as file:
        return sum(frame.samples for frame in file.decode(audio=0))


caf = encode("caf")
start = caf.index(b"pakt") + 12
packets, valid, priming, remainder = struct.unpack(">qqii", caf[start : start + 24])
print(f"written {LENGTH}; CAF table: {packets} packets, {valid} valid frames, remainder {remainder}")
lengths = {name: length(data) for name, data in (("CAF", caf), ("M4A", encode("ipod")))}
print("read back:", lengths)
if valid != LENGTH or lengths != {"CAF": LENGTH - remainder, "M4A": LENGTH}:
    raise SystemExit("the behaviour has changed")
PY
