"""What a comparison with torch found, as a record and as tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

SIDES = ("torch", "whole", "chunks")
"""torch, and ours: clips as a whole in one compiled program, and in chunks as files and streams are coded"""
MAX_ERROR = 1e-4
"""of the reference's peak"""
MIN_CODES_EQUAL = 0.999
"""Of random weights some vector may lie between two codes, nearer to both than floats can tell."""


@dataclass(frozen=True)
class Timing:
    """Seconds that repeated calls took."""

    median_s: float
    best_s: float

    def over(self, other: Timing) -> Timing:
        """These seconds over another's, median over median and best over best."""
        return Timing(self.median_s / other.median_s, self.best_s / other.best_s)


@dataclass(frozen=True)
class Agreement:
    """How far ours is from the reference."""

    codes_equal: float | None
    """share of the codes; None where there are none"""
    latent_error: float | None
    """largest difference, of the largest latent, where these take the place of codes"""
    audio_error: float
    """largest difference in what the reference's codes decode to, of the reference's peak"""

    @property
    def is_close(self) -> bool:
        errors = [self.audio_error] + ([] if self.latent_error is None else [self.latent_error])
        enough = self.codes_equal is None or self.codes_equal >= MIN_CODES_EQUAL
        return enough and all(error <= MAX_ERROR for error in errors)


@dataclass(frozen=True)
class Compared:
    """A model, and the batch that it is given."""

    model: str
    parameters: int
    seconds: float
    """of audio in each clip"""
    batch_size: int


@dataclass(frozen=True)
class Comparison(Compared):
    """One model at one batch size; times and memory by side."""

    agreement: Agreement
    encode: Mapping[str, Timing]
    """empty for a model that only decodes"""
    decode: Mapping[str, Timing]
    bound_s: Mapping[str, float]
    """by way: seconds of a pass over the clips as a whole at this machine's rate for products of matrices"""
    memory_mb: Mapping[str, float]
    """at its peak, of a process that loads, encodes and decodes once, beyond the libraries themselves"""
    load_s: float
    """of `zoo.load` from a folder in the hub's layout, in a new process"""

    def times_faster(self, way: str, side: str) -> Timing | None:
        """torch's seconds over those of a side of ours, median over median and best over best; None for no times."""
        times: Mapping[str, Timing] = getattr(self, way)
        if not times:
            return None
        return times["torch"].over(times[side])

    def record(self) -> dict[str, Any]:
        """The row for JSON, with the ratios."""
        ratios = {
            f"{way}_{side}": dataclasses.asdict(found)
            for way in ("encode", "decode")
            for side in SIDES[1:]
            if (found := self.times_faster(way, side))
        }
        return dataclasses.asdict(self) | {"times_faster": ratios}


def render(comparisons: Sequence[Comparison], title: str) -> list[Table]:
    """Two rich tables: how fast, and at what cost."""
    ours = ("whole\n×", "chunks\n×", "bound\n×")
    speed = _table(title, "encode\ntorch s", *ours, "decode\ntorch s", *ours)
    cost = _table(
        None, "parameters\nM", "codes\nequal %", "latent\nerror", "audio\nerror",
        "memory\ntorch MB", "whole\nMB", "chunks\nMB", "load\ns",
    )  # fmt: skip
    for found in comparisons:
        name = found.model.split("/")[-1], f"{found.batch_size} × {found.seconds:g} s"
        speed.add_row(*name, *_speed_cells(found, "encode"), *_speed_cells(found, "decode"))
        cost.add_row(
            *name,
            f"{found.parameters / 1e6:.1f}",
            *_agreement_cells(found.agreement),
            *(f"{found.memory_mb[side]:.0f}" for side in SIDES),
            f"{found.load_s:.1f}",
        )
    return [speed, cost]


def _table(title: str | None, *headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("model", vertical="bottom", overflow="fold")
    for heading in ("clips", *headings):
        table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
    return table


LEGEND = (
    "whole, chunks: ours, clips in one compiled program each way, or a second at a time as files are coded.\n"
    "s: median (best). ×: how many times faster than torch. bound: what whole clips would be with all operations at\n"
    "this machine's rate for products of large matrices. error: the largest, of the peak.\n"
    "memory: beyond the libraries, of a process that loads, encodes and decodes once. load: zoo.load in a new process."
)


def _agreement_cells(agreement: Agreement) -> list[str]:
    # rounded down: 100 % means all of them
    codes = "–" if agreement.codes_equal is None else f"{math.floor(1e5 * agreement.codes_equal) / 1e3:g}"
    errors = (agreement.latent_error, agreement.audio_error)
    return [codes, *("–" if error is None else f"{error:.0e}" for error in errors)]


def _speed_cells(found: Comparison, way: str) -> list[str]:
    times: Mapping[str, Timing] = getattr(found, way)
    if not times:
        return 4 * ["–"]
    cells = [f"{times['torch'].median_s:.2f} ({times['torch'].best_s:.2f})"]
    for side in SIDES[1:]:
        faster = found.times_faster(way, side)
        assert faster is not None
        cells.append(f"{faster.median_s:.1f} ({faster.best_s:.1f})")
    bound = found.bound_s.get(way)
    return [*cells, f"{times['torch'].median_s / bound:.1f}" if bound else "–"]
