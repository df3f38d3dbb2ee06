"""Every codec that the package brings has a card that is complete, and about these very weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from zoo import shipped

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "docs" / "models"
TEMPLATE = (CARDS / "TEMPLATE.md").read_text(encoding="utf-8")
NEEDED = {  # of sections what they cannot do without
    "Training data": {"a table with licences": r"^\|.*licen[cs]e.*\|$"},
    "Training": {
        "the command": r"^ {4}python -m train ",
        "how it was exported": r"^ {4}python -m zoo export .* zoo/models/",
        "hours": r"\d[\d.]* ?(h|hours?|minutes)\b",
        "curves": r"^!\[.+\]\(.+\)",
    },
    "Rate and distortion": {
        "the command": r"^ {4}python -m evaluate ",
        "intervals": r"^\|.*\d ?(± ?\d|\([+−]?\d[\d.]*–[+−]?\d).*\|$",
    },
}
NEEDED["What it gains"] = NEEDED["Rate and distortion"]  # of a denoiser


def sections(card: str) -> dict[str, str]:
    _, *parts = re.split(r"^## ", card, flags=re.MULTILINE)
    return {title.strip(): text for title, _, text in (part.partition("\n") for part in parts)}


def faults(card: str, name: str, digest: str, task: str = "reconstruct") -> Iterator[str]:
    """What a card lacks, in words."""
    if not card.startswith(f"# {name}\n"):
        yield f"its title is not {name}"
    if digest not in card:
        yield f"it is not about the weights {digest}"
    if "«" in card:
        yield "something is still to be filled in"
    found = sections(card)
    for title in sections(TEMPLATE):
        if task == "denoise" and title == "Rate and distortion":
            title = "What it gains"
        if len(found.get(title, "").split()) < 5:
            yield f"no {title}"
        for what, pattern in NEEDED.get(title, {}).items():
            if not re.search(pattern, found.get(title, ""), re.MULTILINE | re.IGNORECASE):
                yield f"{title} without {what}"


def test_every_codec_of_the_package_has_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", Path(zoo.__file__).parent / "models")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = []
    for name in shipped.names():
        card = CARDS / f"{name}.md"
        text = card.read_text(encoding="utf-8") if card.exists() else ""
        about = shipped.about(name)
        found += [f"{name}: {fault}" for fault in faults(text, name, about.digest, about.task)]
        if f"(docs/models/{name}.md)" not in readme:
            found.append(f"{name}: README does not link its card")
    assert found == []


WHOLE = """# x
For songs. Digest `00ff`.
## Training data
| source | licence |
| birds of the garden | CC0 |
## Training
    python -m train --model spectral
    python -m zoo export runs/x zoo/models/x --precision float16
2.5 hours on two cores.
![Curves](x.png)
## Rate and distortion
    python -m evaluate --ckpt x
| x | 6.0 ± 0.1 |
## What it is bad at
Applause, which is all noise.
## Licence
CC BY 4.0, since all sources allow it.
"""


@pytest.mark.parametrize(
    ("taken", "put", "fault"),
    [
        ("", "", None),
        ("# x\n", "# y\n", "its title is not x"),
        ("00ff", "00fe", "it is not about the weights 00ff"),
        ("For songs", "«For what»", "something is still to be filled in"),
        ("Applause, which is all noise.", "", "no What it is bad at"),
        ("## Licence", "## Thanks", "no Licence"),
        ("| source | licence |", "| source | from |", "Training data without a table with licences"),
        ("    python -m train --model spectral\n", "", "Training without the command"),
        ("2.5 hours on", "On", "Training without hours"),
        ("![Curves](x.png)", "", "Training without curves"),
        ("6.0 ± 0.1", "6.0", "Rate and distortion without intervals"),
    ],
)
def test_what_a_card_lacks_is_found(taken: str, put: str, fault: str | None) -> None:
    found = list(faults(WHOLE.replace(taken, put, 1) if taken else WHOLE, "x", "00ff"))
    assert found == ([] if fault is None else [fault])


def test_the_template_itself_lacks_only_what_is_to_be_filled_in() -> None:
    assert "something is still to be filled in" in list(faults(TEMPLATE, "NAME", "«digest»"))
    assert {fault.split()[0] for fault in faults(TEMPLATE, "NAME", "«digest»")} <= {"something", "Training", "Rate"}
