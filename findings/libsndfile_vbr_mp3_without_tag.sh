#!/usr/bin/env bash
# libsndfile reads 20 s of a variable-bit-rate MP3 without a Xing tag as a few seconds, and says nothing.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2 with libmpg123); av (PyAV) 18.1.0 (FFmpeg 8.1.2, LAME) writes
#   the file.
# Expected: all frames are decoded. The Xing tag is no part of ISO/IEC 11172-3, where each frame says its
#   own bit rate.
# What happens: the length is guessed from the first frame and the size of the file, and reading stops
#   there. How wrong it is depends on how the sound begins: one that begins with noise is cut to less than a
#   third, one that begins with silence is announced as more than twice as long. FFmpeg decodes all of it.
#   (libsndfile's issue 1001 has the wrong count.)
# Output seen:
#   noise, with tag: FFmpeg 882000; libsndfile says 882000, reads 882000
#   noise, no tag: FFmpeg 883584; libsndfile says 251809, reads 251809
#   silence, then noise, with tag: FFmpeg 882000; libsndfile says 882000, reads 882000
#   silence, then noise, no tag: FFmpeg 883584; libsndfile says 1962742, reads 883584
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

RATE, LENGTH = 44100, 20 * 44100
noise = np.random.default_rng(0).uniform(-0.3, 0.3, LENGTH).astype("f4")
quiet_first = noise.copy()
quiet_first[:RATE] = 0


def encode(sound, tag):
    out = io.BytesIO()
    with av.open(out, "w", format="mp3", options={"write_xing": tag}) as file:
        options = {"flags": "+qscale", "global_quality": str(4 * 118)}  # LAME's -V 4
        stream = file.add_stream("libmp3lame", rate=RATE, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


lengths = {}
for name, sound in (("noise", noise), ("silence, then noise", quiet_first)):
    for tag in ("1", "0"):
        data = encode(sound, tag)
        with av.open(io.BytesIO(data)) as file:
            ffmpeg = sum(frame.samples for frame in file.decode(audio=0))
        said, read = soundfile.info(io.BytesIO(data)).frames, len(soundfile.read(io.BytesIO(data))[0])
        lengths[name, tag] = ffmpeg, said, read
        print(f"{name}, {'with' if tag == '1' else 'no'} tag: FFmpeg {ffmpeg}; libsndfile says {said}, reads {read}")
for (name, tag), (ffmpeg, said, read) in lengths.items():
    right = said == read == ffmpeg == LENGTH if tag == "1" else ffmpeg >= LENGTH and said != ffmpeg
    if not right or (name, tag) == ("noise", "0") and read > LENGTH / 2:
        raise SystemExit("the behaviour has changed")
PY
