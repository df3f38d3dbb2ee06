#!/usr/bin/env bash
# A Xing tag without LAME's extension makes libmpg123 drop 529 samples; FFmpeg drops none.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2 with libmpg123); av (PyAV) 18.1.0 (FFmpeg 8.1.2, LAME) writes
#   the frames.
# Expected: the original Xing tag holds frame and byte counts, no delay. So with and without it the same
#   sound comes out, and two readers of one file agree on where it begins.
# What happens: the tag is enough for libmpg123 to take off a decoder's delay of 529 samples; without the
#   tag it takes off none, and FFmpeg takes off none in either case. The same sound is 12 ms apart, and 529
#   samples shorter.
# Output seen:
#   no tag, FFmpeg: 133632 samples, the sound begins at 1105
#   no tag, libsndfile: 133632 samples, the sound begins at 1105
#   tag without delay, FFmpeg: 133632 samples, the sound begins at 1105
#   tag without delay, libsndfile: 133103 samples, the sound begins at 576
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io
import struct

import av
import numpy as np
import soundfile

RATE, LENGTH = 44100, 3 * 44100
sound = np.random.default_rng(0).uniform(-0.3, 0.3, LENGTH).astype("f4")
out = io.BytesIO()
with av.open(out, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as file:
    stream = file.add_stream("libmp3lame", rate=RATE, layout="mono")
    stream.bit_rate = 128_000
    frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = RATE, 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
data = out.getvalue()
at, frames = 0, 0
while at < len(data):  # each frame of 128 kbit/s at 44.1 kHz: 417 bytes, 418 with the padding bit
    at, frames = at + 417 + (data[at + 2] >> 1 & 1), frames + 1
tag = bytearray(417)
tag[:4] = data[0], data[1] | 1, data[2] & ~2, data[3]  # no checksum, no padding
tag[4 + 17 : 4 + 17 + 16] = b"Info" + struct.pack(">III", 3, frames, at + 417)  # 17: mono side information
starts = {}
for name, content in (("no tag", data), ("tag without delay", bytes(tag) + data)):
    with av.open(io.BytesIO(content)) as file:
        ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    for reader, decoded in (("FFmpeg", ffmpeg), ("libsndfile", soundfile.read(io.BytesIO(content))[0])):
        match = np.correlate(decoded[:8000], sound[:4000], "valid")
        starts[name, reader] = int(match.argmax())
        print(f"{name}, {reader}: {len(decoded)} samples, the sound begins at {starts[name, reader]}")
if set(starts.values()) != {1105, 1105 - 529} or starts["tag without delay", "libsndfile"] != 1105 - 529:
    raise SystemExit("the behaviour has changed")
PY
