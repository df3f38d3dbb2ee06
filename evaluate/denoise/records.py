"""What is known of a clip with noise that went through a denoiser, and of all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluate import statistics
from evaluate.require import Failure, Requirement
from zoo.errors import ZooError


@dataclass(frozen=True)
class DenoisingRow:
    """One mix through one denoiser; what ends in `_in` is of the noisy audio, in `_out` of the denoised one.

    Both are compared with the clean clip. Where the denoiser gave NaN or infinity, all that is of its output is NaN;
    perceptual scores are None where they were not asked for or do not apply.
    """

    system: str
    input_snr_db: float
    """at which the mix was made"""
    noise: str
    """kind, or name of the recording"""
    domain: str
    clip: str
    seconds: float
    gain_db: float
    """of SI-SDR"""
    si_sdr_in_db: float
    si_sdr_out_db: float
    snr_in_db: float
    snr_out_db: float
    mel_in: float
    mel_out: float
    lsd_in_db: float
    lsd_out_db: float
    rtf: float | None
    """seconds of audio per wall second; None for the noisy audio itself"""
    visqol_in: float | None = None
    """perceptual scores (evaluate.perceptual)"""
    visqol_out: float | None = None
    pesq_in: float | None = None
    pesq_out: float | None = None
    stoi_in: float | None = None
    stoi_out: float | None = None
    estoi_in: float | None = None
    estoi_out: float | None = None
    remark: str = ""
    """`records.NOT_FINITE` where the denoiser gave NaN or infinity; else empty"""
    coder: str = ""
    """library of a rival with its version and what is set; empty for a codec of ours"""


VALUES = (
    "gain_db", "si_sdr_in_db", "si_sdr_out_db", "snr_in_db", "snr_out_db", "mel_in", "mel_out", "lsd_in_db",
    "lsd_out_db", "rtf", "visqol_in", "visqol_out", "pesq_in", "pesq_out", "stoi_in", "stoi_out", "estoi_in",
    "estoi_out",
)  # fmt: skip


@dataclass(frozen=True)
class LeftOut:
    """A clip that was not measured, and why."""

    clip: str
    reason: str


@dataclass(frozen=True)
class DenoisingMean:
    """Means over the clips of a system: at one input SNR or all (None), of one domain or noise, or of all (None)."""

    system: str
    input_snr_db: float | None
    domain: str | None
    noise: str | None
    n_clips: int
    gain_low_db: float
    """limits of the interval that covers the mean gain over all such clips with probability 95 %; nan for one clip"""
    gain_high_db: float
    values: dict[str, float | None]
    """one for each of `VALUES`, None where no clip has it; the real-time factor is all seconds over all work"""


def means(rows: Sequence[DenoisingRow]) -> list[DenoisingMean]:
    """Averages over all clips: for each system, in order of appearance, one per input SNR, then the overall one."""
    return list(_means(rows, None, None))


def all_means(rows: Sequence[DenoisingRow]) -> list[DenoisingMean]:
    """`means` of all rows, then those of each domain, then those of each noise."""
    found = means(rows)
    for domain in sorted({row.domain for row in rows}):
        found += _means([row for row in rows if row.domain == domain], domain, None)
    for noise in sorted({row.noise for row in rows}):
        found += _means([row for row in rows if row.noise == noise], None, noise)
    return found


def _means(rows: Sequence[DenoisingRow], domain: str | None, noise: str | None) -> Iterator[DenoisingMean]:
    for (system, _), members in statistics.by_system(rows).items():
        for snr_db in [*sorted({row.input_snr_db for row in members}), None]:
            chosen = [row for row in members if snr_db in (row.input_snr_db, None)]
            # a clip counts once, at however many ratios it was mixed: these are not independent
            gain = statistics.estimate(chosen, "gain_db")
            values: dict[str, float | None] = {}
            for name in VALUES:
                known = [value for row in chosen if (value := getattr(row, name)) is not None]
                values[name] = float(np.mean(known)) if known else None
            timed = [(row.seconds, row.seconds / row.rtf) for row in chosen if row.rtf is not None]
            values["rtf"] = sum(s for s, _ in timed) / sum(wall_s for _, wall_s in timed) if timed else None
            yield DenoisingMean(system, snr_db, domain, noise, gain.n_clips, gain.low, gain.high, values)


def bounded_values(snrs_db: Sequence[float]) -> list[str]:
    """What bounds may name: the values, over all mixes, and at each input SNR ("gain_db@0")."""
    return [*VALUES, *(f"{name}@{snr_db:g}" for snr_db in snrs_db for name in VALUES)]


def check(rows: Sequence[DenoisingRow], requirements: Sequence[Requirement]) -> list[Failure]:
    """What each system's means miss of requirements on `bounded_values`; a mean that is nan misses everything.

    Raises ZooError if no row has a value that is required.
    """
    found = []
    for requirement in requirements:
        name, _, snr_db = requirement.metric.partition("@")
        chosen = [row for row in rows if not snr_db or f"{row.input_snr_db:g}" == snr_db]
        for mean in means(chosen):
            if mean.input_snr_db is not None:
                continue
            value = mean.values[name]
            if value is None:
                raise ZooError(f"--require: no clip has a value of {requirement.metric}")
            if not requirement.holds(value):
                found.append(Failure(mean.system, None, requirement, value))
    return found
