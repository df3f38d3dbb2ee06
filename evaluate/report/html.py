"""The page itself: a template filled with styles, programs and data, written clip by clip."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluate import former, table
from evaluate.records import label
from evaluate.report import content, embedded, sound, spectrogram
from zoo.errors import ZooError
from zoo.saved import whole

if TYPE_CHECKING:
    from evaluate.records import Row

PAGE_MB = 58.0
STYLES = ("page.css", "player.css")
PROGRAMS = (
    *("elements.js", "format.js", "summary.js", "curves.js"),
    *("deck.js", "player.js", "listen.js", "abx.js", "page.js"),
)


@dataclass(frozen=True, eq=False)
class Example:
    """A clip to be listened to: float32 (T, C) at `sample_rate` Hz as the systems got it, and what each made of it.

    `clip` is the rows' name of it, and versions are named by `report.label`: so the page finds their values.
    """

    clip: str
    domain: str
    sample_rate: int
    original: np.ndarray
    versions: Mapping[str, np.ndarray]


def write(
    directory: str | Path,
    rows: Sequence[Row],
    examples: Iterable[Example],
    *,
    title: str = "",
    n_examples: int | None = None,
    page_mb: float = PAGE_MB,
) -> Path:
    """Writes index.html, which needs no other file and no network, and results.json beside it; gives the page's path.

    Another report that is there is kept (`evaluate.former.keep`). Examples are taken one by one. Their sound is Opus,
    so long and at such a rate that `n_examples` (default: the number of examples where they have one, or else of the
    rows' clips) fit into `page_mb` megabytes; should they not, the last ones are left out and the page says so. Raises
    ZooError without rows, for versions of another shape than their original, and, naming the path, for a folder that
    cannot be written.
    """
    if not rows:
        raise ZooError("the report has no results to show")
    directory = Path(directory)
    former.keep(directory, table.as_records(rows), ("results.json", "index.html"))
    table.write_json(rows, directory / "results.json")
    if n_examples is None:
        n_examples = len(examples) if isinstance(examples, Sized) else len({row.clip for row in rows})
    page = directory / "index.html"
    try:
        with whole.file(page) as stream:
            for part in _parts(rows, examples, title, n_examples, page_mb * 1e6):
                stream.write(part.encode())
    except OSError as error:
        raise ZooError(f"{page}: cannot be written ({error.strerror})") from None
    return page


def _parts(
    rows: Sequence[Row], examples: Iterable[Example], title: str, n_examples: int, n_bytes: float
) -> Iterator[str]:
    """The page's text, an example at a time."""
    head, tail = embedded.asset("page.html").split("{{clips}}")
    summary = content.summary(rows) | {
        "title": title,
        "clips": len({row.clip for row in rows}),
        "seconds": round(sum({row.clip: row.seconds for row in rows}.values()), 1),
    }
    fills = {
        "title": html.escape(title or "comparison"),
        "styles": "\n".join(map(embedded.asset, STYLES)),
        "data": content.embed(summary),
        "programs": "\n".join(map(embedded.asset, PROGRAMS)),
    }
    head = embedded.filled(head, fills)
    yield head
    left = n_bytes - len(head.encode()) - len(tail)
    found = {(label(row.system, row.level), row.clip): row for row in rows}
    labels = list(dict.fromkeys(name for name, _ in found))
    plan: sound.Plan | None = None
    left_out = 0
    with ThreadPoolExecutor(2) as pool:
        for i, example in enumerate(examples):
            _check(example)
            plan = plan or sound.plan(n_examples * (1 + len(labels)), min(example.original.shape[1], 2), left)
            text = _clip(example, i, {name: found.get((name, example.clip)) for name in example.versions}, plan, pool)
            if len(text) > left:
                left_out += 1
                continue
            left -= len(text)
            yield text
    notes = {"left_out": left_out, "seconds": plan.seconds if plan else 0, "kbps": plan.kbps if plan else 0}
    yield tail.replace("{{notes}}", content.embed(notes))


def _clip(
    example: Example,
    i: int,
    rows: Mapping[str, Row | None],
    plan: sound.Plan,
    pool: ThreadPoolExecutor,
) -> str:
    """A script element that holds one clip: sounds, spectrograms, values."""
    rate = example.sample_rate
    part = sound.excerpt(example.original, rate, plan.seconds)
    original = sound.faded(example.original[part], rate)
    versions = {"original": original, **{name: sound.faded(x[part], rate) for name, x in example.versions.items()}}
    gains_db = {name: sound.matching_gain_db(original, x, rate) for name, x in versions.items()}
    shown = embedded.versions(versions, rate, plan.kbps, pool, gains_db=gains_db, reference="original")
    data: dict[str, Any] = {
        "clip": example.clip,
        "domain": example.domain,
        "seconds": round(len(original) / rate, 4),
        "start": round(part.start / rate, 2),
        "whole": round(len(example.original) / rate, 2),
        "ticks": spectrogram.ticks(rate),
        "versions": [version | content.beside(rows.get(version["label"])) for version in shown],
    }
    return embedded.script(i, example.clip, example.domain, data)


def _check(example: Example) -> None:
    shape = example.original.shape
    if len(shape) != 2 or 0 in shape:
        raise ZooError(f"{example.clip}: the report needs samples (T, C), got {shape}")
    for name, version in example.versions.items():
        if version.shape != shape:
            raise ZooError(f"{example.clip}: {name} has shape {version.shape}, the original {shape}")
        if not np.isfinite(version).all():
            raise ZooError(f"{example.clip}: {name} has samples that are not finite")
