"""GAN-vocoder codec for 44.1 kHz stereo, full size, for an accelerator.

    python -m train --model gan_vocoder_44khz_stereo --data.root DIR

86 frames per second of up to 12 codebooks of 1024 entries: at most 10.3 kbps for both channels together.
"""

from __future__ import annotations

from configs.base import Config, Data, Discriminator, Evaluation, LossWeights, Optim
from configs.gan_vocoder import GanVocoder

CONFIG = Config(
    model=GanVocoder(
        sample_rate=44_100,
        channels=2,
        n_fft=2048,
        hop_length=512,
        latent_dim=512,
        encoder_width=768,
        encoder_blocks=8,
        decoder_width=1024,
        decoder_blocks=12,
        n_codebooks=12,
    ),
    steps=400_000,
    batch_size=32,
    checkpoint_every=5_000,
    log_every=50,
    adversarial_start=50_000,
    loss=LossWeights(mel=15.0, complex_stft=5.0, codebook=1.0, commitment=0.25, adversarial=1.0, feature_matching=2.0),
    data=Data(segment_s=1.0, threads=16),
    optim=Optim(learning_rate=3e-4, discriminator_learning_rate=3e-4, warmup_steps=1_000, ema_decay=0.9995),
    discriminator=Discriminator(period_channels=32, stft_channels=32, max_channels=1024, warmup_steps=1_000),
    evaluation=Evaluation(table_s=600.0),
)
