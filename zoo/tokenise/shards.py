"""Rows out of shards, clip by clip, and clips back to audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from zoo import coding
from zoo.audio.resampler import Resampler
from zoo.coding.engine import Engine
from zoo.coding.stream import FrameDecoder
from zoo.errors import ZooError
from zoo.library.store import File, Store
from zoo.tokenise import formats, manifest, plan
from zoo.tokenise.rows import Row, check_parts, to_tokens


def names_of(store: Store, file: File | None) -> list[str]:
    """The shards of a folder that tokenise has written, or the one that was named; raises ZooError if there are none.

    Of a folder that is not finished, those of the units that are.
    """
    if file is not None:
        name = file.key
        return [name.removesuffix(".npy") + ".jsonl" if name.endswith(".npy") else name]
    if found := manifest.read(store):
        shards = found["shards"]
    elif plan.NAME in store.children(""):
        units = sorted(plan.done(store))
        shards = [shard for record in manifest.records(store, units) for shard in record["shards"]]
    else:
        return _by_suffix([file.key for file in store.files()], store.name)
    return _by_suffix([name for shard in shards for name in shard["files"]], store.name)


def _by_suffix(names: list[str], place: str) -> list[str]:
    found = [name for name in names if name.endswith(tuple(formats.READERS)) and name != manifest.ERRORS]
    if not found:
        raise ZooError(f"{place}: holds no shards of tokens")
    return found


def clips(store: Store, names: list[str]) -> Iterator[list[Row]]:
    """The rows of each clip, in the order of shards; raises ZooError, naming the shard, for one that is none."""
    parts: list[Row] = []
    for name in names:
        for row in _rows(store, name):
            if parts and (row.part == 0 or row.key != parts[0].key):
                yield parts
                parts = []
            parts.append(row)
    if parts:
        yield parts


def _rows(store: Store, name: str) -> Iterator[Row]:
    with store.local(name, beside=formats.BESIDE.get(PurePosixPath(name).suffix, "")) as path:
        rows = formats.read(path)
        while True:
            try:
                row = next(rows, None)
            except ZooError as error:
                raise ZooError(f"{store.name}/{name}: {error}") from None
            if row is None:
                return
            yield row


def decode(engine: Engine, parts: list[Row]) -> Iterator[np.ndarray]:
    """Audio (m, channels) of a clip at its own rate, block by block: for codes that of its `.zac` file, bit for bit.

    Raises ZooError for rows that are none of this codec's.
    """
    if parts[0].level >= 0:
        tokens = to_tokens(parts)
        coding.expect(engine, tokens)
        yield from coding.decode_blocks(engine, tokens)
        return
    check_parts(parts)
    header, n_samples = parts[0].header(), sum(row.samples for row in parts)
    layout = engine.layout(header.channels, header.packet_frames, mid_side=header.mid_side, apart=True)
    frames = FrameDecoder(engine.chunks(header.packet_frames), layout.n_streams)
    resampler = Resampler(engine.module.sample_rate, header.sample_rate, header.channels)
    latents = np.concatenate([row.values for row in parts], axis=1)
    for start in range(0, latents.shape[1], header.packet_frames):
        packet = latents[:, start : start + header.packet_frames].astype(np.float32)
        yield resampler.push(layout.join(frames.push(packet)))
    held = -(-n_samples * engine.module.sample_rate // header.sample_rate)
    yield resampler.push(layout.join(frames.finish(held)))
    yield resampler.finish(n_samples)
