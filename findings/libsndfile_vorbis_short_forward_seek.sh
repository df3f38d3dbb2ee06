#!/usr/bin/env bash
# libsndfile: after a short seek forward in an Ogg Vorbis file the first samples, up to about 1000, are
#   wrong.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6. The file is written by soundfile itself.
#   (libsndfile's issue 885.)
# Expected: the same samples as in a decode of the whole file; a Vorbis block needs the one before it, and
#   no more (Vorbis I specification, section 1.3.2), so a decoder can be exact.
# What happens: a seek forward by less than about two seconds skips packets without decoding them, the one
#   before the target's block too, whose second half is then missing from the overlap. A seek backward, or
#   far ahead, is exact: whether the sound at a place is right depends on where one comes from.
# Output seen:
#   seek by +0.3 s: 27 of 27 wrong, by up to 0.679, for up to 992 samples
#   seek by +1.0 s: 27 of 27 wrong, by up to 0.669, for up to 993 samples
#   seek by +5.0 s: 0 of 27 wrong, by up to 0.000, for up to 0 samples
#   seek by -0.3 s: 0 of 27 wrong, by up to 0.000, for up to 0 samples
#   seek by -5.0 s: 0 of 27 wrong, by up to 0.000, for up to 0 samples
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
import soundfile

RATE, LENGTH = 44100, 20 * 44100
sound = np.random.default_rng(0).uniform(-0.3, 0.3, LENGTH)
soundfile.write("sound.ogg", sound, RATE, format="OGG", subtype="VORBIS")
whole = soundfile.read("sound.ogg")[0]
results = {}
for step in (0.3, 1.0, 5.0, -0.3, -5.0):
    wrong, largest, longest = 0, 0.0, 0
    targets = range(6 * RATE, 12 * RATE, 9973)
    for target in targets:
        with soundfile.SoundFile("sound.ogg") as file:
            file.seek(target - int(step * RATE))
            file.read(1000)
            file.seek(target)
            gap = np.abs(file.read(4000) - whole[target : target + 4000])
        bad = np.flatnonzero(gap > 1e-4)
        if len(bad):
            wrong, largest, longest = wrong + 1, max(largest, gap.max()), max(longest, int(bad[-1]) + 1)
    results[step] = wrong / len(targets)
    print(f"seek by {step:+.1f} s: {wrong} of {len(targets)} wrong, by up to {largest:.3f}, for up to {longest} samples")
if min(results[0.3], results[1.0]) < 0.5 or max(results[5.0], results[-0.3], results[-5.0]) > 0:
    raise SystemExit("the behaviour has changed")
PY
