"""From a source to batches, by grain: threads read ahead, and one number says where a run stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from configs.base import Data
from train.data import memory, shards
from train.data.files import FileCrops, report_note, report_skipped
from train.data.shards import ShardCrops
from train.data.source import CropOptions, CropSource
from train.data.synthetic import SyntheticCrops
from zoo.errors import ZooError
from zoo.library import copies
from zoo.library.store import File


def make_source(
    data: Data,
    *,
    sample_rate: int,
    channels: int,
    hop_length: int,
    seed: int,
    on_skip: Callable[[Path, str], None] = report_skipped,
    on_note: Callable[[str], None] = report_note,
) -> CropSource:
    """The source that `data` describes, its crops as long as `segment_s`, rounded up to whole frames of `hop_length`.

    A `data.root` that holds a prepared index is read from its shards; one in a store is copied first. Raises ZooError
    on a missing or empty `data.root`, shards that do not fit the model, crops that this host cannot hold, and values
    that make no sense.
    """
    memory.check_batches(data, batch_size=1, sample_rate=sample_rate, channels=channels)
    segment_samples = -(-max(round(data.segment_s * sample_rate), 1) // hop_length) * hop_length
    crop: CropOptions = {
        "segment_samples": segment_samples,
        "sample_rate": sample_rate,
        "channels": channels,
        "seed": seed,
        "gain_db": data.gain_db,
        "silence_db": data.silence_db,
    }
    if data.root is None:
        return SyntheticCrops(**crop)
    root = copies.folder(data.root, choose=_shards_or_audio, say=on_note)
    if (index := shards.read_index(root)) is not None:
        return ShardCrops(index, balance=data.balance, held_out=data.held_out, held_out_by=data.held_out_by, **crop)
    return FileCrops(
        root,
        balance=data.balance,
        held_out=data.held_out,
        held_out_by=data.held_out_by,
        downmix=data.downmix,
        stream=data.stream,
        on_skip=on_skip,
        on_note=on_note,
        **crop,
    )


def _shards_or_audio(files: Sequence[File]) -> list[File]:
    """What of a store is copied: a prepared folder, or else audio."""
    prepared = [file for file in files if file.key == "index.json" or shards.is_shard_name(file.key)]
    return (
        prepared if len(prepared) > 1 and any(file.key == "index.json" for file in prepared) else copies.audio_of(files)
    )


class _Share:
    """The batches of one process: its contiguous share of each global batch."""

    def __init__(self, source: CropSource, start: int, batch_size: int, local: int, offset: int):
        self._source, self._start, self._batch_size = source, start, batch_size
        self._local, self._offset = local, offset

    def __len__(self) -> int:
        return (len(self._source) - self._start) // self._batch_size

    def __getitem__(self, m: int) -> dict[str, np.ndarray]:
        first = self._start + int(m) * self._batch_size + self._offset
        return self._source.batch(range(first, first + self._local))


def batches(
    source: CropSource,
    *,
    batch_size: int,
    start_example: int = 0,
    data: Data,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches {"audio": float32 (B, T, C), "index": uint32 (B,)} of consecutive examples from `start_example` on.

    Global batch i holds the examples start_example + i · batch_size and following; process p of P yields its p-th
    contiguous share of B = batch_size / P. The position of a run is the next example's number: an iterator started
    there continues an uninterrupted one exactly. `data.threads` threads stay `data.prefetch` batches ahead. Raises
    ZooError if the batch does not divide among the processes.
    """
    import grain

    if batch_size < 1 or process_count < 1 or batch_size % process_count:
        raise ZooError(f"batch_size {batch_size} does not divide among {process_count} processes")
    if not 0 <= process_index < process_count or start_example < 0:
        raise ZooError(f"no batches for process {process_index} of {process_count} from example {start_example} on")
    local = batch_size // process_count
    share = _Share(source, start_example, batch_size, local, process_index * local)
    # an element is a whole batch: what grain does to each costs more than reading a crop from a shard
    options = grain.ReadOptions(num_threads=data.threads, prefetch_buffer_size=max(data.prefetch, 1))
    return iter(grain.MapDataset.source(share).to_iter_dataset(options))
