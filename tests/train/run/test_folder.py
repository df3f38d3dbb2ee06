"""The run directory's own file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from configs import loading
from tests.train.run.initialised import TINY
from train.run import folder


def test_what_is_meant_for_one_start_is_not_kept(tmp_path: Path) -> None:
    data = dataclasses.replace(TINY.data, accept_changes=True)
    once = dataclasses.replace(TINY, profile="20:25", overwrite=True, resume=True, data=data)
    folder.write_config(tmp_path, once)
    assert loading.from_dict(json.loads((tmp_path / "config.json").read_text())) == TINY
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
