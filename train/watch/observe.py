"""How a run sounds while it trains: held-out clips through the averaged weights, at each checkpoint."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from configs.base import Config, Evaluation
from evaluate import metrics
from evaluate.clips import Clip, held_out_clips
from evaluate.denoise import mixing
from evaluate.report import spectrogram
from train import data
from train.data import CropSource, memory
from train.devices import parallel
from train.watch.log import MetricsLog
from zoo.codec import Codec
from zoo.console.terminal import printable
from zoo.nn.bottlenecks import SymbolFormat

MAX_HISTOGRAMS = 32
"""codebooks of which there is one each"""
PICTURE_SCALE = 2
NOISY_DB = 5.0
"""SNR of what a model that is to denoise gets"""
HELD_OUT = ("held_out/mel", "held_out/snr_db")
"""names of what `Observer` measures"""


@dataclass(frozen=True, eq=False)
class Example:
    """What a model gets, and what it is to give: both float32 (T, C), the same array where it is to give it back."""

    name: str
    given: np.ndarray
    wanted: np.ndarray


class HeldOut:
    """The clips that a run is measured on: of its data's held-out files, else of the embedded generator."""

    def __init__(self, config: Config, source: CropSource) -> None:
        self._config, self._source = config, source

    @functools.cached_property
    def clips(self) -> list[Clip]:
        """The held-out clips: at least one, and as many as are evaluated or shown; read when first asked for."""
        evaluation, source = self._config.evaluation, self._source
        n_clips = max(evaluation.clips, evaluation.samples)
        found = data.held_out_clips(source, n_clips=n_clips, clip_s=evaluation.clip_s)
        if found:
            return found
        seconds_bytes = source.sample_rate * source.channels * 4
        if evaluation.clip_s / Evaluation.clip_s >= n_clips / Evaluation.clips:  # the stranger of the two is named
            memory.check_total(evaluation.clip_s, n_clips * seconds_bytes, "evaluation.clip_s", f"{n_clips} clips")
        option = "evaluation.clips" if evaluation.clips >= evaluation.samples else "evaluation.samples"
        memory.check_total(n_clips, evaluation.clip_s * seconds_bytes, option, f"clips of {evaluation.clip_s:g} s")
        return held_out_clips(
            n_clips=n_clips,
            clip_s=evaluation.clip_s,
            sample_rate=source.sample_rate,
            channels=source.channels,
        )

    @functools.cached_property
    def examples(self) -> list[Example]:
        """What a model gets of each clip, and what it is to give; noise is at 5 dB and always the same."""
        if self._config.task != "denoise":
            return [Example(clip.name, clip.samples, clip.samples) for clip in self.clips]
        sources = mixing.sources()
        found = []
        for i, clip in enumerate(self.clips):
            _, noise = mixing.drawn(sources, i, len(clip.samples), clip.sample_rate, clip.samples.shape[1])
            wanted, given = mixing.mix(clip.samples, noise, NOISY_DB)
            found.append(Example(clip.name, given, wanted))
        return found

    def __str__(self) -> str:
        if not self._source.held_out:
            return "held-out clips of the embedded generator"
        return f"held-out files of {printable(str(self._config.data.root))}"


class Observer:
    """Reconstructs the first `config.evaluation.samples` of the held-out clips, of one process alone.

    TensorBoard gets the audio, spectrograms (original above reconstruction) and histograms of the codes; the log's row
    gets `held_out/mel` and `held_out/snr_db`, means over the clips (at least one), of the codec at its default level.
    """

    def __init__(self, config: Config, module: Codec, log: MetricsLog, held_out: HeldOut) -> None:
        self._config, self._module, self._log, self._held_out = config, module, log, held_out
        self._symbols: SymbolFormat = module.bottleneck.symbols()
        self._told = False
        rate = module.sample_rate

        def reconstruct(
            params: Any, given: jax.Array, wanted: jax.Array, lengths: jax.Array
        ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
            output: Any = module.apply({"params": params}, given)
            found = {
                "held_out/mel": metrics.mel_distance(wanted, output.audio, lengths, rate).mean(),
                "held_out/snr_db": metrics.snr_db(wanted, output.audio, lengths).mean(),
            }
            return output.audio, output.codes, found

        self._reconstruct = jax.jit(reconstruct)

    def at_checkpoint(self, step: int, params: Any) -> dict[str, float]:
        """What the row of this step gets; `params` are replicated arrays, of which this process's own copy is used."""
        examples = self._examples
        lengths = np.array([len(example.wanted) for example in examples], np.int32)
        longest = int(np.max(lengths))
        given, wanted = (
            np.stack([np.pad(x, ((0, longest - len(x)), (0, 0))) for x in samples])
            for samples in ([e.given for e in examples], [e.wanted for e in examples])
        )
        decoded, codes, found = jax.device_get(self._reconstruct(parallel.own_copy(params), given, wanted, lengths))
        if self._config.tensorboard:
            self._show(step, decoded, codes)
        return {name: float(value) for name, value in found.items()}

    @property
    def _examples(self) -> list[Example]:
        return self._held_out.examples[: max(1, self._config.evaluation.samples)]

    def _show(self, step: int, audio: np.ndarray, codes: np.ndarray) -> None:
        rate = self._module.sample_rate
        for example, decoded in zip(self._examples[: self._config.evaluation.samples], audio):
            decoded = np.nan_to_num(decoded[: len(example.wanted)])
            if not self._told:  # the same at each checkpoint
                self._log.audio(f"{example.name}/original", example.wanted, rate, step)
                if example.given is not example.wanted:
                    self._log.audio(f"{example.name}/noisy", example.given, rate, step)
            self._log.audio(f"{example.name}/reconstruction", decoded, rate, step)
            self._log.image(example.name, draw(example.wanted, decoded, rate), step)
        self._told = True
        for name, (counts, first) in histograms(codes, self._symbols).items():
            self._log.histogram(name, counts, step, first=first)


def draw(original: np.ndarray, reconstruction: np.ndarray, sample_rate: int) -> np.ndarray:
    """Spectrograms of (T, C) one above the other, uint8 (height, width, 3), in dB below the original's peak."""
    pictures = [spectrogram.bands_db(samples, sample_rate) for samples in (original, reconstruction)]
    colours = spectrogram.palette()
    top_db = float(pictures[0].max())
    rows = []
    for levels in pictures:
        shade = np.clip((levels[::-1] - top_db) / spectrogram.RANGE_DB + 1, 0, 1) * (len(colours) - 1)
        rows += [colours[np.rint(shade).astype(int)], np.full((1, levels.shape[1], 3), 255, np.uint8)]
    return np.concatenate(rows[:-1]).repeat(PICTURE_SCALE, axis=0).repeat(PICTURE_SCALE, axis=1)


def histograms(codes: np.ndarray, symbols: SymbolFormat) -> dict[str, tuple[np.ndarray, int]]:
    """How often each value was chosen in codes (B, F, Q), and the first value, by name.

    Of codes that are names, for each of the first codebooks; of those on a grid, of all together, zero at its middle.
    """
    sizes = np.repeat(symbols.codebook_sizes, symbols.subframes).astype(int)
    if not codes.shape[-1]:
        return {}
    columns = codes.reshape(-1, codes.shape[-1])
    if symbols.ordered:
        half = int(sizes.max()) // 2
        centred = columns - (sizes // 2)[None, : columns.shape[1]] + half
        return {"codes": (np.bincount(centred.reshape(-1), minlength=2 * half + 1), -half)}
    counted = {}
    for q in range(min(symbols.n_codebooks, MAX_HISTOGRAMS)):
        mine = columns[:, q * symbols.subframes : (q + 1) * symbols.subframes]
        counted[f"codes/{q}"] = (np.bincount(mine.reshape(-1), minlength=symbols.codebook_sizes[q]), 0)
    return counted
