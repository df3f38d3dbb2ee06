#!/usr/bin/env bash
# FFmpeg does not trim the end of Opus and MP3 in MP4, as it does in Ogg, Matroska and MP3 files.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2; numpy 2.4.6. (FFmpeg 9.0.2's command line: the
#   same for Opus.)
# Expected: the number of samples that went in. The edit list says how much of the media is to be played
#   ("Encapsulation of Opus in ISO Base Media File Format" has it trim both ends).
# What happens: the start is trimmed by the edit list (312 and 1105 samples), the end is not, though the
#   edit list in the file gives the duration: FFmpeg reads the padding of the last packets too.
# Output seen:
#   libopus in ogg: 88977 samples in, 88977 out
#   libopus in matroska: 88977 samples in, 88977 out
#   libopus in mp4: 88977 samples in, 89928 out (edit list: 1854 ms from sample 312 on; written 1853.7 ms)
#   libmp3lame in mp3: 88977 samples in, 88977 out
#   libmp3lame in matroska: 88977 samples in, 88977 out
#   libmp3lame in mp4: 88977 samples in, 89903 out (edit list: 1853 ms from sample 1105 on; written 1853.7 ms)
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

RATE, LENGTH = 48000, 88977
sound = np.random.default_rng(0).uniform(-0.3, 0.3, LENGTH).astype("f4")
lengths = {}
for codec, containers in (("libopus", ("ogg", "matroska", "mp4")), ("libmp3lame", ("mp3", "matroska", "mp4"))):
    for container in containers:
        out = io.BytesIO()
        with av.open(out, "w", format=container) as file:
            stream = file.add_stream(codec, rate=RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        data = out.getvalue()
        with av.open(io.BytesIO(data)) as file:
            lengths[codec, container] = sum(frame.samples for frame in file.decode(audio=0))
        note = ""
        if container == "mp4":
            duration, start = struct.unpack_from(">Ii", data, data.index(b"elst") + 12)
            note = f" (edit list: {duration} ms from sample {start} on; written {1000 * LENGTH / RATE:.1f} ms)"
        print(f"{codec} in {container}: {LENGTH} samples in, {lengths[codec, container]} out{note}")
wanted = {key: {("libopus", "mp4"): 89928, ("libmp3lame", "mp4"): 89903}.get(key, LENGTH) for key in lengths}
if lengths != wanted:
    raise SystemExit("the behaviour has changed")
PY
