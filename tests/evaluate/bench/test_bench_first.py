"""Times of fresh processes: which ones run, with which cache, and what is told of them."""

from __future__ import annotations

import json
import time

import zoo
from evaluate.bench import first, footprint
from tests.complaint import complaint


def test_every_turn_begins_without_compiled_programs_and_then_has_its_own(build, tmp_path, monkeypatch, capsys):
    codec = build("autoencoder")
    monkeypatch.setattr(zoo, "load", lambda path: codec)
    caches = []

    def output_of(module: str, job: dict, what: str, **settings: str) -> str:
        caches.append(settings["JAX_COMPILATION_CACHE_DIR"])
        found = first.work(first.Job(**job), time.perf_counter())
        assert all(seconds >= 0 for seconds in found.values())
        return "said by the way\n" + json.dumps(found | {"imported": float(len(caches))})

    monkeypatch.setattr(footprint, "output_of", output_of)
    out = tmp_path / "times.json"
    first.main(["--ckpt", "any", "--seconds", "0.2", "--repeat", "2", "--output", str(out)])
    assert caches[0] == caches[1] != caches[2] == caches[3]
    (found,) = json.loads(out.read_text())
    assert set(found["times"]) == {"empty", "filled"}
    assert found["times"]["empty"]["imported"] in (1, 3)
    assert found["times"]["filled"]["imported"] in (2, 4)
    assert "compiled before" in capsys.readouterr().out


def test_what_cannot_be_measured_is_one_line(capsys):
    assert "give --ckpt CODEC or --model NAME" in complaint(capsys, first.main, [])
    assert "must be positive" in complaint(capsys, first.main, ["--ckpt", "codec_24khz", "--repeat", "0"])
