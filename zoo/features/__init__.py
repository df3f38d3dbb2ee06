"""Classic audio features in JAX, with librosa's defaults and values: of padded batches, compiled, for accelerators.

    log_mel = zoo.features.log_mel(audio, 22050)           # (T,) -> (F, 128)
    mfcc = zoo.features.mfcc(batch, 22050, n_samples)      # (B, T) and (B,) -> (B, F, 20)
    for found in zoo.features.extract_each(clips, 22050):  # clips of any lengths, all features by name

Audio is (..., T), mono, float32: time is the last axis, and every axis before it counts clips. `n_samples` (...,) are
the true lengths in a padded batch (None: all of T). Every feature is (..., F, n), frames before what a frame holds,
with n = 1 for a single value; the tempo alone is (...). Frames are centred, so that a clip of N samples has
1 + N // hop_length of them (`n_frames`); those beyond are zero, and a padded batch gives what its clips give alone.
Sample rate and parameters are static: each combination, and each shape, is compiled once. All raise ZooError for audio
that is empty or not finite (traced values are not looked at) and for parameters that cannot be used.
"""

from zoo.features.clips import extract_each
from zoo.features.extraction import NAMES, extract
from zoo.features.functions import (
    chroma,
    log_mel,
    mel_spectrogram,
    mfcc,
    onset_strength,
    rms,
    spectral_bandwidth,
    spectral_centroid,
    spectral_flatness,
    spectral_rolloff,
    tempo,
    zero_crossing_rate,
)
from zoo.features.settings import n_frames
from zoo.features.summary import Statistics, delta, statistics

__all__ = [
    "NAMES",
    "Statistics",
    "chroma",
    "delta",
    "extract",
    "extract_each",
    "log_mel",
    "mel_spectrogram",
    "mfcc",
    "n_frames",
    "onset_strength",
    "rms",
    "spectral_bandwidth",
    "spectral_centroid",
    "spectral_flatness",
    "spectral_rolloff",
    "statistics",
    "tempo",
    "zero_crossing_rate",
]
