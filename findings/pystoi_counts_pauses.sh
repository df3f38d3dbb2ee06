#!/usr/bin/env bash
# STOI of speech that is bit for bit the same falls to 0.78 when the soft noise in its pauses is another noise.
# Versions: pystoi 0.4.1, numpy 2.4.6, scipy 1.17.1.
# Expected: STOI (Taal et al., 2011) leaves out frames more than 40 dB below the loudest, so that pauses do not count;
#   two signals that differ only in pauses, by noise 30 dB below the speech, are equally intelligible.
# What happens: the loudest frame of speech is some 7 dB above its mean, so the limit lies 33 dB below it. Noise at -35 dB
#   is left out, and the score is 1; noise at -30 dB, just as hard to notice, counts as much as speech does: stretches of
#   384 ms within a pause are compared as if they were speech, have a correlation of about 0, and cost 0.22. Removing
#   the noise costs as much as replacing it. ESTOI falls further.
# A codec that follows speech exactly and fills pauses with noise of the right level can therefore score below one that
#   distorts the speech and follows the noise. Look at the noise between sentences before comparing codecs by STOI.
# Output seen:
#   pauses -30 dB: STOI 0.78, ESTOI 0.67, noise removed: STOI 0.77
#   pauses -35 dB: STOI 1.00, ESTOI 1.00, noise removed: STOI 1.00
# Fails when the behaviour changes. Needs Python 3.11 or newer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pystoi==0.4.1 numpy==2.4.6 scipy==1.17.1
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
from pystoi import stoi
from scipy.signal import lfilter

RATE, SECONDS, PITCH = 10_000, 10, 120.0
rng = np.random.default_rng(0)
t = np.arange(RATE * SECONDS) / RATE

# a voice: a pulse a period and some breath through three formants, four syllables a second
phase = np.cumsum(PITCH * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t)) / RATE) % 1
voice = (phase < PITCH / RATE) + 0.05 * rng.standard_normal(len(t))
for frequency, bandwidth in ((500, 80), (1500, 120), (2500, 160)):
    r = np.exp(-np.pi * bandwidth / RATE)
    voice = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * frequency / RATE), r * r], voice)
voice *= 0.5 - 0.5 * np.cos(2 * np.pi * 4 * t)
talking = t % 2 < 1.25  # the rest of two seconds is a pause
voice *= talking
voice /= np.sqrt(np.mean(voice[talking] ** 2))

found = {}
for level in (-30, -35):
    one, other = 10 ** (level / 20) * rng.standard_normal((2, len(t)))
    reference = voice + one
    replaced = np.where(talking, reference, other)
    removed = np.where(talking, reference, 0.0)
    assert np.array_equal(replaced[talking], reference[talking])
    scores = [stoi(reference, replaced, RATE), stoi(reference, replaced, RATE, extended=True)]
    scores.append(stoi(reference, removed, RATE))
    print("pauses {} dB: STOI {:.2f}, ESTOI {:.2f}, noise removed: STOI {:.2f}".format(level, *scores))
    found[level] = scores

assert max(found[-30]) < 0.85 and found[-30][1] < found[-30][0], found
assert min(found[-35]) > 0.999, found
PY
