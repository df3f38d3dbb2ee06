"""What contexts save, measured on a codec whose codes have structure and on one whose codes have none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluate import contexts
from evaluate.clips import Clip
from zoo import families
from zoo.bitstream.entropy import Fitter, tables
from zoo.ready import ReadyCodec

RATE = 8000


@pytest.fixture(scope="module")
def codec() -> ReadyCodec:
    """The MDCT, companded and quantised."""
    module = families.create(
        "autoencoder", sample_rate=RATE, hop_length=32, latent_dim=32, levels=(63,), n_blocks=0, latent_scale=10.0
    )
    square = {"trunk": {"linear": {"kernel": np.eye(32, dtype=np.float32)[None]}}}
    scales = {"log_scale_tenths": np.zeros((2, 32), np.float32), "mix_logit_tenths": np.zeros(32, np.float32)}
    params = {"encoder": square, "decoder": square, "bottleneck": scales}
    return ReadyCodec(module, {"params": params}, Fitter(module.bottleneck.symbols()).fit(), {"family": "autoencoder"})


def noise(seed: int, swell: float, seconds: float = 6.0) -> Clip:
    """White noise whose level stays, or goes up and down by a factor of exp(±swell)."""
    n = round(seconds * RATE)
    level = np.exp(swell * np.sin(2 * np.pi * np.arange(n) / RATE + seed))
    samples = 0.2 * level * np.random.default_rng(seed).standard_normal(n)
    return Clip(f"noise{seed}", "noise", samples[:, None].astype(np.float32), RATE)


def measure(codec: ReadyCodec, swell: float) -> contexts.Saving:
    (found,) = contexts.savings(codec, [noise(i, swell) for i in range(4)], [noise(i, swell) for i in (7, 8)])
    return found


def test_swells_are_foreseen_and_steady_noise_has_nothing_to_foresee(codec: ReadyCodec) -> None:
    swelling, steady = measure(codec, 1.5), measure(codec, 0.0)
    assert swelling.saved_percent > 8
    assert abs(steady.saved_percent) < 2
    for saving in (swelling, steady):
        assert 0 <= saving.coded_kbps - saving.context_kbps < 0.02
        assert saving.overhead_bytes < 2


def test_static_costs_are_those_of_a_table_for_each_code(codec: ReadyCodec) -> None:
    training, measured = (
        np.concatenate([codec.encode(noise(i, 1.0).samples).codes[0] for i in seeds])
        for seeds in ((0, 1, 2, 3), (7, 8))
    )
    static = tables.fit(tables.count(training, (63,) * 32), (63,) * 32)
    assert measure(codec, 1.0).static_kbps == pytest.approx(tables.ideal_bits(measured, static) / 12 / 1000)


def test_the_file_says_what_the_lines_say(
    codec: ReadyCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contexts.cli, "load_codecs", lambda paths: {"mdct": codec})
    monkeypatch.setattr(contexts.cli, "load_clips", lambda root, codec, limit: [noise(7, 1.0)])
    monkeypatch.setattr(contexts, "training_clips", lambda root, codec, seconds: [noise(0, 1.0)])
    contexts.run(contexts.Options("mdct", output=str(tmp_path / "out.json")))
    (row,) = json.loads((tmp_path / "out.json").read_text())
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line[:4] == [
        "0", f"{row['static_kbps']:.3f}", f"{row['context_kbps']:.3f}", f"{row['saved_percent']:.1f}",
    ]  # fmt: skip


def test_a_run_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        contexts.main(["--ckpt", str(tmp_path / "nothing")])
    assert "nothing" in capsys.readouterr().err
