"""What `import zoo` alone gives."""

from __future__ import annotations

import pytest

import zoo


@pytest.mark.parametrize("name", ["denoising", "editing", "features", "generating", "recognise", "tokens"])
def test_modules_of_the_documentation_need_no_import_of_their_own(name: str) -> None:
    # not getattr: whatever has been imported before is an attribute already
    assert zoo.__getattr__(name).__name__ == f"zoo.{name}"
    assert name in dir(zoo)
