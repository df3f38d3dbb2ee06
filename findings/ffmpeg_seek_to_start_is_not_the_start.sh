#!/usr/bin/env bash
# Decoding again after seek(0) does not give what the first decode gave.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2; numpy 2.4.6.
# Expected: seek(0) goes back to the start, and the same sound comes again, as it does for FLAC, WAV, MP3
#   and Opus in MP4.
# What happens: the priming samples, dropped at the first pass, are given out after the seek: 312 for Ogg
#   Opus and Opus in Matroska (RFC 7845, section 4.2, has them dropped), 1105 for MP3 in Matroska. The
#   frames carry a negative time stamp, the only sign. For AAC in MP4 the count is right, but the first 1024
#   samples are wrong, as the priming packet before them is skipped instead of decoded. A loop over epochs
#   in one open container sees other sound from the second on.
# Output seen:
#   libopus in ogg: 144000 samples, again 144312 from -6.5 ms; difference 0.00 in the first 1024, 0.00 after them
#   libopus in matroska: 144000 samples, again 144312 from -7.0 ms; difference 0.00 in the first 1024, 0.00 after them
#   libopus in mp4: 144648 samples, again 144648 from 0.0 ms; difference 0.00 in the first 1024, 0.00 after them
#   libmp3lame in mp3: 144000 samples, again 144000 from 23.0 ms; difference 0.00 in the first 1024, 0.00 after them
#   libmp3lame in matroska: 144000 samples, again 145105 from -23.0 ms; difference 0.00 in the first 1024, 0.00 after them
#   aac in mp4: 144384 samples, again 144384 from 0.0 ms; difference 0.40 in the first 1024, 0.00 after them
#   flac in flac: 144000 samples, again 144000 from 0.0 ms; difference 0.00 in the first 1024, 0.00 after them
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

RATE, LENGTH = 48000, 3 * 48000
time = np.arange(LENGTH) / RATE
sound = sum(0.1 * np.sin(2 * np.pi * f * time + f) for f in (517.3, 1290.2, 2265.4, 156.2, 2866.1))
results = {}
for codec, container in (
    ("libopus", "ogg"),
    ("libopus", "matroska"),
    ("libopus", "mp4"),
    ("libmp3lame", "mp3"),
    ("libmp3lame", "matroska"),
    ("aac", "mp4"),
    ("flac", "flac"),
):
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        options = {"aac_pns": "0"} if codec == "aac" else {}  # no random noise in the decoder
        stream = file.add_stream(codec, rate=RATE, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray(sound[None].astype("f4"), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(io.BytesIO(out.getvalue())) as file:
        first = list(file.decode(audio=0))
        file.seek(0)
        again = list(file.decode(audio=0))
    one, two = (np.concatenate([frame.to_ndarray()[0] for frame in run]) for run in (first, again))
    extra = len(two) - len(one)
    gap = np.abs(one[:1024].astype("f8") - two[extra : extra + 1024]).max()
    rest = np.abs(one[1024:].astype("f8") - two[extra + 1024 :]).max()
    results[codec, container] = extra, gap > 0.01
    print(f"{codec} in {container}: {len(one)} samples, again {len(two)} from {1000 * again[0].time:.1f} ms;", end=" ")
    print(f"difference {gap:.2f} in the first 1024, {rest:.2f} after them")
extras = [results[key][0] for key in results]
if extras != [312, 312, 0, 0, 1105, 0, 0] or not results["aac", "mp4"][1] or results["flac", "flac"][1]:
    raise SystemExit("the behaviour has changed")
PY
