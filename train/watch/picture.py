"""What a run leaves behind for people: audio samples, and a picture of them and of the metrics log.

`report.png` holds the loss curves and the spectrograms of held-out clips.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from configs.base import LossWeights
from train.watch.log import Row
from zoo import audio
from zoo.console.terminal import printable
from zoo.nn import dsp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

DYNAMIC_RANGE_DB = 80.0
FLOOR_DB = -120.0
PANELS_PER_ROW = 4
MAX_PANELS = 16
LOSS_COLOURS = ("#1f5f8b", "#c1553b", "#4d8b3f", "#8a5aa8", "#b08a1e", "#3f8f96")
OTHER_COLOUR = "#7a6a53"
HELD_OUT = "held_out"
# the order in which losses are drawn; what else was logged follows in another colour
LOSS_NAMES = ("loss", *(field.name for field in dataclasses.fields(LossWeights)), "discriminator")
LOSSES = {name: place for place, name in enumerate(LOSS_NAMES)}
MAX_NAME_BYTES = 160
"""of a sample's name: a file's may have 255, and what is written has a longer one until it is complete"""
TITLE_PT = 9.5
TITLE_LETTERS = 22
"""of a panel's title at full size; a longer one is smaller"""
STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.titlesize": TITLE_PT,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#444444",
    "grid.color": "#e4e4e4",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.09,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "text.parse_math": False,  # names of files and folders may hold any $
}


@dataclass(frozen=True)
class SamplePair:
    """A held-out clip and what the codec made of it: both (T, C) float32 in [-1, 1], `sample_rate` in Hz."""

    name: str
    original: np.ndarray
    reconstruction: np.ndarray
    sample_rate: int
    noisy: np.ndarray | None = None
    """what it was made from, if that is not the original"""

    @property
    def sounds(self) -> dict[str, np.ndarray]:
        """All of them by their names, in the order in which they came to be."""
        sounds = {"original": self.original, "noisy": self.noisy, "reconstruction": self.reconstruction}
        return {name: samples for name, samples in sounds.items() if samples is not None}


def write_samples(workdir: str | os.PathLike[str], pairs: Sequence[SamplePair]) -> list[Path]:
    """Write `samples/NAME_original.wav`, `NAME_reconstruction.wav` and maybe `NAME_noisy.wav`; returns their paths.

    NAME is the pair's, with _ for what has no place in a file name; of a long one its end.
    """
    folder = Path(workdir) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    names: set[str] = set()
    for pair in pairs:
        name = re.sub(r"[^\w.-]+", "_", pair.name).encode()[-MAX_NAME_BYTES:].decode(errors="ignore")
        while name in names:
            name += "_"
        names.add(name)
        for kind, samples in pair.sounds.items():
            paths.append(folder / f"{name}_{kind}.wav")
            audio.write(paths[-1], np.asarray(samples, np.float32), pair.sample_rate)
    return paths


def draw_report(
    workdir: str | os.PathLike[str], pairs: Sequence[SamplePair], metrics: Sequence[Row], title: str
) -> Path:
    """Draw loss curves and spectrograms into `workdir/report.png`, the same pixels for the same data; returns its path.

    Spectrograms are in dB relative to a full-scale sine, of the channels' mean power; the two of a pair share a scale.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = panels_of(metrics)
    panel_rows = math.ceil(len(panels) / PANELS_PER_ROW)
    heights = [2.0 * panel_rows] * bool(panels) + [2.3] * len(pairs) or [1.0]
    # no pyplot: no global figures, no display; and whatever the user's matplotlibrc says, the report looks the same
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(13.0, 0.6 + sum(heights)), dpi=110, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(printable(title), fontsize=14, fontweight="bold", x=0.01, ha="left")
        blocks = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
        if panels:
            axes = blocks.pop(0).subplots(panel_rows, PANELS_PER_ROW, squeeze=False).flatten()
            for ax, (name, keys) in zip(axes, panels.items()):
                _draw_curves(ax, name, keys, metrics)
            for ax in axes[len(panels) :]:
                ax.set_axis_off()
        for block, pair in zip(blocks, pairs):
            _draw_pair(block, pair)
        path = Path(workdir) / "report.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.print_png(path, metadata={"Software": "codec-zoo"})
    return path


def series(metrics: Sequence[Row], key: str) -> np.ndarray:
    """The steps at which `key` was logged, and its values: (2, N)."""
    points = [(row["step"], row[key]) for row in metrics if isinstance(row.get(key), int | float)]
    return np.asarray(points, np.float64).reshape(-1, 2).T


def panels_of(metrics: Sequence[Row], *, limit: int = MAX_PANELS) -> dict[str, list[str]]:
    """Panel name → its keys: losses first, then what else is not constant.

    Keys of one family, "family/member", share a panel, but for those of held-out clips, which have units of their own.
    """
    panels: dict[str, list[str]] = {}
    keys = dict.fromkeys(key for row in metrics for key in row if key not in ("step", "seconds"))
    for key in sorted(keys, key=lambda key: (LOSSES.get(key.split("/")[0], len(LOSSES)), _by_number(key))):
        family = key.split("/")[0]
        name = key if family == HELD_OUT else family
        finite = np.unique([value for value in series(metrics, key)[1] if math.isfinite(value)])
        if len(finite) > 1 or (len(finite) and name in LOSSES):
            panels.setdefault(name, []).append(key)
    return dict(list(panels.items())[:limit])


def _by_number(key: str) -> list[tuple[int, str]]:
    """Sorts codebook 10 behind codebook 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)]


def _draw_curves(ax: Axes, name: str, keys: list[str], metrics: Sequence[Row]) -> None:
    pooled: list[float] = []
    for key, colour in zip(keys, _colours(name, len(keys))):
        steps, values = series(metrics, key)
        smooth = smoothed(values)
        ax.plot(steps, values, color=colour, alpha=0.3, linewidth=0.8)
        ax.plot(steps, smooth, color=colour, linewidth=1.6, label=key.removeprefix(f"{name}/"))
        pooled.extend(values[np.isfinite(values)])
        if len(keys) == 1:
            ax.set_title(f"{smooth[np.isfinite(smooth)][-1]:.3g}", loc="right", color=colour, fontweight="normal")
    if len(keys) > 1:
        ax.legend(loc="best", handlelength=1.2, ncols=2 if len(keys) > 4 else 1)
    set_axes(ax, name, pooled)


def _colours(name: str, n_curves: int) -> list[Any]:
    """One for each curve of a panel; of many of one kind, such as codebooks, in an order that the eye can follow."""
    if name in LOSSES:
        return [LOSS_COLOURS[i % len(LOSS_COLOURS)] for i in range(n_curves)]
    if n_curves == 1:
        return [OTHER_COLOUR]
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0.0, 0.9, n_curves)))


def set_axes(ax: Axes, name: str, values: Sequence[float]) -> None:
    """Title, grid and ticks of a panel that shows finite `values`; losses are logarithmic."""
    from matplotlib import ticker

    # the last value stands at the right of the same line
    ax.set_title(name.replace("_", " "), loc="left", fontsize=min(TITLE_PT, TITLE_PT * TITLE_LETTERS / len(name)))
    ax.grid(True)
    ax.margins(x=0.01)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x / 1000:g}k" if abs(x) >= 1000 else f"{x:g}"))
    linear = ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    ax.yaxis.set_major_locator(linear)
    low, high = min(values), max(values)
    if name in LOSSES and low > 0:
        ax.set_yscale("log")
        # a loss rarely spans a decade: ticks at powers of ten alone would leave most panels without a number
        subs = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
        ax.yaxis.set_major_locator(linear if high < 5 * low else ticker.LogLocator(subs=subs))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:.4g}"))


def smoothed(values: np.ndarray) -> np.ndarray:
    """Centred running mean over a twentieth of the curve, shorter at its ends; non-finite values do not count."""
    half = len(values) // 40
    finite = np.isfinite(values)
    window = np.ones(2 * half + 1)
    total = np.convolve(np.where(finite, values, 0.0), window)[half : half + len(values)]
    count = np.convolve(finite.astype(float), window)[half : half + len(values)]
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _spectrogram_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Computes (bins, frames) in dB of (T, C), 0 dB for a full-scale sine: Hann windows of 40 ms, a quarter apart."""
    n_fft = 2 ** max(6, round(math.log2(0.04 * sample_rate)))
    clean = np.nan_to_num(np.asarray(samples, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    spectrum = np.asarray(dsp.stft(jnp.asarray(clean.T), n_fft, n_fft // 4))
    power = np.mean(np.abs(spectrum) ** 2, axis=0).T * (4.0 / n_fft) ** 2
    return 10.0 * np.log10(np.maximum(power, 10.0 ** (FLOOR_DB / 10.0)))


def _draw_pair(block: SubFigure, pair: SamplePair) -> None:
    clips = list(pair.sounds.values())
    spectrograms_db = [_spectrogram_db(samples, pair.sample_rate) for samples in clips]
    # the original's peak sets the scale, so that a reconstruction that is too loud shows as such
    top_db = max(5.0 * math.ceil(spectrograms_db[0].max() / 5.0), FLOOR_DB + DYNAMIC_RANGE_DB)
    axes = block.subplots(1, len(clips), sharex=True, sharey=True)
    for ax, samples, spectrogram_db in zip(axes, clips, spectrograms_db):
        mesh = ax.imshow(
            spectrogram_db,
            origin="lower",
            aspect="auto",
            extent=(0.0, len(samples) / pair.sample_rate, 0.0, pair.sample_rate / 2000.0),
            cmap="magma",
            vmin=top_db - DYNAMIC_RANGE_DB,
            vmax=top_db,
        )
        ax.set_xlabel("time (s)")
    axes[0].set_title(f"{pair.name} · original", loc="left")
    for ax, title in zip(axes[1:], list(pair.sounds)[1:]):
        ax.set_title(title, loc="left")
    axes[0].set_ylabel("frequency (kHz)")
    bar = block.colorbar(mesh, ax=list(axes), pad=0.01, aspect=18)
    bar.set_label("dB")
    bar.outline.set_visible(False)
