"""Waveform VAE for 44.1 kHz stereo, full size, for an accelerator.

    python -m train --model vae_44khz_stereo --data.root DIR

86 frames per second of 256 latents; 64 M parameters.
"""

from __future__ import annotations

from configs.base import Config, Data, Discriminator, Evaluation, LossWeights, Optim, Schedule
from configs.vae import VAE

CONFIG = Config(
    model=VAE(
        sample_rate=44_100,
        channels=2,
        latent_dim=256,
        widths=(128, 256, 512, 1024),
        strides=(4, 4, 4, 8),
        dilations=(1, 3, 9),
    ),
    steps=300_000,
    batch_size=32,
    checkpoint_every=5_000,
    log_every=50,
    adversarial_start=50_000,
    discriminator=Discriminator(warmup_steps=1_000),
    loss=LossWeights(
        snr=0.5,
        mel=6.0,
        complex_stft=6.0,
        kl=Schedule("linear", 0.0, 0.02, 10_000),
        adversarial=0.5,
        feature_matching=2.0,
    ),
    data=Data(segment_s=1.5, threads=16),
    optim=Optim(learning_rate=4e-4, warmup_steps=1_000, ema_decay=0.9995),
    evaluation=Evaluation(table_s=600.0),
)
