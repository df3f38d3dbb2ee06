#!/usr/bin/env bash
# FFmpeg's WMA encoders and decoders do not agree on their delay: the first 2048 samples are lost, the rest
#   is early.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2; numpy 2.4.6. (FFmpeg 9.0.2's command line gives
#   the same lengths.)
# Expected: what wmav1 and wmav2 wrote comes back at its place, as from FFmpeg's other lossy encoders, or
#   late by a known delay; at the least all of it comes back.
# What happens: the encoder delays by one frame (2048 samples), the decoder drops two. The first frame is
#   gone, all the rest comes 2048 samples (46 ms) early, and the first time stamp says 92 ms, not 46.
# Output seen:
#   wmav1: 88200 samples in, 88064 out, first time stamp 0.092 s
#     signal-to-noise ratio as it is -3.0 dB, taken as 2048 samples early 51.4 dB
#   wmav2: 88200 samples in, 88064 out, first time stamp 0.092 s
#     signal-to-noise ratio as it is -3.0 dB, taken as 2048 samples early 51.5 dB
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io

import av
import numpy as np

RATE, LENGTH = 44100, 2 * 44100
time = np.arange(LENGTH) / RATE
sound = (0.4 * np.sin(2 * np.pi * (100 * time + 600 * time**2))).astype("f4")
for codec in ("wmav1", "wmav2"):
    out = io.BytesIO()
    with av.open(out, "w", format="asf") as file:
        stream = file.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(io.BytesIO(out.getvalue())) as file:
        frames = list(file.decode(audio=0))
    decoded = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    ratios = {}
    for early in (0, 2048):
        count = min(len(decoded), LENGTH - early) - 2048
        wanted = sound[early : early + count]
        ratios[early] = 10 * np.log10(np.sum(wanted**2) / np.sum((wanted - decoded[:count]) ** 2))
    print(f"{codec}: {LENGTH} samples in, {len(decoded)} out, first time stamp {frames[0].time:.3f} s")
    print(f"  signal-to-noise ratio as it is {ratios[0]:.1f} dB, taken as 2048 samples early {ratios[2048]:.1f} dB")
    if ratios[0] > 5 or ratios[2048] < 20:
        raise SystemExit("the behaviour has changed")
PY
