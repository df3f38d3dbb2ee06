#!/usr/bin/env bash
# Several of FFmpeg's lossy encoders never emit the last samples that they took in.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2; numpy 2.4.6.
# Expected: after flushing (encode(None)) the stream holds all of the input, if need be in one more padded
#   frame, as it does with AAC here, and with MP3 and Opus.
# What happens: AC-3, E-AC-3, MP2 and G.722 code with a delay of 256, 256, 481 and 22 samples, but nothing
#   is added to push these out. A length of a whole number of frames loses as many samples at the end;
#   others lose what the last frame's padding does not cover.
# Output seen:
#   ac3: 30720 in, 30720 out, 256 late: the last 256 samples are not there
#   eac3: 30720 in, 30720 out, 256 late: the last 256 samples are not there
#   mp2: 23040 in, 23040 out, 481 late: the last 481 samples are not there
#   adpcm_g722: 20000 in, 20000 out, 22 late: the last 22 samples are not there
#   aac: 20480 in, 21504 out, 1024 late: the last 0 samples are not there
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

lost = {}
for codec, container, rate, length in (
    ("ac3", "ac3", 48000, 20 * 1536),
    ("eac3", "eac3", 48000, 20 * 1536),
    ("mp2", "mp2", 48000, 20 * 1152),
    ("adpcm_g722", "wav", 16000, 20000),
    ("aac", "adts", 48000, 20 * 1024),
):
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, length).astype("f4")
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        if codec != "adpcm_g722":
            stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(io.BytesIO(out.getvalue())) as file:
        parts = [frame.to_ndarray()[0].astype("f4") for frame in file.decode(audio=0)]
    decoded = np.concatenate(parts)
    delay = int(np.correlate(decoded[:12000], sound[:8000], "valid").argmax())
    lost[codec] = max(0, length + delay - len(decoded))
    print(f"{codec}: {length} in, {len(decoded)} out, {delay} late: the last {lost[codec]} samples are not there")
if lost != {"ac3": 256, "eac3": 256, "mp2": 481, "adpcm_g722": 22, "aac": 0}:
    raise SystemExit("the behaviour has changed")
PY
