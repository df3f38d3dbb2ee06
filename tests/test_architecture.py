"""Who may import whom, and how large a file may grow."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {  # of the project's own folders
    "configs": {"configs"},
    "zoo": {"zoo"},
    "evaluate": {"evaluate", "zoo", "configs"},
    "train": {"train", "evaluate", "zoo", "configs"},
}
EVERYTHING = {*MAY_IMPORT, "tests"}
# of other people's packages, where a folder is restricted; the lazy ones are imported where they are used
EAGER = {"configs": set[str](), "zoo": {"jax", "flax", "numpy"}}
LAZY = {"soundfile", "soxr", "scipy", "av", "orbax", "constriction", "huggingface_hub", "yaml"}
LAZY |= {"sklearn", "threadpoolctl", "optax"}  # of training classifiers
LAZY |= {"fsspec", "pyarrow", "array_record", "ray"}  # of shards of tokens
LAZY |= {"jax2onnx", "onnx", "onnxruntime"}  # of graphs for other runtimes
TORCH = ("evaluate/bench/torch_peers/", "train/bench/torch_peers/")
"""The reference implementations that a benchmark compares with: besides the tests, all that has torch."""
COMMAND_LINE = {
    "zoo/__main__.py": {"tyro"},
    "zoo/commands/options.py": {"tyro"},
    "zoo/commands/editing_options.py": {"tyro"},
    "zoo/commands/recognise_options.py": {"tyro"},
    "zoo/commands/tokenise_options.py": {"tyro"},
    "zoo/console/command.py": {"jax", "tyro", "rich"},
}


def imports(node: ast.AST, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """Top-level package of each absolute import below `node`, and whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name.split(".")[0], lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module.split(".")[0], lazy
        typing_only = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports(child, lazy or typing_only or deferred)


def module_name(path: str) -> str:
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which of the project's own modules each imports, in functions and for type checking too."""
    names = {module_name(path) for path in sources}
    graph = {}
    for path, source in sources.items():
        name = module_name(path)
        package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
        found: set[str] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *base.split(".")])
                    base = base.rstrip(".")
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    found.add(full if full in names else base)
        graph[name] = (found & names) - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or by way of others."""
    reach: dict[str, set[str]] = {}
    for name in graph:
        seen, waiting = set[str](), [name]
        while waiting:
            for other in graph[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        reach[name] = seen
    groups = {frozenset({other for other in reach[name] if name in reach[other]}) for name in graph}
    return sorted(sorted(group) for group in groups if group)


def violations(path: str, source: str) -> Iterator[str]:
    folder, name = path.split("/")[0], path.split("/")[-1]
    if name in ("utils.py", "helpers.py"):
        yield f"{path}: a function lives with the concept it serves"
    if source.count("\n") > (400 if folder == "tests" else 330):
        yield f"{path}: too long"
    for package, lazy in imports(ast.parse(source)):
        if package in EVERYTHING:
            allowed = package in MAY_IMPORT.get(folder, EVERYTHING)
        elif package == "torch":
            allowed = folder == "tests" or path.startswith(TORCH)
        elif folder not in EAGER or package in sys.stdlib_module_names:
            allowed = True
        else:
            allowed = package in EAGER[folder] or (folder == "zoo" and lazy and package in LAZY)
            allowed |= package in COMMAND_LINE.get(path, ())
        if not allowed:
            yield f"{path}: imports {package}{' inside a function' if lazy else ''}"


def test_the_tree_keeps_to_the_rules() -> None:
    files = [*ROOT.glob("*.py"), *(file for folder in EVERYTHING for file in (ROOT / folder).rglob("*.py"))]
    found = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}
    assert {path.split("/")[0] for path in found} >= EVERYTHING  # or the rules below were not applied to anything
    assert [line for path, source in sorted(found.items()) for line in violations(path, source)] == []


def test_no_modules_import_each_other() -> None:
    files = [file for folder in MAY_IMPORT for file in (ROOT / folder).rglob("*.py")]
    sources = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}
    assert circles(import_graph(sources)) == []


def test_a_circle_is_found_wherever_the_import_stands() -> None:
    sources = {
        "zoo/__init__.py": "",
        "zoo/a.py": "def f():\n    from zoo import b",
        "zoo/b.py": "if TYPE_CHECKING:\n    from zoo.c.d import x",
        "zoo/c/__init__.py": "from zoo.c.d import x",
        "zoo/c/d.py": "from ..a import f",
        "zoo/e.py": "import zoo.a, zoo.b",
    }
    assert circles(import_graph(sources)) == [["zoo.a", "zoo.b", "zoo.c.d"]]


@pytest.mark.parametrize(
    ("path", "source", "breaks"),
    [
        ("zoo/a.py", "import jax.numpy as jnp\nfrom zoo import dsp\nimport os", False),
        ("zoo/a.py", "from train.step.step import f", True),
        ("zoo/a.py", "def f():\n    from configs import vae", True),
        ("zoo/a.py", "import soundfile", True),
        ("zoo/a.py", "class A:\n    import soxr", True),
        ("zoo/a.py", "def f():\n    if True:\n        import soundfile", False),
        ("zoo/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import constriction", False),
        ("zoo/a.py", "def f():\n    import pandas", True),
        ("zoo/families/a.py", "from . import b\nfrom orbax.checkpoint import v1", True),
        ("configs/a.py", "import dataclasses\nfrom configs.base import Config", False),
        ("configs/a.py", "def f():\n    import numpy", True),
        ("evaluate/a.py", "import zoo, scipy", False),
        ("evaluate/a.py", "import train", True),
        ("evaluate/metrics.py", "def f():\n    import torch", True),
        ("evaluate/bench/coding.py", "def f():\n    import torch", True),
        ("evaluate/bench/torch_peers/a.py", "import torch", False),
        ("train/bench/torch_peers/a.py", "import torch", False),
        ("evaluate/bench/torch_peers.py", "import torch", True),
        ("zoo/bench/torch_peers/a.py", "import torch", True),
        ("train/a.py", "import evaluate.metrics, grain", False),
        ("train/a.py", "from tests import conftest", True),
        ("train/data/helpers.py", "", True),
        ("train/a.py", "x = 1\n" * 331, True),
        ("tests/a.py", "import torch\n" * 331, False),
        ("tests/a.py", "x = 1\n" * 401, True),
    ],
)
def test_a_breach_is_found(path: str, source: str, breaks: bool) -> None:
    assert bool(list(violations(path, source))) is breaks
