"""Several features of a batch of clips in one compiled program, which transforms the clips once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.arguments import as_array
from zoo.errors import ZooError
from zoo.features import cepstrum, pitch, rhythm, timbre, waveform
from zoo.features.analysis import Analysis
from zoo.features.settings import Settings

FRAMED: Mapping[str, Callable[[Analysis], jax.Array]] = {
    "mel_spectrogram": cepstrum.mel_spectrogram,
    "log_mel": cepstrum.log_mel,
    "mfcc": cepstrum.mfcc,
    "chroma": pitch.chroma,
    "spectral_centroid": timbre.spectral_centroid,
    "spectral_bandwidth": timbre.spectral_bandwidth,
    "spectral_rolloff": timbre.spectral_rolloff,
    "spectral_flatness": timbre.spectral_flatness,
    "zero_crossing_rate": waveform.zero_crossing_rate,
    "rms": waveform.rms,
    "onset_strength": rhythm.onset_strength,
}
"""feature → the function of clips that gives its frames (B, F, n)"""
WHOLE: Mapping[str, Callable[[Analysis], jax.Array]] = {"tempo": rhythm.tempo}
"""feature → the function of clips that gives one value for each (B,)"""
NAMES = (*FRAMED, *WHOLE)


def extract(
    audio: Any, sample_rate: int, names: Sequence[str] = NAMES, n_samples: Any = None, **parameters: Any
) -> dict[str, jax.Array]:
    """Computes several features at once, by name, of audio (..., T): (..., F, n) each, but (...) for "tempo".

    They are what their functions give one by one, but clips are transformed once. `parameters` are those of these
    functions. Raises ZooError for names and parameters that there are not, and for audio that cannot be used.
    """
    names = chosen(names)
    settings = Settings.of(sample_rate, parameters)
    x, lengths = _checked(audio, n_samples)
    batch = x.shape[:-1]
    found = _compute(names, settings, x.reshape(-1, x.shape[-1]), lengths.reshape(-1))
    return {name: values.reshape(*batch, *values.shape[1:]) for name, values in found.items()}


def chosen(names: Any) -> tuple[str, ...]:
    """The features of these names, or of one; raises ZooError for what is none."""
    if not isinstance(names, Iterable):
        raise ZooError(f"names must be those of features, got {' '.join(repr(names).split())[:80]}")
    found = (names,) if isinstance(names, str) else tuple(names)
    for name in found:
        if not isinstance(name, str) or name not in NAMES:
            raise ZooError(f"unknown feature {' '.join(repr(name).split())[:80]}; there are {', '.join(NAMES)}")
    return found


@partial(jax.jit, static_argnums=(0, 1))
def _compute(
    names: tuple[str, ...], settings: Settings, audio: jax.Array, n_samples: jax.Array
) -> dict[str, jax.Array]:
    clips = Analysis(audio, n_samples, settings)
    found = {name: compute(clips) for name, compute in WHOLE.items() if name in names}
    for name, compute in FRAMED.items():
        if name in names:
            found[name] = jnp.where(clips.valid[..., None], compute(clips), 0.0)
    return {name: found[name] for name in names}


def _checked(audio: Any, n_samples: Any) -> tuple[Any, Any]:
    """Audio (..., T) float32 and lengths (...,) int32; values are looked at unless they are being traced."""
    x = audio if isinstance(audio, jax.Array) else as_array(audio, "audio")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ZooError(f"audio must be floating-point samples, got {x.dtype}")
    if x.ndim == 0 or x.size == 0:
        raise ZooError(f"audio is empty: shape {x.shape}")
    n_last = x.shape[-1]
    if x.ndim > 1 and n_last <= 8 and x.shape[-2] > 64:
        raise ZooError(f"audio of shape {x.shape} would be clips of {n_last} samples, since time is the last axis")
    if n_samples is None:
        lengths: Any = np.full(x.shape[:-1], n_last, np.int32)
    else:
        lengths = n_samples if isinstance(n_samples, jax.Array) else as_array(n_samples, "n_samples")
        if not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise ZooError(f"n_samples must be integers, got {lengths.dtype}")
        if lengths.shape != x.shape[:-1]:
            raise ZooError(f"n_samples must be of shape {x.shape[:-1]}, a length for each clip, got {lengths.shape}")
        if not isinstance(lengths, jax.core.Tracer):
            lengths = np.asarray(lengths)
            if lengths.min() < 1 or lengths.max() > n_last:
                wrong = lengths[(lengths < 1) | (lengths > n_last)].flat[0]
                raise ZooError(f"n_samples must lie between 1 and {n_last}, got {wrong}")
    if not isinstance(x, jax.core.Tracer) and not isinstance(lengths, jax.core.Tracer):
        _refuse_what_is_not_finite(np.asarray(x), lengths)
    return x.astype(jnp.float32), lengths.astype(jnp.int32)


def _refuse_what_is_not_finite(x: np.ndarray, lengths: np.ndarray) -> None:
    # the sum is quick, and not finite where a sample is not (or, seldom, where it is too large for its type)
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum()):
            return
    bad = ~np.isfinite(x) & (np.arange(x.shape[-1]) < lengths[..., None])
    if bad.any():
        *clip, at = np.argwhere(bad)[0].tolist()
        where = f"sample {at}" + (f" of clip {', '.join(map(str, clip))}" if clip else "")
        raise ZooError(f"audio is not finite: {where} is {x[(*clip, at)]}")
