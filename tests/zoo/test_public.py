"""What `import zoo` alone gives."""

from __future__ import annotations

import importlib.metadata

import pytest

import zoo
from zoo.__main__ import main


@pytest.mark.parametrize("name", ["audio", "denoising", "editing", "features", "generating", "recognise", "tokens"])
def test_modules_of_the_documentation_need_no_import_of_their_own(name: str) -> None:
    # not getattr: whatever has been imported before is an attribute already
    assert zoo.__getattr__(name).__name__ == f"zoo.{name}"
    assert name in dir(zoo)


def test_the_version_is_that_of_the_installed_package(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert zoo.__version__ == importlib.metadata.version("codec-zoo")
    main(["--version"])
    assert capsys.readouterr().out == f"codec-zoo {zoo.__version__}\n"

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert not hasattr(zoo, "__version__")
