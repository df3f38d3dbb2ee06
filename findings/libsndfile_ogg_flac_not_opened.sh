#!/usr/bin/env bash
# libsndfile cannot open Ogg FLAC, though it reads FLAC and reads Ogg.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2) writes the file.
# Expected: Ogg FLAC is a standard encapsulation (RFC 9639, section 10.1), and libsndfile recognises it as a
#   format of its own. Files by `flac --ogg` of the reference FLAC 1.4.2 behave in the same way.
#   (soundfile's issue 424.)
# What happens: "unknown error in flac decoder" on opening. The same packets in a native FLAC file are read.
# Output seen:
#   FLAC in flac: FFmpeg reads 50000 samples; libsndfile: 50000
#   FLAC in ogg: FFmpeg reads 50000 samples; libsndfile: Error : unknown error in flac decoder.
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
sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(LENGTH) / RATE)
results = {}
for container in ("flac", "ogg"):
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream("flac", rate=RATE, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype("i2"), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for part in [frame, None]:
            file.mux(stream.encode(part))
    with av.open(io.BytesIO(out.getvalue())) as file:
        ffmpeg = sum(frame.samples for frame in file.decode(audio=0))
    try:
        results[container] = str(len(soundfile.read(io.BytesIO(out.getvalue()))[0]))
    except soundfile.LibsndfileError as error:
        results[container] = error.error_string
    print(f"FLAC in {container}: FFmpeg reads {ffmpeg} samples; libsndfile: {results[container]}")
    if ffmpeg != LENGTH:
        raise SystemExit("FFmpeg's own reading has changed")
if results["flac"] != str(LENGTH) or "unknown error in flac decoder" not in results["ogg"]:
    raise SystemExit("the behaviour has changed")
PY
