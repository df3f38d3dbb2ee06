"""Makes golden.npz anew: what librosa 0.11.0 gives with its defaults for the signals of `signals.py`.

    pip install librosa==0.11.0
    python -m tests.zoo.features.make_golden

Arrays are float32, named feature/signal, in librosa's own layout but transposed: frames first.
"""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np

from evaluate.bench import librosa_peer
from tests.zoo.features.signals import RHYTHMS, SIGNALS

PATH = Path(__file__).with_name("golden.npz")
FRAMED = (
    "log_mel", "mfcc", "chroma", "spectral_centroid", "spectral_bandwidth", "spectral_rolloff", "spectral_flatness",
    "zero_crossing_rate", "rms", "onset_strength",
)  # fmt: skip


def main() -> None:
    assert librosa.__version__ == "0.11.0"
    arrays = {}
    for name, signal in SIGNALS.items():
        # the mel spectrogram is in the log-mel one: a few are enough
        names = ("mel_spectrogram", *FRAMED) if name in ("noise", "short") else FRAMED
        found = librosa_peer.separate(signal.samples, signal.sample_rate, names)
        if len(found["mfcc"]) >= 9:
            found["delta"] = librosa.feature.delta(found["mfcc"].T).T
        arrays |= {f"{feature}/{name}": array for feature, array in found.items()}
    for name, signal in RHYTHMS.items():
        found = librosa_peer.separate(signal.samples, signal.sample_rate, ("onset_strength", "tempo"))
        arrays |= {f"{feature}/rhythm_{name}": array for feature, array in found.items()}
    np.savez_compressed(PATH, **{name: np.asarray(array, np.float32) for name, array in arrays.items()})
    print(f"{PATH}: {len(arrays)} arrays, {PATH.stat().st_size} bytes, librosa {librosa.__version__}")


if __name__ == "__main__":
    main()
