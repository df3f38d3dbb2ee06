#!/usr/bin/env bash
# LAME makes MP3s of constant bit rate up to 5 % quieter, by a factor that depends on the bit rate.
# Versions: av (PyAV) 18.1.0 (FFmpeg 8.1.2 with libmp3lame), lameenc 1.9.0 (LAME 3.100), numpy 2.4.6.
# Expected: an encoder keeps the level: what comes back is the input plus coding noise, so that a sine has
#   its level.
# What happens: LAME's settings for constant bit rates multiply the input by 0.95 at 128 kbit/s and below,
#   by 0.97 at 192 and not at all at 256 and above; the quality settings (VBR, -V) leave it alone. That is
#   up to 0.45 dB: a plain SNR between input and output cannot exceed 26 dB, however good the coding; SI-SDR
#   does not see it. Both libraries pass the setting on without a word.
# Output seen:
#   FFmpeg, 64 kbit/s: level 0.950
#   FFmpeg, 128 kbit/s: level 0.950
#   FFmpeg, 192 kbit/s: level 0.970
#   FFmpeg, 256 kbit/s: level 1.000
#   FFmpeg, 320 kbit/s: level 1.000
#   lameenc, 64 kbit/s: level 0.950
#   lameenc, 128 kbit/s: level 0.950
#   lameenc, 320 kbit/s: level 1.000
#   FFmpeg, quality 2: level 1.000
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 lameenc==1.9.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io

import av
import lameenc
import numpy as np

RATE = 44100
sound = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)


def ffmpeg(bit_rate=None, quality=None):
    options = {} if quality is None else {"flags": "+qscale", "global_quality": str(quality * 118)}
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=RATE, layout="mono", options=options)
        if bit_rate:
            stream.bit_rate = bit_rate * 1000
        frame = av.AudioFrame.from_ndarray(sound[None].astype("f4"), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def lame(bit_rate):
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(RATE)
    encoder.set_bit_rate(bit_rate)
    return bytes(encoder.encode((sound * 32767).astype("<i2").tobytes()) + encoder.flush())


def level(data):
    with av.open(io.BytesIO(data)) as file:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    return round(float(decoded[5000:80000].std() / sound.std()), 3)


levels = {f"FFmpeg, {rate} kbit/s": level(ffmpeg(rate)) for rate in (64, 128, 192, 256, 320)}
levels |= {f"lameenc, {rate} kbit/s": level(lame(rate)) for rate in (64, 128, 320)}
levels["FFmpeg, quality 2"] = level(ffmpeg(quality=2))
for name, value in levels.items():
    print(f"{name}: level {value:.3f}")
wanted = [0.95, 0.95, 0.97, 1, 1, 0.95, 0.95, 1, 1]
if max(abs(a - b) for a, b in zip(levels.values(), wanted, strict=True)) > 0.003:
    raise SystemExit("the behaviour has changed")
PY
