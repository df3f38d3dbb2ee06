"""GAN-vocoder codec for live use, 24 kHz mono, at most 6 kbps: its convolutions look at nothing to come.

    python -m train --model gan_vocoder_causal

What is left of algorithmic latency is one STFT window, 27 ms; the non-causal model has to wait for half a second. All
else is that of `gan_vocoder`. Recorded run (recorded/gan_vocoder_causal.png: its curves), two cores of a shared x86-64
virtual machine (Xeon), 26 min 36 s with its evaluation, some minutes of them beside other jobs:

    python -m train --model gan_vocoder_causal --data.root DIR --steps 1700 --adversarial_start 1670

on four hours of music, speech and sounds gave, on 31 clips of other recordings, a mel distance of 0.699 at 5.1 kbps,
0.717 at 2.4 and 0.741 at 1.16 kbps: 1 to 2 % more than `gan_vocoder`, which sees what comes next.
"""

from __future__ import annotations

import dataclasses

from configs.gan_vocoder import CONFIG as NON_CAUSAL
from configs.gan_vocoder import GanVocoder

CONFIG = dataclasses.replace(NON_CAUSAL, model=GanVocoder(n_fft=640, hop_length=320, causal=True))
