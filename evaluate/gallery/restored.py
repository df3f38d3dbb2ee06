"""Sections of what a denoiser and a prior do."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from evaluate.denoise import mixing
from evaluate.gallery.commands import generate, zoo_command
from evaluate.gallery.sections import Example, Mark, Section, Version
from evaluate.gallery.sources import SAMPLE_RATE, SPEECH, Source, named
from evaluate.metrics import si_sdr_db
from zoo import generating
from zoo.denoising import denoise
from zoo.generating import ReadyPrior, Sampling, burg
from zoo.generating.gaps import find_gap
from zoo.ready import ReadyCodec

SNR_DB = 5.0
NEW_S, MORE_S = 5.0, 2.0
N_SOUNDS = 3
GIVEN_SHARE = 0.6
GAP_AT, GAP_S, GAP_SHARE = 0.4, 0.3, 0.1
_compiled_si_sdr_db = jax.jit(si_sdr_db)


def denoised(codec: ReadyCodec, run: str, sources: Sequence[Source], seed: int) -> Section:
    """Two recordings with noise of two kinds, and without it again."""
    chosen = list(dict.fromkeys([named(sources, *SPEECH), named(sources, "music"), *sources]))[:2]
    return Section(
        "Denoised",
        f"Noise of another kind was added to each recording, at an SNR of {SNR_DB:g} dB, and the denoiser took it off.",
        [zoo_command("denoise", "noisy.wav", "denoised.wav", ckpt=run)],
        [_denoised(codec, source, i, seed) for i, source in enumerate(chosen)],
    )


def _denoised(codec: ReadyCodec, source: Source, i: int, seed: int) -> Example:
    n_samples, channels = source.samples.shape
    kind, noise = mixing.drawn(mixing.sources(), i, n_samples, SAMPLE_RATE, channels, seed=seed)
    clean, noisy = mixing.mix(source.samples, noise, SNR_DB)
    found = denoise(codec, noisy, SAMPLE_RATE)
    return Example(
        source.name,
        SAMPLE_RATE,
        [
            Version("noisy", noisy, f"{kind.name} at {SNR_DB:g} dB · SI-SDR {_si_sdr(clean, noisy)} dB"),
            Version("denoised", found, f"SI-SDR {_si_sdr(clean, found)} dB"),
            Version("clean", clean, source.name),
        ],
    )


def _si_sdr(clean: np.ndarray, estimate: np.ndarray) -> str:
    found = _compiled_si_sdr_db(clean[None], estimate[None], np.array([len(clean)]))
    return f"{float(found[0]):.1f}".replace("-", "−")


def generated(prior: ReadyPrior, run: str, seed: int) -> Section:
    """New sounds: one of each of the first classes, or some of any."""
    if prior.labels:
        labels: Sequence[str] = prior.labels[:N_SOUNDS]
        lines = [generate(run, seed, seconds=NEW_S, label=label) for label in labels]
        versions = [
            Version(label, generating.generate(prior, seconds=NEW_S, sampling=Sampling(label=label, seed=seed))[0])
            for label in labels
        ]
        what = "one of each class that it was asked for"
    else:
        lines = [generate(run, seed, seconds=NEW_S, n=N_SOUNDS)]
        made = generating.generate(prior, seconds=NEW_S, n=N_SOUNDS, sampling=Sampling(seed=seed))
        versions = [Version(f"sound {i}", samples) for i, samples in enumerate(made)]
        what = f"numbers 0 to {N_SOUNDS - 1} of a seed"
    return Section(
        "Generated",
        f"The prior made new sounds out of noise, {what}.",
        lines,
        [Example("new sounds", prior.sample_rate, versions)],
    )


def continued(prior: ReadyPrior, run: str, sources: Sequence[Source], seed: int) -> Section:
    """The beginning of a recording, and two ways in which it may go on."""
    source = named(sources, "music")
    given = source.samples[: round(GIVEN_SHARE * len(source.samples))]
    made = generating.extend(prior, given, SAMPLE_RATE, seconds=MORE_S, n=2, sampling=Sampling(seed=seed))
    given_s = len(given) / SAMPLE_RATE
    new = Mark(given_s, given_s + MORE_S, "new")
    return Section(
        "Continued",
        f"The prior was given {given_s:.1f} s of a recording (start.wav), and went on for {MORE_S:g} s, twice.",
        [generate(run, seed, ("--continue", "start.wav"), seconds=MORE_S, n=2)],
        [
            Example(
                source.name,
                SAMPLE_RATE,
                [
                    Version("what was given", given, source.name),
                    *(Version(f"continued, {i}", samples, marks=[new]) for i, samples in enumerate(made)),
                ],
            )
        ],
    )


def filled(prior: ReadyPrior, run: str, sources: Sequence[Source], seed: int) -> Section:
    """A recording with a gap, what the prior puts into it, and what a classical restorer does."""
    source = named(sources, "music")
    clip = source.samples
    total_s = len(clip) / SAMPLE_RATE
    start_s, gap_s = round(GAP_AT * total_s, 1), min(GAP_S, round(GAP_SHARE * total_s, 1))
    gap = find_gap(len(clip), SAMPLE_RATE, start_s, gap_s)
    (made,) = generating.fill(prior, clip, SAMPLE_RATE, start_s=start_s, seconds=gap_s, sampling=Sampling(seed=seed))
    silent, classical = clip.copy(), clip.copy()
    silent[gap.start : gap.stop] = 0
    for channel in range(clip.shape[1]):
        before, after = clip[: gap.start, channel], clip[gap.stop :, channel]
        classical[gap.start : gap.stop, channel] = np.clip(burg.fill(before, after, gap.length), -1, 1)
    place = [Mark(start_s, start_s + gap_s, "gap")]
    return Section(
        "Filled",
        f"A gap of {gap_s:g} s was filled without looking at what was there; outside of it every sample is as it was. "
        "Beside it, autoregressive extrapolation from both sides (Burg).",
        [generate(run, seed, ("--fill", source.path), start=start_s, seconds=gap_s)],
        [
            Example(
                source.name,
                SAMPLE_RATE,
                [
                    Version("as it was", clip, source.name),
                    Version("with a gap", silent, marks=place),
                    Version("filled", made, marks=place),
                    Version("extrapolated", classical, "without a model", place),
                ],
            )
        ],
    )
