"""Makes golden.npz anew: what librosa 0.11.0 gives with its defaults for the signals of `signals.py`.

    pip install librosa==0.11.0
    python -m tests.zoo.features.make_golden

Arrays are float32, named feature/signal, in librosa's own layout but transposed: frames first.
"""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np

from tests.zoo.features.signals import RHYTHMS, SIGNALS

PATH = Path(__file__).with_name("golden.npz")
FEATURES = {
    "mel_spectrogram": librosa.feature.melspectrogram,
    "log_mel": lambda *, y, sr: librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=sr)),
    "mfcc": librosa.feature.mfcc,
    "chroma": librosa.feature.chroma_stft,
    "spectral_centroid": librosa.feature.spectral_centroid,
    "spectral_bandwidth": librosa.feature.spectral_bandwidth,
    "spectral_rolloff": librosa.feature.spectral_rolloff,
    "spectral_flatness": lambda *, y, sr: librosa.feature.spectral_flatness(y=y),
    "zero_crossing_rate": lambda *, y, sr: librosa.feature.zero_crossing_rate(y),
    "rms": lambda *, y, sr: librosa.feature.rms(y=y),
    "onset_strength": lambda *, y, sr: librosa.onset.onset_strength(y=y, sr=sr)[None],
}


def main() -> None:
    assert librosa.__version__ == "0.11.0"
    arrays = {}
    for name, signal in SIGNALS.items():
        for feature, compute in FEATURES.items():
            if feature != "mel_spectrogram" or name in ("noise", "short"):
                arrays[f"{feature}/{name}"] = compute(y=signal.samples, sr=signal.sample_rate).T
        mfcc = librosa.feature.mfcc(y=signal.samples, sr=signal.sample_rate)
        if mfcc.shape[1] >= 9:
            arrays[f"delta/{name}"] = librosa.feature.delta(mfcc).T
    for name, signal in RHYTHMS.items():
        y, sr = signal.samples, signal.sample_rate
        arrays[f"onset_strength/rhythm_{name}"] = librosa.onset.onset_strength(y=y, sr=sr)[None].T
        arrays[f"tempo/rhythm_{name}"] = librosa.feature.tempo(y=y, sr=sr)[0]
    np.savez_compressed(PATH, **{name: np.asarray(array, np.float32) for name, array in arrays.items()})
    print(f"{PATH}: {len(arrays)} arrays, {PATH.stat().st_size} bytes, librosa {librosa.__version__}")


if __name__ == "__main__":
    main()
