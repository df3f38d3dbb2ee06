#!/usr/bin/env bash
# PyAV decodes Opus with FFmpeg's own decoder, which at speech rates is far from what libopus gives.
# Versions: av (PyAV) 18.1.0, which carries FFmpeg 8.1.2 and libopus; soundfile 0.14.0 (libsndfile 1.2.2,
#   libopus).
# Expected: two decoders of one standard, in float, agree to well over 80 dB, as these two do on music
#   (CELT); a stream written by the encoder "libopus" is decoded by libopus.
# What happens: opening an Ogg Opus file gives the decoder "opus", FFmpeg's own. In SILK and hybrid mode, at
#   low bit rates, the sound is up to 2 samples later, and the difference is only some 20 dB below the
#   signal. At 12 kbit/s it is the resampler to 48 kHz: one linear filter takes the one output to the other
#   to 57 dB (RFC 6716, section 4.2.9, leaves the resampler free, but not its delay); at 24 kbit/s such a
#   filter reaches only 25 dB. A measure such as SI-SDR of Opus at low rates depends on the reader.
#   CodecContext.create("libopus", "r") gets the other one.
# Output seen:
#   12000 bit/s, decoder 'opus': 18 dB to libopus, 2 later; SNR to the input 3.6 dB, by libopus 3.1 dB
#   24000 bit/s, decoder 'opus': 19 dB to libopus, 0 later; SNR to the input 3.4 dB, by libopus 2.9 dB
#   96000 bit/s, decoder 'opus': 140 dB to libopus, 0 later; SNR to the input 24.1 dB, by libopus 24.1 dB
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

RATE, LENGTH = 48000, 8 * 48000
random, time = np.random.default_rng(3), np.arange(LENGTH) / RATE
phase = np.cumsum(120 + 25 * np.sin(2 * np.pi * 0.7 * time)) / RATE
voice = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 25)) * np.clip(np.sin(8 * time) + 0.3, 0, 1)
sound = (0.1 * voice + 0.005 * random.standard_normal(LENGTH)).astype("f4")


def encode(bit_rate, application):
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE, layout="mono", options={"application": application})
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def ratio(wanted, other):
    """The signal-to-difference ratio in dB."""
    return 10 * np.log10(np.sum(wanted**2) / max(np.sum((wanted - other) ** 2), 1e-30))


ratios = {}
for bit_rate, application in ((12000, "voip"), (24000, "voip"), (96000, "audio")):
    data = encode(bit_rate, application)
    with av.open(io.BytesIO(data)) as file:
        decoder = file.streams.audio[0].codec_context.name
        ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    libopus = soundfile.read(io.BytesIO(data))[0]
    ratios[bit_rate] = ratio(libopus, ffmpeg)
    spread = [np.sum(libopus[99:-99] * ffmpeg[99 + k : len(ffmpeg) - 99 + k]) for k in range(-9, 10)]
    late = np.argmax(spread) - 9
    print(f"{bit_rate} bit/s, decoder {decoder!r}: {ratios[bit_rate]:.0f} dB to libopus, {late} later;", end=" ")
    print(f"SNR to the input {ratio(sound, ffmpeg):.1f} dB, by libopus {ratio(sound, libopus):.1f} dB")
if decoder != "opus" or ratios[12000] > 40 or ratios[24000] > 40 or ratios[96000] < 80:
    raise SystemExit("the behaviour has changed")
PY
