#!/usr/bin/env bash
# libsndfile's ALAC writer is not lossless on loud stereo noise at 24 bits (nor at 20 and 32).
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2) reads the file for
#   comparison.
# Expected: ALAC is lossless: a frame that does not compress is stored as it is (the format's escape). The
#   integers come back.
# What happens: a frame of loud white noise does not compress, and in stereo it is stored wrongly:
#   libsndfile reads other numbers back, and so does FFmpeg. At 16 bits, in mono, and for sound that
#   compresses (here the same noise, quieter), all is exact, so the fault hides: one incompressible passage
#   in a recording is enough. No error is raised.
# Output seen:
#   16 bits, loud, 1 channels: wrong by libsndfile 0 %, by FFmpeg 0 %
#   16 bits, loud, 2 channels: wrong by libsndfile 0 %, by FFmpeg 0 %
#   16 bits, quiet, 1 channels: wrong by libsndfile 0 %, by FFmpeg 0 %
#   16 bits, quiet, 2 channels: wrong by libsndfile 0 %, by FFmpeg 0 %
#   24 bits, loud, 1 channels: wrong by libsndfile 0 %, by FFmpeg 0 %
#   24 bits, loud, 2 channels: wrong by libsndfile 100 %, by FFmpeg 100 %
#   24 bits, quiet, 1 channels: wrong by libsndfile 0 %, by FFmpeg 0 %
#   24 bits, quiet, 2 channels: wrong by libsndfile 0 %, by FFmpeg 0 %
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

noise = np.random.default_rng(0).integers(-(2**31), 2**31, (50_000, 2))
wrong = {}
for bits in (16, 24):
    for name, sound in (("loud", noise), ("quiet", noise >> 6)):
        for channels in (1, 2):
            sent = (sound[:, :channels] >> 32 - bits << 32 - bits).astype("i4")
            soundfile.write("sound.caf", sent, 44100, format="CAF", subtype=f"ALAC_{bits}")
            own = soundfile.read("sound.caf", dtype="int32", always_2d=True)[0]
            with av.open("sound.caf") as file:
                frames = [frame.to_ndarray().astype("i8") for frame in file.decode(audio=0)]
            ffmpeg = np.concatenate(frames, 1).T << (16 if bits == 16 else 0)
            count = min(len(ffmpeg), len(sent))
            wrong[bits, name, channels] = np.mean(own != sent), np.mean(ffmpeg[:count] != sent[:count])
            shares = [f"{100 * share:.0f} %" for share in wrong[bits, name, channels]]
            print(f"{bits} bits, {name}, {channels} channels: wrong by libsndfile {shares[0]}, by FFmpeg {shares[1]}")
bad = wrong.pop((24, "loud", 2))
if min(bad) < 0.05 or any(share for shares in wrong.values() for share in shares):
    raise SystemExit("the behaviour has changed")
PY
