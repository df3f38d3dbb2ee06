"""`python -m evaluate` as a whole: what is kept and used again, bounds, the report, and comparing two evaluations."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluate import __main__ as command
from evaluate import rivals
from evaluate.cache import Cache, key
from evaluate.clips import Clip
from evaluate.run import evaluate
from tests.complaint import complaint
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 8000


class Rival(rivals.Opus):
    """Opus that counts how often it codes."""

    calls = 0

    def process(self, samples):
        type(self).calls += 1
        return super().process(samples)


def clips(n: int) -> list[Clip]:
    rng = np.random.default_rng(0)
    return [
        Clip(f"clip{i}", "noise", (0.1 * rng.standard_normal((3000 + i, 1))).astype(np.float32), RATE) for i in range(n)
    ]


def test_finished_results_are_used_again_even_after_an_interruption(tmp_path):
    path = tmp_path / "new" / "cache.jsonl"
    system = Rival(12, RATE, 1)
    Rival.calls = 0
    first = evaluate(system, clips(3), cache=Cache(path))
    assert Rival.calls == 3
    with path.open("a") as file:
        file.write('{"key": "half a li')
    extended = evaluate([system, Rival(24, RATE, 1)], clips(5), cache=Cache(path))
    assert Rival.calls == 3 + 2 + 5
    assert extended[:3] == first
    changed = [dataclasses.replace(clip, samples=0.5 * clip.samples) for clip in clips(3)]
    evaluate(system, changed, cache=Cache(path))
    assert Rival.calls == 3 + 2 + 5 + 3
    assert key(system, clips(1)[0]) != key(system, clips(1)[0], ["pesq"])


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match=r"cache\.jsonl: cannot be"):
        evaluate(Rival(12, RATE, 1), clips(1), cache=Cache(tmp_path / "file" / "cache.jsonl"))


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A folder with audio; codecs named in --ckpt are rivals here, so that nothing has to be trained."""
    for clip in clips(8):
        (tmp_path / "audio" / clip.domain).mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "audio" / clip.domain / f"{clip.name}.wav", clip.samples, RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def codec_of(monkeypatch, build):
    codec = build("vae")
    codec = dataclasses.replace(codec, metadata={**codec.metadata, "path": "runs/tiny"})
    monkeypatch.setattr("zoo.loading.load", lambda path: codec)
    return codec


def test_report_bounds_and_comparison(run, monkeypatch, build, capfd):
    codec_of(monkeypatch, build)
    everything = ["--ckpt", "runs/tiny", "--data.root", "audio", "--limit", "7"]
    command.main([*everything, "--against", "opus:12", "--report", "page", "--require", "snr_db<500"])
    rows = json.loads(Path("page/results.json").read_text())
    systems = {(row["system"], row["level"]) for row in rows}
    assert systems == {("tiny", level) for level in range(5)} | {("opus:12", None)}
    assert {"kbps", "payload_kbps", "mel", "stft_dac", "encode_rtf"} < set(rows[0])
    assert "visqol" not in rows[0]
    page = Path("page/index.html").read_text()
    assert all(clip in page for clip in ("clip0", "clip7"))
    assert "tiny level 2" in page
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
        command.main([*everything, "--output", "other", "--require", "snr_db>500,kbps<1000"])
    assert stopped.value.code == 1
    missed = capfd.readouterr().err.splitlines()
    assert len(missed) == 1
    assert "tiny" in missed[0]
    assert "snr_db" in missed[0]
    command.main([*everything, "--levels", "0", "--output", "low", "--no-cache"])
    assert not Path("low/cache.jsonl").exists()
    capfd.readouterr()
    command.main(["compare", "other/results.json", "page/results.json"])
    told = capfd.readouterr().out
    assert "tiny" in told
    with pytest.raises(SystemExit) as stopped:
        command.main([*everything, "--require", "loudness<3"])
    assert stopped.value.code == 2
    assert "loudness" in capfd.readouterr().err


@pytest.mark.parametrize("words", [["--task", "echo"], ["--task=echo"]])
def test_a_task_gets_all_arguments_but_its_name(words, monkeypatch):
    got = []
    monkeypatch.setitem(command.TASKS, "echo", "json")
    monkeypatch.setattr("json.main", got.append, raising=False)
    command.main(["--ckpt", "a", "b", *words, "--data.root", "x", "--help"])
    assert got == [["--ckpt", "a", "b", "--data.root", "x", "--help"]]


@pytest.mark.parametrize("words", [["--task", "nothing"], ["--ckpt", "a", "--task"]])
def test_a_task_that_is_none_is_refused_in_a_line(words, capfd):
    assert "choose from coding" in complaint(capfd, command.main, words)


def test_coding_may_be_named(capfd):
    assert "--ckpt needs a run" in complaint(capfd, command.main, ["--task", "coding", "--ckpt"])
