"""GAN-vocoder codec for live use, 24 kHz mono, at most 6 kbps: its convolutions look at nothing to come.

    python -m train --model gan_vocoder_causal

What is left of algorithmic latency is one STFT window, 27 ms; the non-causal model has to wait for half a second. All
else is that of `gan_vocoder`. No run of it has been recorded yet.
"""

from __future__ import annotations

import dataclasses

from configs.gan_vocoder import CONFIG as NON_CAUSAL
from configs.gan_vocoder import GanVocoder

CONFIG = dataclasses.replace(NON_CAUSAL, model=GanVocoder(n_fft=640, hop_length=320, causal=True))
