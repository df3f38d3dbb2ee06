"""The live line of a training run: a bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

WINDOW_STEPS = 50
PLAIN_INTERVAL_S = 10.0
LIVE_INTERVAL_S = 0.2
SKIPPED = "skipped_steps"


@dataclass(frozen=True)
class _Timing:
    audio_s: float
    wait_s: float
    step_s: float


class Progress:
    """Shows step, ETA, every loss, audio trained per wall second, share of waiting for data, and skipped steps.

    Rates and losses are means over the last 50 steps; the first step of a phase, which compiles, is no part of them.
    Writes to `stream` (default stderr): a live display on a terminal, else a line every ten seconds of `clock` (s).
    """

    def __init__(
        self,
        total_steps: int,
        *,
        start_step: int = 0,
        clock: Callable[[], float] = time.monotonic,
        stream: TextIO | None = None,
    ) -> None:
        self._total_steps = total_steps
        self._step = start_step
        self._clock = clock
        self._stream = stream if stream is not None else sys.stderr
        self._timings: deque[_Timing] = deque(maxlen=WINDOW_STEPS)
        self._losses: dict[str, deque[tuple[int, float]]] = {}
        self._skipped = 0
        self._compiling = True
        self._live: Any = None
        self._shown_s = -math.inf
        self._shown_step = start_step

    def __enter__(self) -> Progress:
        if self._stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            # imported here: the command line's --help must not wait for rich
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream, highlight=False)
            # refreshed by `update` alone: a refresh thread would read the windows while they change
            self._live = Live(self._render(), console=console, auto_refresh=False)
            self._live.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            self._live.update(self._render(), refresh=True)
            self._live.__exit__(None, None, None)
            self._live = None
        elif self._step != self._shown_step:
            self._print_line()

    def mark_compile(self) -> None:
        """Say that the next step compiles: timings so far are forgotten, and the next one does not count."""
        self._timings.clear()
        self._compiling = True
        if self._live is not None:
            self._live.update(self._render(), refresh=True)

    def message(self, text: str) -> None:
        """Print a line above the live display."""
        if self._live is not None:
            self._live.console.print(text, markup=False)
        else:
            print(text, file=self._stream, flush=True)

    def update(self, step: int, metrics: Mapping[str, float], *, audio_s: float, wait_s: float, step_s: float) -> None:
        """Report that `step` steps are done, the last of which took `step_s` wall seconds, `wait_s` of them for data.

        `audio_s` is the audio trained in it, over all devices, in seconds. `metrics` may be empty, or lack some losses;
        its key "skipped_steps" is the number of steps skipped so far, all others are shown as losses.
        """
        self._step = step
        for name, value in metrics.items():
            if name == SKIPPED:
                self._skipped = int(value)
            else:
                self._losses.setdefault(name, deque(maxlen=WINDOW_STEPS)).append((step, float(value)))
        if self._compiling:
            self._compiling = False
        else:
            self._timings.append(_Timing(audio_s, wait_s, step_s))
        now = self._clock()
        if now - self._shown_s < (LIVE_INTERVAL_S if self._live is not None else PLAIN_INTERVAL_S):
            return
        if self._live is not None:
            self._live.update(self._render(), refresh=True)
            self._shown_s = now
        else:
            self._print_line()

    @property
    def audio_per_second(self) -> float:
        """Seconds of audio trained per wall second; NaN before the first step that counts."""
        return self._share(sum(timing.audio_s for timing in self._timings))

    @property
    def wait_share(self) -> float:
        """Share of the wall time spent waiting for data, in [0, 1]; NaN before the first step that counts."""
        return self._share(sum(timing.wait_s for timing in self._timings))

    @property
    def eta_s(self) -> float:
        """Wall seconds to the last step at the present pace; NaN before the first step that counts."""
        mean_step_s = 1.0 / self._share(len(self._timings)) if self._timings else math.nan
        return max(self._total_steps - self._step, 0) * mean_step_s

    def _share(self, amount: float) -> float:
        wall_s = sum(timing.step_s for timing in self._timings)
        return amount / wall_s if wall_s > 0 else math.nan

    def losses(self) -> dict[str, float]:
        """Each loss's mean over the last 50 steps; non-finite values show only when nothing else is there."""
        means = {}
        for name, window in self._losses.items():
            recent = [value for step, value in window if step > self._step - WINDOW_STEPS] or [window[-1][1]]
            finite = [value for value in recent if math.isfinite(value)]
            means[name] = sum(finite) / len(finite) if finite else recent[-1]
        return means

    def _rates(self) -> list[str]:
        if not self._timings:
            rates = ["compiling" if self._step < self._total_steps else "done"]
        else:
            eta = f"ETA {duration(self.eta_s)}"
            speed = f"{short(self.audio_per_second)} s audio/s"
            rates = [eta, speed, f"waiting {100 * self.wait_share:.1f}%"]
        return [*rates, f"skipped {self._skipped}"] if self._skipped else rates

    def _print_line(self) -> None:
        losses = [f"{name} {short(value)}" for name, value in self.losses().items()]
        parts = [f"step {self._step}/{self._total_steps}", *self._rates(), *losses]
        print(" · ".join(parts), file=self._stream, flush=True)
        self._shown_s = self._clock()
        self._shown_step = self._step

    def _render(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1, min_width=4)  # the bar takes the room that is left
        row.add_column(no_wrap=True)
        bar = ProgressBar(total=max(self._total_steps, 1), completed=self._step)
        rates = Text(" · ").join(Text(rate, style="red" if "skipped" in rate else "") for rate in self._rates())
        row.add_row(Text(f"step {self._step}/{self._total_steps}", style="bold"), bar, rates)
        losses = Text("  ").join(
            Text.assemble((f"{name}=", "dim"), short(value)) for name, value in self.losses().items()
        )
        return Group(row, losses) if losses else Group(row)


def short(value: float) -> str:
    """Three significant digits in few characters: 0.0123, 4.5, 678, 1.2e+06."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if 1e-3 <= abs(value) < 99.95:
        return f"{value:.3g}"
    return f"{value:.0f}" if 1 <= abs(value) < 1e5 else f"{value:.1e}"


def duration(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss; "?" for what is not finite."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
