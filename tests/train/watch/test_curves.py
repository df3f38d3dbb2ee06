"""`python -m train report`: what is drawn, what is said to differ, and what is no run."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.complaint import complaint
from train import __main__ as command
from train.watch import curves
from zoo.errors import ZooError


def write(folder: Path, offset: float = 0.0, steps: int = 30, **config: object) -> str:
    folder.mkdir(parents=True)
    rows = [
        {"step": s, "seconds": 2.0 * s, "loss": offset + 1 + 1 / s, "perplexity/0": 5.0 + s, "perplexity/1": 7.0 + s}
        for s in range(1, steps + 1)
    ]
    rows[-1] |= {"held_out/mel": 0.5 + offset, "held_out/snr_db": 3.0 - offset}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"workdir": str(folder), "steps": steps, "loss": {"mel": 1.0, "kl": 0.0}, "optim": {"beta1": 0.8}}
    (folder / "config.json").write_text(json.dumps(values | config))
    return str(folder)


class Text(HTMLParser):
    """Words of a page, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fetched: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"src", "href"} if tag != "use" else {"src"}
        self.fetched += [value for name, value in attrs if name in names and value and not value.startswith("#")]
        self.fetched += [tag] * (tag in ("script", "link", "iframe"))


def test_a_page_of_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "one")
    second = write(tmp_path / "two", 0.5, 40, loss={"mel": 15.0, "kl": 0.0}, precision="<bfloat16>")
    out = tmp_path / "pages" / "page.html"
    monkeypatch.setattr(sys, "argv", ["train", "report", first, second, "--out", str(out)])
    command.main()
    text = Text()
    text.feed(out.read_text())
    assert text.fetched == []  # it needs no other file and no network
    words = [word for word in text.words if word]
    for name in ("loss", "held out/mel", "held out/snr db", "perplexity (mean of 2)", "one", "two", "1:00", "1:20"):
        assert name in words
    differs = words[words.index("What differs") :]
    assert differs[1:] == ["one", "two", "precision", "–", "<bfloat16>", "steps", "30", "40", "loss.mel", "1.0", "15.0"]
    again = tmp_path / "again.html"
    curves.main([first, second, "--out", str(again)])
    assert again.read_text() == out.read_text()


def test_a_picture_depends_on_every_run(tmp_path: Path) -> None:
    from matplotlib import image

    first, second, third = (write(tmp_path / name, offset) for name, offset in (("a", 0.0), ("b", 0.5), ("c", 0.6)))
    pixels = []
    for runs in ((first, second), (first, third), (first,)):
        curves.main([*runs, "--output", str(tmp_path / "page.png")])
        pixels.append(image.imread(tmp_path / "page.png"))
    assert pixels[0].shape == pixels[1].shape
    assert np.any(pixels[0] != pixels[1])
    assert np.any(pixels[0][: len(pixels[2])] != pixels[2][: len(pixels[0])])


def test_runs_are_named_by_what_their_folders_differ_in(tmp_path: Path) -> None:
    runs = [write(tmp_path / place / "vae") for place in ("monday", "tuesday")]
    assert [run.name for run in curves.read(runs)] == ["monday/vae", "tuesday/vae"]
    assert [run.name for run in curves.read(runs[:1])] == ["vae"]
    assert [run.name for run in curves.read([runs[0], runs[0]])] == ["vae", "vae"]


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = write(tmp_path / "whole")
    for name, file in (("nothing", None), ("no_log", "metrics.jsonl"), ("no_config", "config.json")):
        folder = tmp_path / name
        if file is None:
            folder.mkdir()
        else:
            write(folder)
            (folder / file).unlink()
        with pytest.raises(ZooError, match=f"{name} is no run"):
            curves.read([whole, str(folder)])
    write(tmp_path / "empty", steps=1)
    (tmp_path / "empty" / "metrics.jsonl").write_text("")
    with pytest.raises(ZooError, match="empty has not logged a step yet"):
        curves.read([str(tmp_path / "empty")])
    broken = write(tmp_path / "broken")
    (Path(broken) / "config.json").write_text("{")
    for arguments in ([], [broken], [whole, "--out", "page.pdf"], [whole, "--out", str(tmp_path)], ["--what"]):
        complaint(capsys, curves.main, arguments)
