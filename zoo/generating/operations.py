"""New sounds, and variations of one; how sounds go on, or what was in their gaps, is told in `restoring`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from zoo import arguments, audio
from zoo.audio.arrays import as_audio
from zoo.errors import ZooError
from zoo.generating import latents
from zoo.generating.ready import ReadyPrior

LAST = 2**32 - 1
"""of seeds, and of the sounds of one: jax takes larger ones for others without a word, or not at all"""


@dataclass(frozen=True)
class Sampling:
    """How sounds are drawn from a prior."""

    label: str | None = None
    """a class that the prior has seen; None = any"""
    seed: int = 0
    """sound i of a seed is the same, however many are made"""
    steps: int = 32
    """evaluations of the network"""
    guidance: float = 1.0
    """how much more than a sound of any class the class is followed; 1 = as it was learnt"""

    def __post_init__(self) -> None:
        arguments.count(self.steps, "steps")
        if arguments.whole(self.seed, "seed") < 0:
            raise ZooError(f"seed must not be negative, got {self.seed}")
        if self.seed > LAST:
            raise ZooError(f"seed must be {LAST} at most, got {self.seed}")
        if not 0 <= arguments.number(self.guidance, "guidance") < 1e3:
            raise ZooError(f"guidance must lie in [0, 1000), got {self.guidance:g}")

    def key(self, number: int, stream: int = 0) -> jax.Array:
        """The key of a stream of sound `number`."""
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), number), stream)

    def options(self) -> dict[str, Any]:
        """What `ReadyPrior.sample` takes of it."""
        return {
            "label": self.label,
            "steps": self.steps,
            "guidance": self.guidance,
        }


def generate(
    prior: ReadyPrior, *, seconds: float, n: int = 1, first: int = 0, sampling: Sampling | None = None
) -> np.ndarray:
    """New sounds float32 (n, T, C) at the prior's rate, of a seed those from number `first` on.

    Raises ZooError for values without sense.
    """
    how = checked(prior, n, sampling, first)
    n_samples = _n_samples(prior, seconds)
    n_frames = prior.codec.module.n_frames(n_samples)
    return np.stack(
        [
            latents.decode(prior.codec, prior.sample(how.key(i), n_frames, **how.options()), n_samples)
            for i in range(first, first + n)
        ]
    )


def vary(
    prior: ReadyPrior,
    samples: Any,
    sample_rate: int | None = None,
    *,
    strength: float,
    n: int = 1,
    first: int = 0,
    sampling: Sampling | None = None,
) -> np.ndarray:
    """Variations float32 (n, T, C), at the prior's rate and with its channels, of audio (T,) or (T, C).

    Its latents are mixed with noise, as much of it as `strength` says, and from there it is generated: 0 gives the
    audio as the codec has it, 1 a new sound. Raises ZooError for a strength outside [0, 1].
    """
    how = checked(prior, n, sampling, first)
    if not 0 <= arguments.number(strength, "strength") <= 1:
        raise ZooError(f"strength {strength:g} is not between 0 (as it was) and 1 (a new sound)")
    clip, rate = as_clip(samples), _rate(prior, sample_rate)
    module = prior.codec.module
    # channels first: what is mixed is resampled once
    mixed = audio.resample(audio.mix_channels(clip, module.channels), rate, module.sample_rate)
    found = latents.encode(prior.codec, mixed)
    if strength == 0:
        return np.repeat(latents.decode(prior.codec, found, len(mixed))[None], n, axis=0)
    begin = (found, 1.0 - float(strength))
    return np.stack(
        [
            latents.decode(prior.codec, prior.sample(how.key(i), len(found), begin=begin, **how.options()), len(mixed))
            for i in range(first, first + n)
        ]
    )


def checked(
    prior: ReadyPrior | None, n: int, sampling: Sampling | None, first: int, *, needed: bool = True
) -> Sampling:
    """The way to sample; raises ZooError for numbers of sounds that are none, and for a label that is not known.

    Also for what is no prior, of which None is one unless it is `needed`.
    """
    arguments.count(n, "n")
    if not 0 <= arguments.whole(first, "first") <= LAST - n:
        raise ZooError(f"first must be from 0 to {LAST - n}, got {first}")
    how = (
        Sampling()
        if sampling is None
        else arguments.instance(sampling, Sampling, "sampling", "zoo.generating.Sampling(…)")
    )
    if needed or prior is not None:
        prior = arguments.instance(prior, ReadyPrior, "prior", "zoo.generating.load(…)")
        prior.label_number(how.label)
    elif how.label is not None:
        raise ZooError(f"label {how.label}: without a prior there are no labels")
    return how


def as_clip(samples: Any) -> np.ndarray:
    """One clip (T, C); raises ZooError as `as_audio` does, and for a batch."""
    clip = as_audio(samples)
    if clip.ndim == 3:
        raise ZooError(f"a clip is (T,) or (T, C), got shape {clip.shape}")
    return clip if clip.ndim == 2 else clip[:, None]


def _rate(prior: ReadyPrior, sample_rate: int | None) -> int:
    return prior.sample_rate if sample_rate is None else arguments.sample_rate(sample_rate)


def _n_samples(prior: ReadyPrior, seconds: float) -> int:
    if not 0 < arguments.number(seconds, "seconds") < 1e5:
        raise ZooError(f"seconds must be positive, and fewer than 100,000, got {seconds:g}")
    return max(1, round(seconds * prior.sample_rate))
