"""The gallery's page: sections with their commands, players and spectrograms, in one file that needs no network."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np

from evaluate.gallery.sections import Example, Section, Version
from evaluate.report import embedded, sound, spectrogram
from zoo import audio
from zoo.errors import ZooError

KBPS = sound.BEST_KBPS
STYLES = ("page.css", "player.css")
PROGRAMS = ("elements.js", "deck.js", "player.js")


def parts(sections: Iterable[Section], *, source: str, facts: Sequence[str]) -> Iterator[str]:
    """The page's text, a section at a time as `sections` gives them; `source` says what recordings it works on.

    Raises ZooError for a sound that is empty or holds what is no number.
    """
    head, tail = embedded.asset("gallery.html", __package__).split("{{sections}}")
    fills = {
        "source": html.escape(source),
        "facts": html.escape(" · ".join(facts)),
        "styles": "\n".join([*map(embedded.asset, STYLES), embedded.asset("gallery.css", __package__)]),
        "programs": "\n".join([*map(embedded.asset, PROGRAMS), embedded.asset("gallery.js", __package__)]),
    }
    yield embedded.filled(head, fills)
    number = 0
    with ThreadPoolExecutor(2) as pool:
        for section in sections:
            yield _section(section, number, pool)
            number += len(section.examples)
    yield embedded.filled(tail, fills)


def _section(section: Section, number: int, pool: Executor) -> str:
    name = section.title.lower().replace(" ", "-")
    commands = "\n".join(map(_command, section.commands))
    examples = "".join(_example(section, example, i, pool) for i, example in enumerate(section.examples, number))
    title = html.escape(section.title)
    return f"""<section id="{name}" aria-labelledby="{name}-title">
  <h2 id="{name}-title">{title}</h2>
  <p>{html.escape(section.sentence)}</p>
  <div class="command"><pre>{commands}</pre></div>
{examples}</section>
"""


def _command(line: str) -> str:
    """A command whose words are kept whole where a line has to be broken."""
    words = (f"<span>{html.escape(word)}</span>" for word in line.split(" "))
    return f"<code>{' '.join(words)}</code>"


def _example(section: Section, example: Example, i: int, pool: Executor) -> str:
    """An empty list, which is filled with rows, and the script element with what they hold."""
    for version in example.versions:
        _check(example, version)
    rate = example.sample_rate
    longest = max(len(version.samples) for version in example.versions)
    channels = max(version.samples.shape[1] for version in example.versions)
    sounds = {
        version.label: _fitted(sound.faded(version.samples, rate), longest, channels) for version in example.versions
    }
    shown = embedded.versions(sounds, rate, KBPS, pool, gains_db=dict.fromkeys(sounds, 0.0))
    data: dict[str, Any] = {
        "clip": example.name,
        "seconds": round(longest / rate, 4),
        "ticks": spectrogram.ticks(rate),
        "versions": [
            value
            | {
                "seconds": round(len(version.samples) / rate, 4),
                "about": version.about,
                "marks": [[round(mark.start_s, 4), round(mark.stop_s, 4), mark.text] for mark in version.marks],
            }
            for value, version in zip(shown, example.versions)
        ],
    }
    name = html.escape(f"{section.title}: {example.name}", quote=True)
    return f'  <ol class="versions" id="rows{i}" aria-label="{name}"></ol>\n' + embedded.script(
        i, example.name, section.title, data
    )


def _fitted(samples: np.ndarray, longest: int, channels: int) -> np.ndarray:
    """Samples with silence behind them, so that all pictures have one scale in time and all sounds run in step."""
    return np.pad(audio.mix_channels(samples, channels), ((0, longest - len(samples)), (0, 0)))


def _check(example: Example, version: Version) -> None:
    if version.samples.ndim != 2 or 0 in version.samples.shape:
        raise ZooError(f"{example.name}: {version.label} has no samples")
    if not np.isfinite(version.samples).all():
        raise ZooError(f"{example.name}: {version.label} has samples that are not finite")
