"""Latent flow: a prior of a codec's latents by flow matching, for generation.

    python -m train --model latent_flow --codec runs/vae --data.root DIR

What it is generated with is told in docs/generation.md, and so is what it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.base import Config, Data, LossWeights, ModelConfig, Optim


@dataclass(frozen=True)
class LatentFlow(ModelConfig):
    """Hyper-parameters of the family `latent_flow` (zoo/families/latent_flow.py).

    Those from `codec_hash` on are found out when a run begins, from its codec and its data.
    """

    family: ClassVar[str] = "latent_flow"
    width: int = 256
    n_layers: int = 6
    n_heads: int = 4
    components: int = 64
    """principal components of the latents that are modelled; 0 = all"""
    whitening: float = 0.5
    """how much alike components count in the loss: 0 = by their power, 1 = alike"""
    label_dropout: float = 0.15
    """share of the examples that are trained without their label"""
    fill: float = 0.5
    """share of the examples of which all but a gap is known"""
    time_mean: float = 0.0
    time_std: float = 1.0
    """of the logit of the times that are trained"""
    codec_hash: str = ""
    latent_dim: int = 64
    window: int = 128
    """frames of a crop, `data.segment_s` long"""
    labels: tuple[str, ...] = ()
    sample_rate: int = 24_000
    hop_length: int = 320
    channels: int = 1


CONFIG = Config(
    model=LatentFlow(),
    task="generate",
    steps=2000,
    batch_size=16,
    freeze=("statistics",),
    loss=LossWeights(flow=1.0),
    data=Data(segment_s=1.7, gain_db=0.0),
    optim=Optim(learning_rate=1e-3, beta1=0.9, ema_decay=0.999),
)
