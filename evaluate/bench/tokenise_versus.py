"""Tokenising a folder beside the obvious torch pipeline: the same weights, the same machine, in turn."""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.bench import hardware, tokenise_work
from evaluate.bench.models import published_only
from evaluate.bench.versus import check_torch
from zoo.errors import ZooError

if TYPE_CHECKING:
    from evaluate.bench.torch_peers import Peer
    from zoo.ready import ReadyCodec

CHECKED_CLIPS = 16
"""whose codes are compared"""
WARM_UP_BATCHES = 1


@dataclass(frozen=True)
class Versus:
    """Hours of audio an hour of both, and how many of the codes are the same."""

    model: str
    files: int
    batch_size: int
    """of the torch pipeline"""
    workers: int
    torch: tuple[float, ...]
    """times real time, of each turn"""
    ours: tuple[float, ...]
    codes_equal: float
    """share of the codes of clips that torch codes one at a time"""
    padded_equal: float
    """the same of torch alone: of its batches of padded clips against clips one at a time"""

    @property
    def times_faster(self) -> float:
        """Median of the turns, ours over torch's."""
        return statistics.median(ours / torch for ours, torch in zip(self.ours, self.torch))

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"times_faster": self.times_faster}


def compare(root: str, name: str, *, workers: int, batch_size: int, repeat: int, limit: int | None) -> Versus:
    """Tokenises a folder both ways, in turn; raises ZooError for a model without torch peer, or a folder too small."""
    check_torch()
    import zoo
    from evaluate.bench import torch_peers
    from evaluate.bench.torch_peers import pipeline
    from zoo import audio

    model = published_only(name)
    torch_peers.use_threads(hardware.cores())
    files = audio.find_files(root)
    if limit is not None:
        files = files[:: max(1, len(files) // limit)][:limit]
    batches = pipeline.batches_of(files, model.sample_rate, batch_size)
    if len(batches) <= WARM_UP_BATCHES:
        raise ZooError(f"{root}: {len(files)} files are too few to measure with, at {batch_size} in a batch")
    with tempfile.TemporaryDirectory(prefix="codec-zoo-") as place:
        weights = Path(place, "model")
        peer = torch_peers.build(model.family, model.config)
        peer.save(weights)
        codec = zoo.load(weights)
        chosen = Path(place, "files")
        for file in files:  # links, since both take what is in a folder
            link = chosen / file.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
        torch_speeds, our_speeds = [], []
        for turn in range(repeat):
            out = Path(place, f"torch-{turn}")
            out.mkdir()
            torch_speeds.append(_torch_speed(peer, batches, model.sample_rate, model.channels, out))
            with tempfile.TemporaryDirectory(prefix="codec-zoo-") as folder:
                our_speeds.append(_our_speed(str(chosen), folder, codec, weights, workers))
        equal, padded = _agreement(peer, codec, files, batch_size)
    return Versus(
        model=model.name,
        files=len(files),
        batch_size=batch_size,
        workers=workers,
        torch=tuple(torch_speeds),
        ours=tuple(our_speeds),
        codes_equal=equal,
        padded_equal=padded,
    )


def _torch_speed(peer: Peer, batches: Sequence[list[Path]], rate: int, channels: int, out: Path) -> float:
    from evaluate.bench.torch_peers import pipeline

    call = functools.partial(pipeline.code, peer, sample_rate=rate, channels=channels, folder=out)
    for batch in batches[:WARM_UP_BATCHES]:
        call(batch)
    start = time.perf_counter()
    seconds = sum(call(batch) for batch in batches[WARM_UP_BATCHES:])
    return seconds / (time.perf_counter() - start)


def _our_speed(source: str, out: str, codec: ReadyCodec, weights: Path, workers: int) -> float:
    import zoo

    load = functools.partial(zoo.load, str(weights))
    work, units = tokenise_work.planned(
        source, out, codec, load, level=codec.n_levels - 1, channels="mix", workers=workers
    )
    return tokenise_work.speed(work, units, workers)


def _agreement(peer: Peer, codec: ReadyCodec, files: Sequence[Path], batch_size: int) -> tuple[float, float]:
    """Shares of equal codes: ours and torch's of single clips, and torch's of clips in a batch and of single ones."""
    import numpy as np

    from zoo import audio

    rate, channels = codec.sample_rate, codec.channels
    some = files[:: max(1, len(files) // CHECKED_CLIPS)][:CHECKED_CLIPS]
    clips = [audio.read(file, sample_rate=rate, channels=channels).samples for file in some]
    same = same_padded = total = 0
    for start in range(0, len(clips), batch_size):
        batch = clips[start : start + batch_size]
        padded = np.zeros((len(batch), max(map(len, batch)), channels), np.float32)
        for row, clip in zip(padded, batch):
            row[: len(clip)] = clip
        together = peer.frames(peer.encode(peer.audio(padded)))
        for clip, in_batch in zip(batch, together):
            alone = peer.frames(peer.encode(peer.audio(clip[None])))[0]
            ours = codec.encode(clip, rate, level=codec.n_levels - 1).codes[0]
            n = min(len(alone), len(ours), len(in_batch))
            same += int(np.count_nonzero(ours[:n] == alone[:n]))
            same_padded += int(np.count_nonzero(in_batch[:n] == alone[:n]))
            total += alone[:n].size
    return same / total, same_padded / total
