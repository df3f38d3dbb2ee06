"""MDCT autoencoder for 44.1 kHz stereo, full size, for an accelerator.

    python -m train --model autoencoder_44khz_stereo --data.root DIR

86 frames per second of 1024 coefficients, mid and side.
"""

from __future__ import annotations

from configs.autoencoder import Autoencoder
from configs.base import Config, Data, Evaluation, LossWeights, Optim, Schedule

CONFIG = Config(
    model=Autoencoder(
        sample_rate=44_100,
        channels=2,
        hop_length=512,
        latent_dim=1024,
        levels=(1023, 511, 255, 127),
        width=768,
        n_blocks=8,
    ),
    steps=200_000,
    batch_size=64,
    checkpoint_every=5_000,
    log_every=50,
    loss=LossWeights(snr=1.0, mel=4.0, complex_stft=4.0, rate=Schedule("linear", 0.0, 0.01, 5_000)),
    data=Data(segment_s=1.5, threads=16),
    optim=Optim(learning_rate=6e-4, warmup_steps=1_000, ema_decay=0.9995),
    evaluation=Evaluation(table_s=600.0),
)
