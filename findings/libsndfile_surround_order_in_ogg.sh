#!/usr/bin/env bash
# libsndfile does not reorder surround channels in Ogg; a 5.1 WAV saved as Vorbis or Opus loses its right
#   surround.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2); av (PyAV) 18.1.0 (FFmpeg 8.1.2) reads the files for
#   comparison.
# Expected: soundfile.read and soundfile.write carry sound from WAV to another format with each channel at
#   its place. WAV and FLAC order 5.1 as left, right, centre, LFE, left and right surround; Vorbis and Opus
#   as left, centre, right, left and right surround, LFE (Vorbis I specification, section 4.3.9; RFC 7845,
#   section 5.1.1.2).
# What happens: channels are passed on by number. In an Ogg file the right channel is played in the centre,
#   the centre at the right, and so on; and since both encoders take the last for LFE, a right surround of
#   1300 Hz is all but filtered away. Below: the strongest frequency of each channel, by FFmpeg in WAV's
#   order; libsndfile's own reading hides the exchange.
# Output seen:
#   written: {'left': 300, 'right': 500, 'centre': 700, 'LFE': 90, 'left surround': 1100, 'right surround': 1300}
#   WAV/PCM_16: FFmpeg [300, 500, 700, 90, 1100, 1300]
#     libsndfile [300, 500, 700, 90, 1100, 1300]; right surround at 1.000 of its level
#   FLAC/PCM_16: FFmpeg [300, 500, 700, 90, 1100, 1300]
#     libsndfile [300, 500, 700, 90, 1100, 1300]; right surround at 1.000 of its level
#   OGG/VORBIS: FFmpeg [300, 700, 500, 1307, 90, 1100]
#     libsndfile [300, 500, 700, 90, 1100, 1307]; right surround at 0.024 of its level
#   OGG/OPUS: FFmpeg [300, 700, 500, 150, 90, 1100]
#     libsndfile [300, 500, 700, 90, 1100, 150]; right surround at 0.003 of its level
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

RATE = 48000
places = ["left", "right", "centre", "LFE", "left surround", "right surround"]
hertz = [300, 500, 700, 90, 1100, 1300]
sound = np.stack([0.2 * np.sin(2 * np.pi * f * np.arange(RATE) / RATE) for f in hertz], 1)


def strongest(channels):
    return [int(np.abs(np.fft.rfft(channel, RATE)).argmax()) for channel in channels]


print("written:", dict(zip(places, hertz)))
levels = {}
for container, codec in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")):
    name = f"sound.{codec}.{container}"
    soundfile.write(name, sound, RATE, format=container, subtype=codec)
    own = soundfile.read(name)[0]
    with av.open(name) as file:
        frames = list(file.decode(audio=0))
    ffmpeg = [f.to_ndarray() if f.format.is_planar else f.to_ndarray().reshape(-1, 6).T for f in frames]
    levels[container, codec] = own[:, 5].std() / sound[:, 5].std()
    seen = strongest(np.concatenate(ffmpeg, 1))
    print(f"{container}/{codec}: FFmpeg {seen}")
    print(f"  libsndfile {strongest(own.T)}; right surround at {levels[container, codec]:.3f} of its level")
    swapped = seen[:3] == [300, 700, 500]
    if swapped != (container == "OGG"):
        raise SystemExit("the behaviour has changed")
if max(levels["OGG", "OPUS"], levels["OGG", "VORBIS"]) > 0.1 or levels["FLAC", "PCM_16"] < 0.99:
    raise SystemExit("the behaviour has changed")
PY
