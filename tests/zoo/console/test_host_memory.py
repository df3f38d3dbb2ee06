"""A process that computes on the CPU asks for huge pages, once, and stays the same process."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.console import host_memory

ROOT = Path(__file__).parents[3]
PROGRAM = """
import os, sys
from zoo.console import host_memory
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], flush=True)
host_memory._would_help = lambda environment, would=host_memory._would_help: {}
host_memory.use_huge_pages()
"""


def run(would_help: str, **environment: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    arguments = [sys.executable, "-c", PROGRAM.format(would_help), "--an argument", ""]
    done = subprocess.run(
        arguments,
        env=inherited | environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_a_program_starts_anew_once_as_the_same_process_with_the_same_arguments() -> None:
    before, after = run("'GLIBC_TUNABLES' not in environment")
    pid, setting, arguments = before.split(" ", 2)
    assert setting == "None"
    assert after == f"{pid} {host_memory.HUGE_PAGES} {arguments}"


def test_what_the_environment_says_is_left_alone() -> None:
    (line,) = run("would(environment)", GLIBC_TUNABLES="glibc.malloc.arena_max=2", JAX_PLATFORMS="cpu")
    assert "glibc.malloc.arena_max=2" in line


@pytest.mark.parametrize(
    ("accelerator", "pages", "helps"),
    [
        ("none there", "always [madvise] never", True),
        ("null", "always [madvise] never", False),
        ("none there", "[always] madvise never", False),
        ("none there", "always madvise [never]", False),
        ("none there", None, False),
    ],
)
def test_only_where_it_helps(accelerator, pages, helps, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(host_memory, "ACCELERATORS", (accelerator,))
    monkeypatch.setattr(host_memory, "_THP", tmp_path / "enabled")
    monkeypatch.setattr(host_memory.sys, "platform", "linux")
    monkeypatch.setattr(host_memory.os, "confstr", lambda _: "glibc 2.36")
    if pages:
        (tmp_path / "enabled").write_text(pages)
    assert host_memory._would_help({}) is helps
    assert host_memory._would_help({"JAX_PLATFORMS": "cpu"}) is (pages == "always [madvise] never")
    assert not host_memory._would_help({"GLIBC_TUNABLES": ""})
    monkeypatch.setattr(host_memory.os, "confstr", lambda _: "glibc 2.31")
    assert not host_memory._would_help({})


class StartedAnewError(Exception):
    pass


class WentOnError(Exception):
    pass


@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        ("zoo", "encode song.wav song.zac", StartedAnewError),
        ("zoo", "tokenise list out", StartedAnewError),
        ("zoo", "list", WentOnError),
        ("zoo", "encode --help", WentOnError),
        ("evaluate", "--ckpt runs/vae", StartedAnewError),
        ("evaluate", "--task denoise --ckpt runs/denoiser", StartedAnewError),
        ("evaluate", "compare a.json b.json", WentOnError),
        ("evaluate.bench", "--model vae", StartedAnewError),
        ("evaluate.bench", "tokenise --help", WentOnError),
        ("evaluate.gallery", "out", StartedAnewError),
        ("train", "", StartedAnewError),
        ("train", "check", WentOnError),
        ("train.bench", "-h", WentOnError),
    ],
)
def test_only_commands_that_compute_start_anew(module, arguments, expected, monkeypatch) -> None:
    use_huge_pages = host_memory.use_huge_pages

    def started_anew(*_: object) -> None:
        raise StartedAnewError

    def went_on(**options: tuple[str, ...]) -> None:
        use_huge_pages(**options)
        raise WentOnError

    monkeypatch.setenv("GLIBC_TUNABLES", "")
    monkeypatch.setattr(host_memory, "_would_help", lambda _: True)
    monkeypatch.setattr(host_memory.os, "execv", started_anew)
    monkeypatch.setattr(host_memory, "use_huge_pages", went_on)
    monkeypatch.setattr(sys, "argv", [module, *arguments.split()])
    with pytest.raises(expected):
        runpy.run_module(module, run_name="__main__")
