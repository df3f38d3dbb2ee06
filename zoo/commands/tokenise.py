"""`python -m zoo tokenise` and `detokenise`: libraries of audio to shards of tokens, and back."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path, PurePosixPath

from zoo import loading
from zoo.audio import check_format, open_writer
from zoo.audio.places import is_uri
from zoo.coding import Precision
from zoo.commands.sources import find_codec
from zoo.commands.tokenise_options import Detokenise, Tokenise
from zoo.console import extras
from zoo.console.command import SOME_FAILED, progress
from zoo.console.terminal import report
from zoo.errors import ZooError
from zoo.library.clips import is_input
from zoo.library.store import File, Store, open_input, open_store
from zoo.ready import ReadyCodec
from zoo.tokenise import cluster, formats, local, manifest, plan, shards
from zoo.tokenise.plan import Plan, Unit
from zoo.tokenise.rows import Row, Settings
from zoo.tokenise.work import Work
from zoo.wording import counted, speed

ROWS_IN_A_SHARD = 4
"""at least: a row is no larger than this part of a shard"""
MOST = 1e9
"""workers, and megabytes: nobody means more"""


def tokenise(options: Tokenise) -> None:
    """Codes all clips of an input; raises ZooError for one that cannot be used, exits with 1 if some clips cannot.

    What an earlier run has finished is kept.
    """
    part, n_parts = _part(options.part)
    for name, value in (("workers", options.workers), ("shard_mb", options.shard_mb), ("unit_mb", options.unit_mb)):
        if value is not None and not value > 0:  # NaN included
            raise ZooError(f"--{name} {value:g} is not positive")
        if value is not None and value > MOST:
            raise ZooError(f"--{name} {value:g} is more than {MOST:g}")
    formats.require(options.format)
    if options.engine == "ray":
        extras.require("ray")
    store, single = open_input(options.input)
    out = open_store(options.output)
    files = [single] if single else _listed(store, options)
    codec = _as_asked(find_codec(options.ckpt), options.precision, options.batch_size)
    unit_bytes, ends = plan.units_of(files, None if options.unit_mb is None else round(options.unit_mb * 1e6))
    made = _plan(options, codec, files, unit_bytes, len(ends))
    plan.claim(out, made)
    done = plan.done(out)
    mine = [i for i in range(len(ends)) if i % n_parts == part]
    units = [Unit(i, tuple(files[slice(*ends[i])])) for i in mine if i not in done]
    if kept := len(mine) - len(units):
        report(f"{kept} of {len(mine)} units are done already")
    work = Work(
        input=options.input,
        output=options.output,
        load=functools.partial(
            _load,
            _everywhere(options.ckpt or str(codec.metadata["path"])),
            precision=options.precision,
            batch_size=options.batch_size,
        ),
        codec=made.codec,
        settings=made.settings,
        format=options.format,
        shard_bytes=made.shard_bytes,
    )
    begin = time.perf_counter()
    with progress(len(units), "tokenising") as advance:
        if options.engine == "ray":
            cluster.run(work, units, options.workers, lambda _: advance(1))
        else:
            local.run(work, codec, units, options.workers or local.default_workers(), lambda _: advance(1))
    _conclude(out, made, codec, [unit.index for unit in units], mine, time.perf_counter() - begin)


def _load(ckpt: str, precision: Precision, batch_size: int | None) -> ReadyCodec:
    return _as_asked(loading.load(ckpt), precision, batch_size)


def _as_asked(codec: ReadyCodec, precision: Precision, batch_size: int | None) -> ReadyCodec:
    codec = codec.with_precision(precision)
    return codec if batch_size is None else codec.with_batch_size(batch_size)


def _conclude(out: Store, made: Plan, codec: ReadyCodec, new: list[int], mine: list[int], wall_s: float) -> None:
    """Says what has come of it, finishes what is complete, and exits with SOME_FAILED if that is so."""
    if new:
        here = manifest.count(list(manifest.records(out, new)))
        report(
            f"{counted(here.clips, 'clip')}, {here.seconds / 3600:.2f} hours, {speed(here.seconds, wall_s)}: "
            f"{counted(here.rows, 'row')} in {counted(here.shards, 'shard')}, {here.bytes / 1e6:.1f} MB"
        )
        for said, n in here.taken.items():
            report(f"{counted(n, 'clip')} of {said}")
        if made.settings.stream:
            report(f"of containers, audio stream {made.settings.stream} was taken")
    missing = made.n_units - len(plan.done(out))
    if missing:
        report(f"{missing} of {made.n_units} units are left to other parts; the last one writes {manifest.NAME}")
        errors = manifest.count(list(manifest.records(out, mine))).errors
        where = f"{out.name}/{plan.RECORDS}"
    else:
        counts = manifest.finish(out, made, codec.module)
        errors, where = counts.errors, f"{out.name}/{manifest.ERRORS}"
        if counts.warnings:
            less = f"{counted(counts.warnings, 'clip')} of which less, or other, came out than promised"
            report(f"{less}: {out.name}/{manifest.WARNINGS}")
    if errors:
        report(f"{counted(errors, 'clip')} could not be coded: {where} says why")
        raise SystemExit(SOME_FAILED)


def _listed(store: Store, options: Tokenise) -> list[File]:
    """The files of a folder that may hold audio, but for those of an output that lies in it."""
    source, target = (_full(place) for place in (options.input, options.output))
    if source == target:
        raise ZooError(f"{options.output}: is the input; tokens take a folder of their own")
    own = target.removeprefix(f"{source}/") + "/" if target.startswith(f"{source}/") else None
    files = [file for file in store.files() if is_input(file.key) and not (own and file.key.startswith(own))]
    if not files:
        raise ZooError(f"{options.input}: holds neither audio files nor archives or Parquet of them")
    return files


def _plan(options: Tokenise, codec: ReadyCodec, files: list[File], unit_bytes: int, n_units: int) -> Plan:
    shard_bytes = round(options.shard_mb * 1e6)
    if options.latents and options.level is not None:
        raise ZooError("--level is of codes; --latents are not quantised")
    if not options.latents:
        codec.engine.check_coded(None if codec.denoises else "give --latents")
        codec.engine.check_encodes()
    settings = Settings(
        level=None if options.latents else codec.engine.level(options.level),
        channels=options.channels,
        mid_side=options.stereo == "mid_side",
        packet_frames=codec.packet_frames(options.packet_s),
        row_bytes=max(shard_bytes // ROWS_IN_A_SHARD, 1),
        stream=options.stream,
        precision=options.precision,
    )
    return Plan(
        codec=codec.digest.hex(),
        settings=settings,
        format=options.format,
        shard_bytes=shard_bytes,
        unit_bytes=unit_bytes,
        n_units=n_units,
        n_files=len(files),
        n_bytes=sum(file.bytes for file in files),
        listing=plan.digest_of(files),
    )


def _full(place: str) -> str:
    """A place by the name that it has wherever one is."""
    return place.rstrip("/") if is_uri(place) else os.path.realpath(place)


def _everywhere(ckpt: str) -> str:
    """A path as it is called in whatever folder a process runs; other names as they are."""
    if os.path.exists(ckpt):
        return os.path.abspath(ckpt)
    family, colon, path = ckpt.partition(":")  # "FAMILY:PATH"
    return f"{family}{colon}{os.path.abspath(path)}" if os.path.exists(path) else ckpt


def _part(text: str) -> tuple[int, int]:
    """I and N of "I/N", 0 ≤ I < N; raises ZooError for anything else."""
    part, _, n_parts = text.partition("/")
    if not (part.isdecimal() and n_parts.isdecimal() and int(part) < int(n_parts)):
        raise ZooError(f"--part {text}: give I/N, I from 0 to N - 1")
    return int(part), int(n_parts)


def detokenise(options: Detokenise) -> None:
    """Decodes all clips of shards to audio files; raises ZooError for what cannot be decoded, BitstreamError too."""
    suffix = f".{options.format}"
    check_format(f"x{suffix}", options.subtype)
    store, single = open_input(options.input)
    out = Path(options.output)
    if out.exists() and not out.is_dir():
        raise ZooError(f"{out}: is a file; detokenise writes a folder")
    codec: ReadyCodec | None = None
    n_written = n_kept = 0
    for parts in shards.clips(store, shards.names_of(store, single)):
        first = parts[0]
        target = out / _file_name(first, suffix)
        if target.exists() and not options.force:
            n_kept += 1
            continue
        codec = codec or find_codec(options.ckpt, first.header().weights_hash).with_precision(options.precision)
        if first.codec != codec.digest.hex():
            theirs, ours = first.codec, codec.digest.hex()
            raise ZooError(f"{options.input}: {first.key} is by the codec {theirs}; this one is {ours}")
        _decode(codec, parts, target, options)
        n_written += 1
    kept = f"; {n_kept} were there already, --force writes over them" if n_kept else ""
    report(f"{counted(n_written, 'clip')} → {out}{kept}")


def _decode(codec: ReadyCodec, parts: list[Row], target: Path, options: Detokenise) -> None:
    first = parts[0]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError(f"{target.parent}: cannot be made ({error.strerror})") from None
    n_samples = sum(row.samples for row in parts)
    try:
        with open_writer(
            target,
            first.sample_rate,
            first.channels,
            n_samples=n_samples,
            subtype=options.subtype,
            layout=tuple(first.layout.split()) if first.channels == first.source_channels else (),
            force=options.force,
        ) as writer:
            for block in shards.decode(codec.engine, parts):
                writer.write(block)
    except ZooError as error:
        raise ZooError(str(error) if first.key in str(error) else f"{first.key}: {error}") from None


def _file_name(row: Row, suffix: str) -> str:
    """A key as the name of a file below a folder; raises ZooError for one that would lie elsewhere."""
    path = PurePosixPath(row.key)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in row.key:
        raise ZooError(f"{row.key}: is no name of a file below a folder")
    return row.key if path.suffix.lower() == suffix else row.key + suffix
