"""GAN-vocoder codec with residual vector quantisation, 24 kHz mono, at most 6 kbps.

    python -m train --model gan_vocoder

As it stands it takes less than five minutes on two CPU cores with the embedded generator. Recorded run
(recorded/gan_vocoder.png: its curves), two cores of a shared x86-64 virtual machine, 19 min 43 s with its evaluation,
some minutes of them beside another job:

    python -m train --model gan_vocoder --data.root DIR --steps 1700 --adversarial_start 1670

on four hours of music, speech and sounds gave, on 31 clips of other recordings, a mel distance of 0.686 at 5.1 kbps,
0.703 at 2.4 and 0.733 at 1.15 kbps (Opus at 5.5 kbps: 0.766), and 1.22 with the clamp of DAC's evaluation (Opus: 2.89).
Hardly an entry of its codebooks is dead, thanks to k-means and restarts. Its phases are random: SNR −1.5 dB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.base import Config, Data, Discriminator, Evaluation, LossWeights, ModelConfig, Optim


@dataclass(frozen=True)
class GanVocoder(ModelConfig):
    """Hyper-parameters of the family `gan_vocoder` (zoo/families/gan_vocoder.py)."""

    family: ClassVar[str] = "gan_vocoder"
    sample_rate: int = 24_000
    channels: int = 1
    n_fft: int = 640
    hop_length: int = 320
    latent_dim: int = 128
    encoder_width: int = 256
    encoder_blocks: int = 4
    decoder_width: int = 384
    decoder_blocks: int = 6
    n_codebooks: int = 8
    codebook_size: int = 1024
    code_dim: int = 8
    quantiser_dropout: float = 0.25
    causal: bool = False


CONFIG = Config(
    model=GanVocoder(),
    steps=360,
    batch_size=8,
    adversarial_start=330,
    # of the gradient on the waveform, 93 % are the mels', 6 % the features' and 1 % the verdicts'
    loss=LossWeights(audible_mel=15.0, codebook=1.0, commitment=0.25, adversarial=0.1, feature_matching=1.0),
    data=Data(segment_s=1.0),
    optim=Optim(learning_rate=1e-3),
    discriminator=Discriminator(warmup_steps=10),
    # which of a thousand codes follows which takes more to learn than how large a number is
    evaluation=Evaluation(table_s=900.0),
)
