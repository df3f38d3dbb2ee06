"""Every test sees four simulated devices, and implicit rank promotion is an error."""

import contextlib
import gc
import os
import tempfile

from tests import compiler

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count=4 {compiler.SOONER}"
)
# what tests, workers and the processes that they start have in common is compiled once, and kept for this run alone;
# workers find the folder in their environment
if "PYTEST_XDIST_WORKER" not in os.environ:
    compiled = tempfile.TemporaryDirectory(prefix="codec-zoo-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

from zoo import shipped

jax.config.update("jax_numpy_rank_promotion", "raise")
compiler.collect_seldom()

# how long an example takes says more of what else the machine does than of what is tested
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session", autouse=True)
def empty_package() -> Iterator[None]:
    """The package brings no codecs but for tests that give it some: they would be the default of every command."""
    real, shipped.FOLDER = shipped.FOLDER, Path(os.devnull)
    yield
    shipped.FOLDER = real


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """What was imported, and what a file leaves behind, compiled programs mostly, is never searched for garbage."""
    gc.freeze()
    yield
    gc.collect()


@contextlib.contextmanager
def in_haste() -> Iterator[None]:
    """Programs are compiled without care: those that run only a few times take less time in all."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def quick() -> Iterator[None]:
    """Programs of a test are compiled in haste."""
    with in_haste():
        yield


@pytest.fixture(scope="module")
def quick_module() -> Iterator[None]:
    """Programs of all tests of a file, and of their fixtures, are compiled in haste."""
    with in_haste():
        yield
