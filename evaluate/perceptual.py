"""Perceptual metrics of other people's libraries, an optional extra: ViSQOL, wide-band PESQ, STOI and ESTOI.

Each models a listener of its own, says nothing outside what it was made for, and is read beside the metrics of
`evaluate.metrics`. The libraries are imported only when one of them is asked for. PESQ and STOI are made for speech:
on music they are defined, but mean little. One call at a time runs in a process (the libraries share state inside):
processes, not threads, make it faster.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluate.silence import silent
from zoo import audio
from zoo.errors import ZooError, one_line

INSTALL = "pip install -e '.[perceptual]'"
PESQ_PART_S = 16.0  # libpesq writes beyond its 50 utterances, each at least 0.4 s with its pause, and crashes
STOI_FRAME = 256  # samples at 10 kHz
STOI_TOO_SHORT = 1e-5  # what pystoi returns, with a warning, when fewer than 30 frames are left
_LOCK = threading.Lock()


def visqol(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    """ViSQOL's mean opinion score in audio mode of two (T,) at 48 kHz; None below 0.96 s.

    Measures: how alike the two look on a gammatone spectrogram (32 bands, 50 Hz to 15 kHz, 80 ms windows every 20 ms),
    patch by patch after alignment in time and matching of level, mapped by a support vector machine to listening tests
    of music codecs. Blind to: a gain of the estimate, phase, what lies above 15 kHz, the stereo image, anything shorter
    than some 20 ms such as pre-echo; it follows bandwidth above all (a clean low-pass costs more than audible noise in
    band), hardly separates what is nearly transparent, and puts what is badly damaged in no reliable order. Its floor
    is absolute, so that the level of a pair decides as well: of 30 pairs at -15 to -22 dBFS RMS (noise, a low-pass, a
    coarse quantiser, a codec) 20 score higher and 5 lower, by +2.1 to -0.6, when both are 20 dB quieter; 40 dB quieter
    29 score higher, and 60 dB quieter 28 are above 4.5. What is added where a sparse reference is empty counts little.
    Range: 1 (bad) to 4.732, the score of identity, not 5. Source: Chinen et al., "ViSQOL v3", 2020; Hines et al.,
    "ViSQOLAudio", 2015; here the port visqol-python, which states the C++ program's conformance scores within 2e-4.
    Cost: about 1.4 s for each 10 s and channel (after some 20 s once, to compile) with numba, which the extra
    installs, 10 to 17 s without.
    """
    try:
        score = _visqol_api().measure_from_arrays(reference, estimate, METRICS["visqol"].sample_rate).moslqo
    except ValueError:  # too short for a patch, or nothing in the estimate that could be matched
        return None
    return float(score)


def pesq(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    """Wide-band PESQ's mean opinion score of two (T,) at 16 kHz; None below 0.25 s or where it finds no utterance.

    Measures: the loudness differences of speech over Bark bands up to 8 kHz, after aligning each utterance in time and
    matching level, additions weighing more than losses; made for telephone codecs and packet loss. Blind to: everything
    above 8 kHz, so a full-band codec and a wide-band one score the same; timing and level; naturalness and identity of
    a voice (generative codecs are judged too hard); music. Range: some 1.01 to 4.644, the score of identity. Source:
    ITU-T P.862.2, 2007 (Rix et al., "Perceptual evaluation of speech quality", 2001), its reference code in the
    package pesq. A clip longer than 16 s is judged in equal parts and averaged: the recommendation is for clips of
    about 8 to 12 s, and the library crashes beyond. Cost: 0.1 to 0.2 s for each 10 s and channel.
    """
    from pesq import BufferTooShortError, NoUtterancesError
    from pesq import pesq as score

    rate = METRICS["pesq"].sample_rate
    n_parts = -(-len(reference) // int(PESQ_PART_S * rate))
    scores = []
    for x, y in zip(np.array_split(reference, n_parts), np.array_split(estimate, n_parts)):
        if silent(x):
            continue
        # a silent estimate makes the library divide by zero
        with contextlib.suppress(BufferTooShortError, NoUtterancesError):
            scores.append(METRICS["pesq"].lowest if silent(y) else float(score(rate, x, y, "wb")))
    return float(np.mean(scores)) if scores else None


def stoi(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    """Short-time objective intelligibility of two (T,) at 10 kHz; None where less than 0.4 s of it is not silence.

    Measures: whether the envelopes of 15 third-octave bands (150 Hz to 4.3 kHz) go together over stretches of 0.38 s,
    that is, whether words can be understood. Blind to: quality beyond being understood; gain; everything above 4.3 kHz
    and below 130 Hz. Frames of the reference 40 dB below its loudest, which is some 33 dB below the mean of speech, are
    left out; noise in pauses above that counts as much as words do, and another noise of the same level takes 0.2 off a
    recording whose words are untouched (`findings/pystoi_counts_pauses.sh`, pystoi 0.4.1). Range: about 0 (nothing is
    understood) to 1, identity; speech codecs crowd between some 0.9 and 1, so the third digit matters. Source: Taal et
    al., "An algorithm for intelligibility prediction of time-frequency weighted noisy speech", 2011; the package
    pystoi. Cost: 0.02 to 0.05 s for each 10 s and channel.
    """
    return _intelligibility(reference, estimate, extended=False)


def estoi(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    """Extended STOI of two (T,) at 10 kHz; None where less than 0.4 s of it is not silence.

    Measures: as `stoi`, but whole spectro-temporal patches of 0.38 s, each normalised over time and over bands:
    fluctuating disturbances and smeared spectra count too. Blind to: what `stoi` misses, but spreads codecs further
    apart. Range: about 0 to 1, identity; below `stoi` for the same clip. Source: Jensen and Taal, "An algorithm for
    predicting the intelligibility of speech masked by modulated noise maskers", 2016; the package pystoi, whose tiny
    random dither is seeded here so that equal input gives an equal score. Cost: 0.1 to 0.15 s for each 10 s and
    channel.
    """
    return _intelligibility(reference, estimate, extended=True)


@dataclass(frozen=True)
class PerceptualMetric:
    """One metric: two (T,) float64 at `sample_rate` Hz -> a score, or None where it is not defined.

    `lowest` is given to an estimate that is silent, or so far from a reference that can be judged that the metric finds
    nothing to compare; `identity` is the score of the reference itself. Higher is better for all of them.
    """

    function: Callable[[np.ndarray, np.ndarray], float | None]
    sample_rate: int
    lowest: float
    identity: float
    package: str
    modules: tuple[str, ...]


METRICS: dict[str, PerceptualMetric] = {
    "visqol": PerceptualMetric(
        visqol, 48000, lowest=1.0, identity=4.7321, package="visqol-python", modules=("visqol", "libsvm.svmutil")
    ),
    "pesq": PerceptualMetric(pesq, 16000, lowest=1.0, identity=4.6439, package="pesq", modules=("pesq",)),
    "stoi": PerceptualMetric(stoi, 10000, lowest=0.0, identity=1.0, package="pystoi", modules=("pystoi",)),
    "estoi": PerceptualMetric(estoi, 10000, lowest=0.0, identity=1.0, package="pystoi", modules=("pystoi",)),
}


def available() -> dict[str, str | None]:
    """Tells for each metric None if its library can be imported, else why not and the command that installs it."""
    return {name: _missing(metric) for name, metric in METRICS.items()}


def require(names: Sequence[str]) -> None:
    """Raises ZooError unless all of `names` are metrics whose library can be imported; the line names what is not."""
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ZooError(f"no perceptual metric {', '.join(map(repr, unknown))}: choose among {', '.join(METRICS)}")
    missing = {name: reason for name in names if (reason := _missing(METRICS[name]))}
    if missing:
        reasons = ", ".join(dict.fromkeys(reason.removesuffix(f": {INSTALL}") for reason in missing.values()))
        raise ZooError(f"perceptual metrics {', '.join(missing)}: {reasons}: {INSTALL}")


def compute(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, *, names: Sequence[str] = tuple(METRICS)
) -> dict[str, float | None]:
    """Scores of one clip, (T, C) against (T, C) at `sample_rate` Hz, aligned: {name: score, or None if not defined}.

    Each channel is resampled to the metric's own rate and judged alone; the score is the mean over those channels of
    the reference that can be judged: not silent, long enough, and for PESQ with something like an utterance. A channel
    of the estimate that is silent there gets the metric's lowest score. Deterministic. Raises ZooError on other shapes,
    samples that are not finite, or a library that is missing.
    """
    require(names)
    audio.validate(reference, name="reference")
    audio.validate(estimate, name="estimate")
    if reference.shape != estimate.shape:
        raise ZooError(f"reference and estimate must have one shape (T, C), got {reference.shape}, {estimate.shape}")
    scores: dict[str, float | None] = {}
    resampled: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for name in names:
        metric = METRICS[name]
        rate = metric.sample_rate
        if rate not in resampled:
            resampled[rate] = _prepare(reference, sample_rate, rate), _prepare(estimate, sample_rate, rate)
        channels = [_score(metric, x, y) for x, y in zip(*resampled[rate])]
        defined = [score for score in channels if score is not None]
        scores[name] = float(np.mean(defined)) if defined else None
    return scores


def _prepare(samples: np.ndarray, sample_rate: int, rate: int) -> np.ndarray:
    """Converts (T, C) at `sample_rate` Hz to float64 (C, T') at `rate` Hz, with zeros for a channel that is silent."""
    # before resampling, since a constant offset rings at the ends
    audible = np.where(silent(samples), 0.0, samples).astype(np.float32)
    return np.ascontiguousarray(audio.resample(audible, sample_rate, rate).T, np.float64)


def _score(metric: PerceptualMetric, reference: np.ndarray, estimate: np.ndarray) -> float | None:
    if silent(reference):
        return None
    with _LOCK:
        score = None if silent(estimate) else metric.function(reference, estimate)
        # the reference alone decides whether there is a score: an estimate must not gain by being beyond comparison
        if score is None and metric.function(reference, reference) is not None:
            score = metric.lowest
    return score


def _missing(metric: PerceptualMetric) -> str | None:
    for module in metric.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            return f"{metric.package} is not installed: {INSTALL}"
        except (ImportError, OSError) as error:  # its compiled part was built for something else
            return f"{metric.package} cannot be imported ({one_line(error)}): {INSTALL}"
    return None


@functools.cache
def _visqol_api() -> Any:
    from visqol import VisqolApi

    logging.getLogger("visqol").setLevel(logging.ERROR)  # it warns of each patch it drops, into the progress bars
    api = VisqolApi()
    api.create(mode="audio")
    return api


def _intelligibility(reference: np.ndarray, estimate: np.ndarray, *, extended: bool) -> float | None:
    from pystoi import stoi as score

    if len(reference) <= STOI_FRAME:  # no frame at all: pystoi fails
        return None
    with warnings.catch_warnings(), _seeded():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(score(reference, estimate, METRICS["stoi"].sample_rate, extended=extended))
    return None if value == STOI_TOO_SHORT else value


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """numpy's global generator, which pystoi draws from, seeded for the moment and then put back."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
