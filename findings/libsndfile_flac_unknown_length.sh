#!/usr/bin/env bash
# soundfile cannot read a FLAC stream whose header leaves the length open.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), av (PyAV) 18.1.0 (FFmpeg 8.1.2) for comparison.
# Expected: a total of 0 samples in STREAMINFO means "unknown" (RFC 9639, section 8.2), as an encoder that
#   writes to a pipe leaves it. The file is read to its end.
# What happens: libsndfile announces 2^63 - 1 samples. soundfile.read tries to make an array of that size
#   and raises ValueError; reading in blocks raises too, at the end of the sound ("Internal psf_fseek()
#   failed"). FFmpeg reads all of it.
# Output seen:
#   FFmpeg reads 50000 samples; libsndfile announces 9223372036854775807
#   soundfile.read: array is too big; `arr.size * arr.dtype.itemsize` is larger than the maximum possible size.
#   in blocks: 49152 samples, then: Internal psf_fseek() failed.
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
out = io.BytesIO()
soundfile.write(out, 0.3 * np.sin(2 * np.pi * 440 * np.arange(LENGTH) / RATE), RATE, format="FLAC")
data = bytearray(out.getvalue())
data[21] &= 0xF0  # the total is the 36 bits that end in byte 25
data[22:26] = bytes(4)
with av.open(io.BytesIO(data)) as file:
    ffmpeg = sum(frame.samples for frame in file.decode(audio=0))
announced = soundfile.info(io.BytesIO(data)).frames
print(f"FFmpeg reads {ffmpeg} samples; libsndfile announces {announced}")
errors, blocks = [], 0
try:
    soundfile.read(io.BytesIO(data))
except ValueError as error:
    errors.append(str(error))
try:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        while len(block := file.read(4096)):
            blocks += len(block)
except soundfile.LibsndfileError as error:
    errors.append(error.error_string)
print("soundfile.read:", errors[0])
print(f"in blocks: {blocks} samples, then: {errors[1]}")
if (ffmpeg, announced, len(errors)) != (LENGTH, 2**63 - 1, 2):
    raise SystemExit("the behaviour has changed")
PY
