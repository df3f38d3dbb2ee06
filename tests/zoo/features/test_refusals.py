"""What features are not computed of, in a line that names it."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo import features
from zoo.errors import ZooError

AUDIO = np.zeros(4000, np.float32)
NAN = np.where(np.arange(4000) == 7, np.nan, 0.0)


@pytest.mark.parametrize(
    ("call", "culprit"),
    [
        (lambda: features.mfcc(AUDIO[:0], 22_050), r"audio is empty: shape \(0,\)"),
        (lambda: features.mfcc(np.float32(1), 22_050), "audio is empty|audio must"),
        (lambda: features.rms(AUDIO.astype(np.int16), 22_050), "floating-point samples, got int16"),
        (lambda: features.rms(AUDIO[None, :, None], 22_050), "clips of 1 samples, since time is the last axis"),
        (lambda: features.rms("song.wav", 22_050), "audio must be an array of numbers, got a name"),
        (lambda: features.rms(NAN, 22_050), "audio is not finite: sample 7 is nan"),
        (lambda: features.rms(np.stack([AUDIO, NAN]), 22_050), "sample 7 of clip 1 is nan"),
        (lambda: list(features.extract_each([AUDIO, NAN], 22_050, "rms")), "clip 1 is not finite"),
        (lambda: list(features.extract_each([AUDIO, AUDIO[:0]], 22_050)), r"clip 1 must be .* got float32 \(0,\)"),
        (lambda: list(features.extract_each([AUDIO], 22_050, batch_size=0)), "batch_size must be at least 1"),
        (lambda: features.rms(AUDIO, 22_050, 4001), "n_samples must lie between 1 and 4000, got 4001"),
        (lambda: features.rms(AUDIO, 22_050, 0), "between 1 and 4000, got 0"),
        (lambda: features.rms(AUDIO, 22_050, 9.5), "n_samples must be integers"),
        (lambda: features.rms(AUDIO, 22_050, np.array([4000])), r"n_samples must be of shape \(\)"),
        (lambda: features.rms(AUDIO, 0), "sample_rate"),
        (lambda: features.rms(AUDIO, 22_050.5), "sample_rate must be a whole number"),
        (lambda: features.mfcc(AUDIO, 22_050, n_mfcc=41, n_mels=40), "n_mfcc 41 is more than n_mels 40"),
        (lambda: features.mfcc(AUDIO, 22_050, n_mfcc=0), "n_mfcc must be at least 1"),
        (lambda: features.log_mel(AUDIO, 8000, f_max=5000), "f_max 5000 Hz is above half the sample rate of 8000 Hz"),
        (lambda: features.log_mel(AUDIO, 8000, f_min=3000, f_max=2000), "f_min 3000"),
        (lambda: features.log_mel(AUDIO, 22_050, n_fft=256), "n_mels 128 filters hold no bin of n_fft 256"),
        (lambda: features.log_mel(AUDIO, 22_050, top_db=-1), "top_db must not be negative"),
        (lambda: features.log_mel(AUDIO, 22_050, n_fft=1001), "n_fft must be even"),
        (lambda: features.log_mel(AUDIO, 22_050, hop_length=0), "hop_length must be at least 1"),
        (lambda: features.spectral_rolloff(AUDIO, 22_050, roll_percent=1), "roll_percent must lie between 0 and 1"),
        (lambda: features.chroma(AUDIO, 22_050, tuning=float("nan")), "tuning must be finite"),
        (lambda: features.tempo(AUDIO, 22_050, start_bpm=0), "start_bpm must be positive"),
        (lambda: features.tempo(AUDIO, 22_050, hop_length=100_000), "a tempo needs a hop_length below 88200"),
        (
            lambda: features.extract(AUDIO, 22_050, ("rms", "mfccs")),
            "unknown feature 'mfccs'; there are mel_spectrogram",
        ),
        (lambda: features.extract(AUDIO, 22_050, n_mel=40), "unknown parameter 'n_mel' of features; there are n_fft"),
        (lambda: features.statistics(AUDIO), r"frames must be floats \(..., F, n\)"),
        (lambda: features.statistics(np.zeros((2, 5, 3)), [5, 6]), "n_frames must lie between 1 and 5"),
        (lambda: features.statistics(np.zeros((2, 5, 3)), 5), r"n_frames must be integers \(2,\)"),
        (lambda: features.delta(np.zeros((5, 3)), width=4), "width must be odd"),
    ],
)
def test_one_line_names_the_culprit(call, culprit):
    with pytest.raises(ZooError, match=culprit) as error:
        call()
    assert "\n" not in str(error.value)


def test_features_are_reached_from_the_package():
    assert zoo.features is features
    assert "features" in dir(zoo)
    assert set(features.NAMES) <= set(features.__all__)
