#!/usr/bin/env bash
# libsndfile decodes Ogg Opus at 8 kHz when the header leaves the input sample rate unspecified.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2) writes the file and reads
#   it for comparison.
# Expected: the field tells of the input of the encoder, is not the rate to play at, and 0 in it means
#   unspecified (RFC 7845, section 5.1): such a file is decoded at 48 kHz, as by FFmpeg and opusdec.
# What happens: libsndfile takes the lowest of Opus's rates that is not below the field, so 0 gives 8 kHz,
#   and four fifths of the energy of white noise are gone. The Opus packets are the same as in the file that
#   says 48000.
# Output seen:
#   field 48000: FFmpeg at 48000 Hz; libsndfile at 48000 Hz, 1.00 of the power
#   field 44100: FFmpeg at 48000 Hz; libsndfile at 48000 Hz, 1.00 of the power
#   field 0: FFmpeg at 48000 Hz; libsndfile at 8000 Hz, 0.20 of the power
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

sound = np.random.default_rng(0).uniform(-0.3, 0.3, 5 * 48000).astype("f4")
out = io.BytesIO()
with av.open(out, "w", format="ogg") as file:
    stream = file.add_stream("libopus", rate=48000, layout="mono")
    stream.bit_rate = 128_000
    frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48000, 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def with_rate(data, rate):
    """The file with another input sample rate in its first page, and that page's checksum."""
    page = bytearray(data[: 28 + data[27]])
    struct.pack_into("<I", page, 28 + 12, rate)
    struct.pack_into("<I", page, 22, 0)
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    struct.pack_into("<I", page, 22, value)
    return bytes(page) + data[len(page) :]


found = {}
for rate in (48000, 44100, 0):
    data = with_rate(out.getvalue(), rate)
    decoded, found[rate] = soundfile.read(io.BytesIO(data))
    with av.open(io.BytesIO(data)) as file:
        ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        ffmpeg_rate = file.streams.audio[0].rate
    power = np.mean(decoded**2) / np.mean(ffmpeg**2)
    print(f"field {rate}: FFmpeg at {ffmpeg_rate} Hz; libsndfile at {found[rate]} Hz, {power:.2f} of the power")
if found != {48000: 48000, 44100: 48000, 0: 8000} or ffmpeg_rate != 48000 or power > 0.5:
    raise SystemExit("the behaviour has changed")
PY
