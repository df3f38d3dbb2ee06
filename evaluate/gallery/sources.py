"""The recordings that a gallery works on: a few seconds each, from different domains where there are some."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluate.clips import Clip, FolderClips, clips_from_folder, held_out_clips
from evaluate.report import sound
from zoo import audio, synth
from zoo.console.terminal import printable
from zoo.errors import ZooError

SAMPLE_RATE = 48_000
"""Hz of all that is done and shown, as of the page's Opus files"""
N_SOURCES = 3
SPEECH = ("speech", "voice")
"""domains of folders, and of the embedded generator"""
CLIP_S = 5.0
SHORTEST_S = 2.0
LEAST_RMS = 1e-4
"""of some channel about its mean: less is silence, or a constant"""


@dataclass(frozen=True, eq=False)
class Source:
    """A stretch of a recording: float32 (T, C) at SAMPLE_RATE, of one or two channels.

    `name` is what a page calls it, `path` what a command line does.
    """

    name: str
    path: str
    domain: str
    samples: np.ndarray


def find(root: str | None) -> list[Source]:
    """Up to N_SOURCES recordings below a folder, its first-level sub-folders in turn, or of the embedded generator.

    Of longer ones this is the loudest stretch of CLIP_S in their first half minute. Files that cannot be read are named
    on standard error, those that are silent or shorter than SHORTEST_S left out. Raises ZooError for a folder without
    any that can be used.
    """
    if root is None:
        clips = held_out_clips(n_clips=min(N_SOURCES, len(synth.DOMAINS)), clip_s=CLIP_S, sample_rate=SAMPLE_RATE)
        return [_source(clip, f"{clip.name}.wav") for clip in clips]
    folder = clips_from_folder(root)
    found = []
    for i in _in_turn(folder):
        if source := _read(folder, i):
            found.append(source)
        if len(found) == N_SOURCES:
            break
    if not found:
        raise ZooError(f"{root}: no recording of {SHORTEST_S:g} s or more that can be read and is not silent")
    return found


def named(sources: Sequence[Source], *domains: str) -> Source:
    """The source of the first of these domains that there is, else the first source."""
    return next((source for domain in domains for source in sources if source.domain == domain), sources[0])


def _read(folder: FolderClips, i: int) -> Source | None:
    """File i, if it can be used."""
    path = folder.files[i]
    try:
        # of a long file not more than this is held
        clip = next(folder.pieces(i))
        audio.validate(clip.samples, name=str(path))
    except ZooError as error:
        print(f"skipped {error}", file=sys.stderr, flush=True)
        return None
    if len(clip.samples) < SHORTEST_S * clip.sample_rate or float(np.max(clip.samples.std(axis=0))) < LEAST_RMS:
        return None
    return _source(clip, printable(str(path)), printable(path.relative_to(folder.root).as_posix()))


def _source(clip: Clip, path: str, name: str | None = None) -> Source:
    samples = clip.samples[sound.excerpt(clip.samples, clip.sample_rate, CLIP_S)]
    fed = audio.mix_channels(samples, min(samples.shape[1], 2))
    return Source(name or path, path, clip.domain, audio.resample(fed, clip.sample_rate, SAMPLE_RATE))


def _in_turn(folder: FolderClips) -> Iterator[int]:
    """All files of a folder: one of each domain after the other, from the middle of each on."""
    domains: dict[str, list[int]] = {}
    for i, path in enumerate(folder.files):
        parts = path.relative_to(folder.root).parts
        domains.setdefault(parts[0] if len(parts) > 1 else "", []).append(i)
    turned = [files[len(files) // 2 :] + files[: len(files) // 2] for files in domains.values()]
    for k in range(max(map(len, turned))):
        yield from (files[k] for files in turned if k < len(files))
