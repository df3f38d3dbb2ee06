"""What README.md and docs/*.md name is there: Python names, commands, linked files and headings."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "docs" / "models" / "TEMPLATE.md"
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if page != TEMPLATE)]
README_WORDS = 1200
OURS = "zoo|train|evaluate|configs"
NAME = re.compile(rf"(?<![\w./-])(?:{OURS})(?:\.[A-Za-z_]\w*)+(?![\w/]|\.\w)")
FILES = (".py", ".md", ".json", ".png", ".npz")
COMMAND = re.compile(r"python -m ([\w.]+)")
LINK = re.compile(r"\]\(([^)\s]+)\)")

parametrize = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def names(text: str) -> Iterator[str]:
    """The dotted names of our packages in inline code, and in Python blocks as their syntax tree has them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose):
        yield from (name for name in NAME.findall(code) if not name.endswith(FILES))
    for block in fenced(text, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and NAME.fullmatch(dotted := ast.unparse(node)):
                yield dotted
            elif isinstance(node, ast.ImportFrom) and node.module and re.match(rf"(?:{OURS})\b", node.module):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if re.match(rf"(?:{OURS})\b", alias.name))


def resolves(name: str) -> bool:
    """Whether its longest beginning that is a module has the rest as attributes."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for i, part in enumerate(parts[n:], n):
            if not hasattr(found, part):
                fields = getattr(found, "__dataclass_fields__", {})
                return i == len(parts) - 1 and part in fields
            found = getattr(found, part)
        return True
    return False


def anchors(page: Path) -> set[str]:
    """What links to headings of a page may end on, made as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def is_there(link: str, page: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


@parametrize
def test_every_python_name_can_be_imported(page: Path) -> None:
    assert [name for name in sorted(set(names(page.read_text(encoding="utf-8")))) if not resolves(name)] == []


@parametrize
def test_every_command_is_a_module_that_runs(page: Path) -> None:
    for module in sorted(set(COMMAND.findall(page.read_text(encoding="utf-8")))):
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        if spec.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{module}.__main__") is not None, module


@parametrize
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    broken = [link for link in links if not re.match(r"https?:", link) and not is_there(link, page)]
    assert broken == []


@parametrize
def test_files_and_folders_that_are_named_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(rf"(?<![\w/.~-])(?:{OURS}|docs|tests|findings)/[\w/.-]*", text))
    paths = {path.rstrip(".") for path in named if "NAME" not in path}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= README_WORDS


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {page.relative_to(ROOT).as_posix() for page in PAGES[1:]} - linked == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`zoo.load(x)` and `zoo.tokens.load`", ["zoo.load", "zoo.tokens.load"]),
        ("`python -m train.bench`, zoo.prose, `runs/zoo.txt`", ["train.bench"]),
        ("`configs/vae.py`, `zoo.md`, `https://zoo.example`", []),
        ("```python\nimport zoo\nx = zoo.nothing(1).more\n```", ["zoo", "zoo.nothing"]),
        ("```python\nfrom configs.base import Data\n```", ["configs.base.Data"]),
    ],
)
def test_names_are_found_where_they_are_meant_as_such(text: str, found: list[str]) -> None:
    assert sorted(names(text)) == found


def test_what_is_not_there_is_found_out() -> None:
    assert resolves("zoo.load")
    assert resolves("configs.base.LossWeights.mel")
    assert resolves("zoo.tokens.load")
    assert not resolves("zoo.nothing")
    assert not resolves("train.nothing.at_all")
    assert is_there("docs/results.md#without-any-data", ROOT / "README.md")
    assert not is_there("docs/results.md#nothing", ROOT / "README.md")
    assert not is_there("docs/nothing.md", ROOT / "README.md")
