"""The obvious way to tokenise a folder with torch: by length, in batches of files that are padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from evaluate.bench.torch_peers.peer import Peer


def lengths(files: Sequence[Path], sample_rate: int) -> list[int]:
    """Samples of each file at a rate in Hz, by its header."""
    infos = [soundfile.info(file) for file in files]
    return [-(-info.frames * sample_rate // info.samplerate) for info in infos]


def read(file: Path, sample_rate: int, channels: int) -> np.ndarray:
    """A whole file, float32 (T, channels) at a rate in Hz, mixed by the mean or copied."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    if samples.shape[1] != channels:
        samples = np.repeat(samples.mean(axis=1, keepdims=True), channels, axis=1)
    return samples if rate == sample_rate else soxr.resample(samples, rate, sample_rate, quality="HQ")


def batches_of(files: Sequence[Path], sample_rate: int, batch_size: int) -> list[list[Path]]:
    """Files of about the same length together, the longest first, so that memory shows at once."""
    order = [file for _, file in sorted(zip(lengths(files, sample_rate), files), reverse=True)]
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def code(peer: Peer, batch: Sequence[Path], *, sample_rate: int, channels: int, folder: Path) -> float:
    """Writes the codes of a batch, a .npy to each file; seconds of audio."""
    clips = [read(file, sample_rate, channels) for file in batch]
    padded = np.zeros((len(clips), max(map(len, clips)), channels), np.float32)
    for row, clip in zip(padded, clips):
        row[: len(clip)] = clip
    frames = peer.frames(peer.encode(peer.audio(padded)))
    for file, clip, codes in zip(batch, clips, frames):
        n_frames = -(-len(clip) * codes.shape[0] // peer.audio(padded[:1]).shape[2])
        np.save(folder / f"{file.parent.name}-{file.stem}.npy", codes[:n_frames].astype(np.int16))
    return sum(map(len, clips)) / sample_rate
