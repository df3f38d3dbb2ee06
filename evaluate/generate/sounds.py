"""Sets of sounds, generated, real and plain, and how far each is from real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluate.generate import distances, plain
from evaluate.generate.features import Features, Projection
from evaluate.generate.pieces import Library, Place, cut
from zoo import generating
from zoo.generating import ReadyPrior, Sampling, latents

REAL, FLOW = "the other half of the real sounds", "flow"
COPY_S = 0.1
"""by which a copy is late that shows what copying would look like"""
N_COPIES = 64

__all__ = ["FLOW", "REAL", "Drawn", "Library", "SoundRow", "cut", "draw", "measure"]


@dataclass(frozen=True)
class SoundRow:
    """A set of sounds and its distances from one half of the real ones; both went through the prior's codec."""

    system: str
    n: int
    frechet: float
    """of all n, with its bias"""
    frechet_unbiased: float
    """extrapolated to infinitely many"""
    kernel: float
    """unbiased, times 1000"""
    share_frechet: float | None
    """of the way from the better plain prior to the real half, by `frechet_unbiased`"""
    share_kernel: float | None
    frechet_recorded: float
    """`frechet_unbiased` from the real half as it was recorded, which never was in the codec"""
    nearest: float
    """median distance to the nearest training sound"""
    diversity: float
    """mean distance between two sounds of the set"""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Real sounds: two halves that share no recording, training sounds, and copies of some of those, a little late."""

    first: list[np.ndarray]
    second: list[np.ndarray]
    labels: list[str]
    """of the second half"""
    training: list[np.ndarray]
    copies: list[np.ndarray]
    n_samples: int
    sample_rate: int
    seed: int

    @property
    def work(self) -> int:
        """Sounds of which vectors are computed."""
        n = len(self.first)
        return 2 * n + n + len(self.training) + len(self.copies) + 4 * n


def draw(root: str, seconds: float, n: int, nearest: int, prior: ReadyPrior, seed: int) -> Drawn:
    """Cuts all that is needed out of the recordings of a folder; raises ZooError where it is too small."""
    n_samples, rate, channels = round(seconds * prior.sample_rate), prior.sample_rate, prior.codec.channels
    library = Library.read(root, seconds + COPY_S)
    weights = library.proportions()
    first, second = library.halves()
    places = second.draw(n, seed + 1, weights)
    training = first.draw(nearest, seed + 2, weights)
    late = [
        replace(place, start=place.start + round(COPY_S * place.info.sample_rate))
        for place in training[:: max(1, nearest // N_COPIES)][:N_COPIES]
        if place.start + round((COPY_S + seconds) * place.info.sample_rate) <= (place.info.n_samples or 0)
    ]

    def taken(chosen: Sequence[Place]) -> list[np.ndarray]:
        return cut(chosen, n_samples, rate, channels)

    return Drawn(
        taken(first.draw(n, seed, weights)),
        taken(places),
        [place.label for place in places],
        taken(training),
        taken(late or training[:1]),
        n_samples,
        rate,
        seed,
    )


def measure(
    prior: ReadyPrior,
    drawn: Drawn,
    features: Features,
    sampling: Sampling,
    *,
    labelled: bool = True,
    advance: Callable[[int], None] = lambda _: None,
) -> list[SoundRow]:
    """A row for each set of sounds: the flow's, the real ones', a copy's, and those of what is plain."""
    n, rate = len(drawn.first), drawn.sample_rate

    def vectors(sounds: Sequence[np.ndarray]) -> np.ndarray:
        found = []
        for sound in sounds:
            found.append(features([sound], rate)[0])
            advance(1)
        return np.stack(found)

    def coded(sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [latents.decode(prior.codec, latents.encode(prior.codec, x), len(x)) for x in sounds]

    recorded = vectors(drawn.first)
    reference = vectors(coded(drawn.first))
    projection = Projection.of(reference)
    recorded, reference = projection(recorded), projection(reference)
    training = projection(vectors(coded(drawn.training)))
    plain_rows = (plain.NORMAL, plain.STANDARD)
    made = {
        REAL: lambda: coded(drawn.second),
        FLOW: lambda: _generated(prior, drawn, sampling, labelled),
        plain.NORMAL: lambda: plain.normal_latents(prior, n, drawn.n_samples, drawn.seed, standard=False),
        plain.STANDARD: lambda: plain.normal_latents(prior, n, drawn.n_samples, drawn.seed, standard=True),
        plain.NOISE: lambda: plain.coloured_noise(drawn.first, n, drawn.seed),
    }
    rows = []
    for name, make in made.items():
        found = projection(vectors(make()))
        distance = distances.frechet_extrapolated(reference, found, drawn.seed)
        rows.append(
            SoundRow(
                name,
                len(found),
                distance.at_n,
                distance.unbiased,
                1000 * distances.kernel_distance(reference, found),
                None,
                None,
                distances.frechet_extrapolated(recorded, found, drawn.seed).unbiased,
                float(np.median(distances.nearest(found, training))),
                distances.diversity(found),
            )
        )
    copies = projection(vectors(coded(drawn.copies)))
    nan = float("nan")
    late = float(np.median(distances.nearest(copies, training)))
    copied = SoundRow(f"copies, {COPY_S:g} s late", len(copies), nan, nan, nan, None, None, nan, late, nan)
    real = next(row for row in rows if row.system == REAL)
    found_plain = [row for row in rows if row.system in plain_rows]
    frechet, kernel = (min(getattr(row, name) for row in found_plain) for name in ("frechet_unbiased", "kernel"))
    return [
        *(
            replace(
                row,
                share_frechet=distances.share(frechet, row.frechet_unbiased, real.frechet_unbiased),
                share_kernel=distances.share(kernel, row.kernel, real.kernel),
            )
            for row in rows
        ),
        copied,
    ]


def _generated(prior: ReadyPrior, drawn: Drawn, sampling: Sampling, labelled: bool) -> list[np.ndarray]:
    """As many sounds as there are real ones, each with the label of one, where the prior knows it."""
    seconds = drawn.n_samples / drawn.sample_rate
    found = []
    for i, label in enumerate(drawn.labels):
        known = label if labelled and label in prior.labels else None
        how = replace(sampling, label=known)
        found.append(generating.generate(prior, seconds=seconds, first=i, sampling=how)[0])
    return found
