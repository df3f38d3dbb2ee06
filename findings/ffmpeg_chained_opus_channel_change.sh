#!/usr/bin/env bash
# FFmpeg gives up on a chained Ogg Opus file whose second link has another number of channels.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2; soundfile 0.14.0 (libsndfile 1.2.2) for
#   comparison. (FFmpeg 9.0.2's command line stops at the same place.)
# Expected: links may be chained end to end, each with headers of its own (RFC 3533, section 4), which is
#   what joining two files does. opusdec reads all of such a file, as stereo.
# What happens: mono and mono are read through; mono and stereo raise "Not yet implemented in FFmpeg,
#   patches welcome" at the second link. libsndfile gives the first link alone for any chain, without a
#   word.
# Output seen:
#   1 + 1 channels, 4 s: FFmpeg 4.0 s, no error; libsndfile 2.0 s
#   1 + 2 channels, 4 s: FFmpeg 2.0 s, PatchWelcomeError; libsndfile 2.0 s
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

RATE = 48000
random = np.random.default_rng(0)


def encode(channels):
    layout = {1: "mono", 2: "stereo"}[channels]
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE, layout=layout)
        sound = random.uniform(-0.3, 0.3, (channels, 2 * RATE)).astype("f4")
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


results = {}
for channels in (1, 2):
    data = encode(1) + encode(channels)
    samples, error = 0, None
    try:
        with av.open(io.BytesIO(data)) as file:
            for frame in file.decode(audio=0):
                samples += frame.samples
    except av.FFmpegError as problem:
        error = type(problem).__name__
    results[channels] = samples, error, len(soundfile.read(io.BytesIO(data))[0])
    print(f"1 + {channels} channels, 4 s: FFmpeg {samples / RATE} s, {error or 'no error'};", end=" ")
    print(f"libsndfile {results[channels][2] / RATE} s")
if results != {1: (4 * RATE, None, 2 * RATE), 2: (2 * RATE, "PatchWelcomeError", 2 * RATE)}:
    raise SystemExit("the behaviour has changed")
PY
