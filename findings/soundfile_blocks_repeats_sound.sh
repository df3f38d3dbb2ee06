#!/usr/bin/env bash
# soundfile.blocks hands out sound twice when a file is shorter than its header says.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2, LAME) writes the file.
# Expected: the blocks joined are what soundfile.read returns; soundfile's documentation says that the last
#   block is shorter.
# What happens: for a constant-bit-rate MP3 without an Info tag libsndfile guesses the length, slightly too
#   long. soundfile.read stops at the end, but `blocks` counts on the guess: its buffer is still full of the
#   block before, and the last samples are these, an exact repeat.
# Output seen:
#   announced 134507, read 133632, joined blocks 134507
#   the last 875 of the blocks repeat those 4096 earlier: True
#   peak of the repeated part 0.47
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

RATE, LENGTH, BLOCK = 44100, 3 * 44100, 4096
sound = np.random.default_rng(0).uniform(-0.3, 0.3, LENGTH).astype("f4")
with av.open("sound.mp3", "w", format="mp3", options={"write_xing": "0"}) as file:
    stream = file.add_stream("libmp3lame", rate=RATE, layout="mono")
    stream.bit_rate = 64_000
    frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = RATE, 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
said = soundfile.info("sound.mp3").frames
whole = soundfile.read("sound.mp3")[0]
joined = np.concatenate(list(soundfile.blocks("sound.mp3", BLOCK)))
extra = joined[len(whole) :]
repeat = joined[len(whole) - BLOCK : len(whole) - BLOCK + len(extra)]
print(f"announced {said}, read {len(whole)}, joined blocks {len(joined)}")
print(f"the last {len(extra)} of the blocks repeat those {BLOCK} earlier: {np.array_equal(extra, repeat)}")
print(f"peak of the repeated part {np.abs(extra).max():.2f}")
if not len(extra) or not np.array_equal(extra, repeat) or np.abs(extra).max() < 0.1:
    raise SystemExit("the behaviour has changed")
PY
