"""What a command says of input that it cannot use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest


def complaint(
    capture: pytest.CaptureFixture[Any], command: Callable[[Sequence[str]], object], arguments: Sequence[str]
) -> str:
    """The one line on standard error of a command that ends with status 2."""
    capture.readouterr()  # what was said before
    with pytest.raises(SystemExit) as exit_info:
        command(arguments)
    assert exit_info.value.code == 2
    said: str = capture.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said
