"""What an output folder says of itself once all units are done: manifest.json, errors.jsonl, a page for people."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from zoo.codec import Codec
from zoo.errors import ZooError, one_line
from zoo.library.store import Store
from zoo.tokenise import plan
from zoo.tokenise.plan import Plan

NAME, ERRORS, WARNINGS, PAGE = "manifest.json", "errors.jsonl", "warnings.txt", "README.md"
_AT_ONCE = 16
_SUFFIXES = {"parquet": "parquet", "webdataset": "tar", "npy": "npy", "arrayrecord": "arrayrecord"}


@dataclass(frozen=True)
class Counts:
    """What some units, or all, came to."""

    clips: int
    rows: int
    seconds: float
    shards: int
    bytes: int
    errors: int
    warnings: int
    taken: dict[str, int]
    """what became of clips with more than two channels, and of how many"""


def records(out: Store, units: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The records of units that are done, in their order; raises ZooError for one that cannot be read."""

    def read(index: int) -> dict[str, Any]:
        name = f"{plan.RECORDS}/{plan.record_name(index)}"
        try:
            return dict(json.loads(out.read(name)))
        except (ValueError, TypeError) as error:
            raise ZooError(f"{out.name}/{name}: is damaged ({one_line(error)}); remove it and run again") from None

    with ThreadPoolExecutor(_AT_ONCE) as pool:  # of a store, this is waiting
        yield from pool.map(read, units)


def count(found: Sequence[dict[str, Any]]) -> Counts:
    shards = [shard for record in found for shard in record["shards"]]
    return Counts(
        clips=sum(record["clips"] for record in found),
        rows=sum(record["rows"] for record in found),
        seconds=sum(record["seconds"] for record in found),
        shards=len(shards),
        bytes=sum(shard["bytes"] for shard in shards),
        errors=sum(len(record["errors"]) for record in found),
        warnings=sum(len(record["warnings"]) for record in found),
        taken=dict(sum((Counter(record.get("taken", {})) for record in found), Counter())),
    )


def finish(out: Store, made: Plan, codec: Codec) -> Counts:
    """Writes what an output folder says of itself, when all units are done; the same bytes whoever does it.

    What a killed attempt left among the shards is removed. Raises ZooError for a shard that is gone.
    """
    found = list(records(out, range(made.n_units)))
    counts = count(found)
    shards = [shard for record in found for shard in record["shards"]]
    units = {
        name.partition("/")[2]: i
        for i, record in enumerate(found)
        for shard in record["shards"]
        for name in shard["files"]
    }
    there = out.children(plan.SHARDS)
    if gone := sorted(units.keys() - there):
        record = f"{plan.RECORDS}/{plan.record_name(units[gone[0]])}"
        raise ZooError(f"{out.name}/{plan.SHARDS}/{gone[0]}: is gone; remove {record} and run again to have it anew")
    for name in there - units.keys():
        out.remove(f"{plan.SHARDS}/{name}")
    errors = [error for record in found for error in record["errors"]]
    out.write(ERRORS, "".join(json.dumps(error) + "\n" for error in errors).encode())
    out.write(WARNINGS, "".join(f"{line}\n" for record in found for line in record["warnings"]).encode())
    out.write(PAGE, _page(made, counts, codec).encode())
    manifest = {
        "version": plan.VERSION,
        "codec": made.codec,
        "clips": counts.clips,
        "rows": counts.rows,
        "seconds": counts.seconds,
        "errors": counts.errors,
        "warnings": counts.warnings,
        "channels": counts.taken,
        "codec_sample_rate": codec.sample_rate,
        "hop_length": codec.hop_length,
        "plan": made.to_json(),
        "shards": shards,
    }
    out.write(NAME, (json.dumps(manifest, indent=1) + "\n").encode())  # last: it says that all else is there
    return counts


def read(out: Store) -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none, as long as not all is done."""
    if NAME not in out.children(""):
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(out.read(NAME))
        if found["version"] == plan.VERSION and isinstance(found["shards"], list):
            return dict(found)
    raise ZooError(f"{out.name}/{NAME}: is no manifest of version {plan.VERSION}")


def _page(made: Plan, counts: Counts, codec: Codec) -> str:
    """A dataset card: its head tells the `datasets` library which files hold the rows."""
    what = "latents" if made.settings.level is None else f"codes at level {made.settings.level}"
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files: {plan.SHARDS}/*.{_SUFFIXES[made.format]}\n---\n"
        f"# Tokens\n\n{counts.rows} rows ({what}) of {counts.clips} clips, {counts.seconds / 3600:.2f} hours.\n\n"
        f"- codec: {made.codec}, {codec.sample_rate} Hz, {codec.frame_rate_hz:g} frames a second\n"
        f"- channels: {made.settings.channels}\n"
        f"- shards: {counts.shards} of {made.format}, {counts.bytes / 1e6:.1f} MB\n"
        f"- clips left out: {counts.errors} ({ERRORS} says why)\n\n"
        f"`python -m zoo detokenise FOLDER OUT --ckpt CODEC` gives the audio back.\n"
    )
