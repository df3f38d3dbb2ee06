"""Something else in the place of a codec, a prior, or what is made of one: told in a line what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.zoo.conftest import RATE, make, sound
from zoo.published.precision import rounded
from zoo.saved import onnx_export

CODEC = "codec must be what zoo.load(…) gives, of type ReadyCodec, got "
PRIOR = "prior must be what zoo.generating.load(…) gives, of type ReadyPrior, got "
WRONG = {
    "'runs/vae'": lambda: "runs/vae",
    "None": lambda: None,
    "a Codec": lambda: make("vae").module,
    "the class ReadyCodec": lambda: zoo.ReadyCodec,
}
CLIP = sound(800)


@pytest.mark.parametrize("said", WRONG)
@pytest.mark.parametrize(
    "use",
    [
        lambda codec: zoo.denoise(codec, CLIP),
        lambda codec: zoo.export(codec, "out"),
        lambda codec: onnx_export.export(codec, "out"),
        lambda codec: rounded(codec, "float32"),
        lambda codec: zoo.editing.fit_filter(codec, lambda audio: audio),
        lambda codec: zoo.editing.fit_equaliser(codec, "200:-3"),
        lambda codec: zoo.recognise.embedder(codec),
        lambda codec: zoo.recognise.update("sounds", codec),
        lambda codec: zoo.recognise.query(codec, None, CLIP, RATE),
    ],
)
def test_what_is_no_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Any], Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(zoo.ZooError, match=f"^{re.escape(CODEC + said)}$"):
        use(WRONG[said]())
    assert not list(tmp_path.iterdir())


def test_a_verification_takes_bare_modules_but_nothing_else() -> None:
    with pytest.raises(zoo.ZooError, match=re.escape(CODEC + "'runs/vae'")):
        zoo.verify_codec("runs/vae", CLIP)  # type: ignore[arg-type]


@pytest.mark.parametrize("said", ["'runs/vae'", "a Codec", "the class ReadyCodec"])
@pytest.mark.parametrize(
    "use",
    [
        lambda prior: zoo.generate(prior, seconds=1),
        lambda prior: zoo.generating.vary(prior, CLIP, strength=0.3),
        lambda prior: zoo.generating.fill(prior, CLIP, RATE, start_s=0.01, seconds=0.01),
        lambda prior: zoo.generating.extend(prior, CLIP, seconds=0.01),
    ],
)
def test_what_is_no_prior(use: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(zoo.ZooError, match=f"^{re.escape(PRIOR + said)}$"):
        use(WRONG[said]())


def test_none_is_a_prior_only_where_short_gaps_need_none() -> None:
    with pytest.raises(zoo.ZooError, match=re.escape(PRIOR + "None")):
        zoo.generate(None, seconds=1)  # type: ignore[arg-type]
    with pytest.raises(zoo.ZooError, match="without a prior, sample_rate must be given"):
        zoo.generating.extend(None, CLIP, seconds=0.01)
    assert zoo.generating.extend(None, CLIP, RATE, seconds=0.01).shape == (1, 880, 1)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: zoo.denoising.StreamDenoiser(make("vae"), RATE, 1), "engine must be what codec.engine gives"),
        (lambda: zoo.editing.frame_offset(make("vae")), "module must be what codec.module gives"),
        (lambda: zoo.recognise.query(make("vae"), "x", CLIP, RATE), "index must be what zoo.recognise.update(…) gives"),
        (lambda: zoo.recognise.vectors(make("vae"), CLIP, RATE), "extractor must be what zoo.recognise.embedder(…)"),
        (lambda: zoo.recognise.vectors(make("vae").module, CLIP, RATE), "extractor must be what zoo.recognise.embedde"),
        (lambda: zoo.recognise.make(None, None, ("latent",)), "fitted must be what zoo.recognise.fit(…) gives"),
        (lambda: zoo.recognise.save(None, "p.safetensors"), "probe must be what zoo.recognise.load(…) gives"),
        (lambda: zoo.recognise.folds("sounds"), "labelled must be what zoo.recognise.read_labelled(…) gives"),
        (
            lambda: zoo.generating.fill(None, CLIP, RATE, start_s=0.01, seconds=0.01, sampling={"seed": 1}),
            "sampling must be what zoo.generating.Sampling(…) gives, of type Sampling, got a dict",
        ),
    ],
)
def test_what_is_made_of_a_codec(use: Callable[[], Any], said: str) -> None:
    with pytest.raises(zoo.ZooError, match=re.escape(said)):
        use()
