"""What is done to training crops in the compiled step: augmentation of what is learnt, and corruption of the input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """Changes to crops in the compiled step, drawn for each example; a probability of 0 = never.

    They come on top of `data.gain_db`, and change the target too: what is learnt is to code such audio.
    """

    gain_db: float = 0.0
    """random gain in ±gain_db"""
    polarity: float = 0.0
    """probability of being turned upside down"""
    mix: float = 0.0
    """probability of being mixed with the next example of the batch"""
    mix_snr_db: tuple[float, float] = (0.0, 20.0)
    """range of the level of the crop above what is mixed in"""
    filter: float = 0.0
    """probability of a random equaliser"""
    filter_db: float = 12.0
    """largest gain or cut of its bands"""
    reverberation: float = 0.0
    """probability of a random room"""
    reverberation_s: tuple[float, float] = (0.1, 0.8)
    """range of its decay by 60 dB"""


@dataclass(frozen=True)
class Corruption:
    """What a model that is trained to restore its input gets in the place of clean crops (`task denoise`).

    Drawn for each example, in the compiled step; a probability of 0 = never. The target stays clean.
    """

    noise: float = 0.95
    """probability of noise"""
    snr_db: tuple[float, float] = (-6.0, 25.0)
    """range of the crop's level above the noise's"""
    kinds: tuple[str, ...] = ("hiss", "hum", "clicks", "babble")
    """of noises that are synthesised"""
    second: float = 0.3
    """probability of a second, softer kind of noise beside the first"""
    recordings: float = 0.6
    """share of the noises that are taken from `data.noise`, where that is given"""
    reverberation: float = 0.1
    """probability of a room"""
    reverberation_s: tuple[float, float] = (0.1, 0.8)
    """range of its decay by 60 dB"""
    clipping: float = 0.05
    """probability of being clipped"""
    clipping_db: tuple[float, float] = (3.0, 15.0)
    """range of the limit below the crop's peak"""
    band_limit: float = 0.05
    """probability that the upper band is lost"""
    band_limit_hz: tuple[float, float] = (2000.0, 10_000.0)
    """range of what is left"""
    coding: float = 0.05
    """probability of having been an MP3 or Opus file"""
    coding_kbps: tuple[float, float] = (16.0, 48.0)
    """range of its bitrate for each channel"""
