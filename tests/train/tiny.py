"""The smallest models and runs that train, which tests change as they need."""

from __future__ import annotations

from configs.autoencoder import Autoencoder
from configs.base import Config, Data, Discriminator, Evaluation
from configs.gan_vocoder import GanVocoder

VOCODER = GanVocoder(
    sample_rate=8000,
    n_fft=80,
    hop_length=40,
    latent_dim=8,
    encoder_width=8,
    encoder_blocks=1,
    decoder_width=8,
    decoder_blocks=1,
    n_codebooks=2,
    codebook_size=16,
    code_dim=2,
)
RUN = Config(
    model=Autoencoder(sample_rate=8000, hop_length=40, latent_dim=20, levels=(9, 5), n_blocks=0),
    batch_size=4,
    log_every=1,
    tensorboard=False,
    data=Data(segment_s=0.1),
    discriminator=Discriminator(periods=(2,), period_channels=2, fft_sizes=(), max_channels=2),
    evaluation=Evaluation(clips=1, clip_s=0.3, samples=1, table_s=0.5),
)
