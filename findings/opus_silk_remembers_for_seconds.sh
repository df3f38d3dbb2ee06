#!/usr/bin/env bash
# Random access in Opus at speech rates is not what sequential decoding gives, even seconds later.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2, libopus); av (PyAV) 18.1.0 (FFmpeg 8.1.2, libopus) writes
#   the file.
# Expected: RFC 7845, section 4.6: decoding from at least 80 ms before the place wanted lets the decoder
#   converge; libsndfile goes back more than that. Speech-like and noisy sound, and all CELT, do come out
#   the same to the last bit or nearly.
# What happens: on steady tones at low rates (SILK) the predictors carry on what they hold: the difference
#   goes down to about a hundredth of the signal, in half a second on the single tone, and then stays for as
#   long as the tones do. A piece decoded from the middle is not bit for bit a piece of the file decoded
#   whole, however long the pre-roll.
# Output seen:
#   tone, 8000 bit/s, peak 0.54, 10 places; largest difference after
#     0 / 0.08 / 0.5 / 2 / 4 s: 0.04 / 0.03 / 0.006 / 0.003 / 0.003
#   tones, 12000 bit/s, peak 0.73, 10 places; largest difference after
#     0 / 0.08 / 0.5 / 2 / 4 s: 0.01 / 0.009 / 0.009 / 0.009 / 0.009
#   tones, 96000 bit/s, peak 0.58, 10 places; largest difference after
#     0 / 0.08 / 0.5 / 2 / 4 s: 6e-08 / 1e-08 / 0 / 0 / 0
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import av
import numpy as np
import soundfile

RATE, LENGTH = 48000, 12 * 48000
time = np.arange(LENGTH) / RATE
tone = 0.5 * np.sin(2 * np.pi * 440 * time)
tones = sum(0.1 * np.sin(2 * np.pi * f * time + f) for f in (517.3, 1290.2, 2265.4, 156.2, 2866.1, 3203.3))
largest = {}
cases = [("tone", tone, 8000, "voip"), ("tones", tones, 12000, "voip"), ("tones", tones, 96000, "audio")]
for name, sound, bit_rate, application in cases:
    with av.open("sound.opus", "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE, layout="mono", options={"application": application})
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(sound[None].astype("f4"), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    whole = soundfile.read("sound.opus")[0]
    gaps = []
    for start in range(RATE, 7 * RATE, 31_000):
        part = soundfile.read("sound.opus", start=start, frames=5 * RATE)[0]
        gap = np.abs(part - whole[start : start + 5 * RATE])
        gaps.append([gap[int(s * RATE) : int(s * RATE) + 2400].max() for s in (0, 0.08, 0.5, 2, 4)])
    largest[bit_rate] = np.max(gaps, axis=0)
    print(f"{name}, {bit_rate} bit/s, peak {np.abs(whole).max():.2f}, {len(gaps)} places; largest difference after")
    print("  0 / 0.08 / 0.5 / 2 / 4 s:", " / ".join(f"{gap:.1g}" for gap in largest[bit_rate]))
if min(largest[8000][0], largest[12000].min() * 10) < 0.01 or largest[8000][-1] < 5e-4 or largest[96000].max() > 1e-5:
    raise SystemExit("the behaviour has changed")
PY
