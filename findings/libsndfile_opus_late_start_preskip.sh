#!/usr/bin/env bash
# libsndfile gives out the pre-skip of an Ogg Opus stream that begins late, and leaves off its end.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2) writes the file and reads
#   it for comparison.
# Expected: the granule positions of a stream may begin above zero, as in a recording cut from a live stream
#   (RFC 7845, section 4.5), and a decoder drops the first pre-skip samples (section 4.2), here 312. So the
#   same packets with 1000 packets' worth (20 s) added to each granule position give the same sound.
# What happens: SoundFile.read straight after opening begins with the 312 samples to be skipped, and the
#   last 312 are missing; the count is right, so nothing looks wrong. libsndfile compares the absolute
#   position with the pre-skip. (FFmpeg itself writes a stream that begins at 312 when a caller leaves the
#   first timestamp unset.) After any seek, even seek(0), it is right: soundfile.read, which seeks first,
#   differs from SoundFile.read on the same file.
# Output seen:
#   samples: 240000 240000 240000 240000
#   largest difference from the stream that begins at zero:
#     FFmpeg 0.0000, soundfile.read 0.0000
#     SoundFile.read 0.9442; 0.0000 once moved by 312 samples
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

RATE = 48000
sound = np.random.default_rng(0).uniform(-0.3, 0.3, 5 * RATE).astype("f4")
out = io.BytesIO()
with av.open(out, "w", format="ogg") as file:
    stream = file.add_stream("libopus", rate=RATE, layout="mono")
    frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = RATE, 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
plain = out.getvalue()


def checksum(page):
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


late, at = b"", 0
while at < len(plain):
    segments = plain[at + 26]
    end = at + 27 + segments + sum(plain[at + 27 : at + 27 + segments])
    page = bytearray(plain[at:end])
    (granule,) = struct.unpack_from("<q", page, 6)
    if granule > 0:  # the two header pages keep zero
        struct.pack_into("<q", page, 6, granule + 1000 * 960)
        struct.pack_into("<I", page, 22, 0)
        struct.pack_into("<I", page, 22, checksum(page))
    late, at = late + bytes(page), end


def straight(data):
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return file.read()


expected, seeking, reading = straight(plain), soundfile.read(io.BytesIO(late))[0], straight(late)
with av.open(io.BytesIO(late)) as file:
    ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
print("samples:", len(expected), len(seeking), len(reading), len(ffmpeg))
print("largest difference from the stream that begins at zero:")
print(f"  FFmpeg {np.abs(ffmpeg - expected).max():.4f}, soundfile.read {np.abs(seeking - expected).max():.4f}")
moved = np.abs(reading[312:] - expected[:-312]).max()
print(f"  SoundFile.read {np.abs(reading - expected).max():.4f}; {moved:.4f} once moved by 312 samples")
right = np.abs(ffmpeg - expected).max() < 1e-3 and np.array_equal(seeking, expected)
if not right or moved > 1e-6 or np.abs(reading - expected).max() < 0.1:
    raise SystemExit("the behaviour has changed")
PY
