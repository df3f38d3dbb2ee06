"""Tests that say whether a device computes what a CPU does: `python -m train.bench.checks`.

The contract of all families, and one golden file of each kind. A test's outcome is written as soon as it is known; one
that fails, or takes the process with it, stops none of the others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from train.bench.results import Results
from zoo.console.command import command
from zoo.errors import ZooError

PART = "checks"
REFERENCES = "test_codes_and_audio_are_the_references"
TESTS = (
    "tests/zoo/test_golden.py",
    "tests/zoo/test_golden_runs.py",
    "tests/zoo/features/test_librosa.py::test_a_feature_is_librosas",
    f"tests/zoo/published/test_dac.py::{REFERENCES}[music]",
    f"tests/zoo/published/test_encodec.py::{REFERENCES}[0-causal]",
    f"tests/zoo/published/test_mimi.py::{REFERENCES}[0]",
    f"tests/zoo/published/test_snac.py::{REFERENCES}[0-music]",
    f"tests/zoo/published/test_vocos.py::{REFERENCES}[0]",
    "tests/zoo/published/test_oobleck.py::test_latents_and_audio_are_the_references[0]",
    "tests/zoo/coding/test_batches.py",
    "tests/test_contract.py",
    "tests/train/run/test_golden_runs.py",
)
"""Files, or tests in them, the quick ones first, and last one that takes signals into its own hands."""


@dataclass(frozen=True)
class Options:
    """Runs the tests that a device must pass, in this process, on whatever device jax has.

    Examples:
      JAX_PLATFORMS=cuda JAX_DEFAULT_MATMUL_PRECISION=float32 python -m train.bench.checks
    """

    test: tuple[str, ...] = TESTS
    """tests to run, as pytest names them"""
    output: str = "accelerator_bench.jsonl"
    """file to which outcomes are appended; what is in it is not run again"""


class Recorder:
    """A plugin of pytest that writes the outcome of each test."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._started = 0.0

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if not self._results.has(item.nodeid)]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._started = time.perf_counter()
        self._results.begin(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return  # before it and after it nothing was wrong
        values: dict[str, Any] = {"outcome": report.outcome, "seconds": round(time.perf_counter() - self._started, 2)}
        if report.failed:
            said = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E ")]
            values["error"] = (said or [report.longreprtext.strip().splitlines()[-1]])[0][:200]
        self._results.add(report.nodeid, **values)
        print(f"{report.nodeid}: {report.outcome}", flush=True)


def run(options: Options) -> None:
    """Runs and writes; raises ZooError where pytest is missing."""
    try:
        import pytest
    except ImportError:
        raise ZooError("pytest is missing: pip install -e '.[test]'") from None
    results = Results(options.output, PART)
    flags = ["-o", "addopts=", "--import-mode=importlib", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    for test in options.test:
        # one by one: a file that cannot be imported would be the end of all
        status = pytest.main([*flags, test], plugins=[Recorder(results)])
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            results.add(test, outcome="failed", error=f"could not be run: {pytest.ExitCode(status).name.lower()}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exit status 0 whatever the tests said, 2 for bad input."""
    command(Options, "python -m train.bench.checks", run, arguments, cached=False)


if __name__ == "__main__":
    main()
