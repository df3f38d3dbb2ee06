"""Codecs whose networks compute in bfloat16: files are the same codec's, and codes that would be others are refused."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from tests.zoo.conftest import music
from zoo import families
from zoo.__main__ import main
from zoo.errors import ZooError

CLIP = music(12_000, channels=1).astype(np.float32)


@pytest.fixture
def vae(build):
    return build("vae")


def test_files_of_either_precision_are_decoded_by_both(quick, vae):
    narrow = vae.with_precision("bfloat16")
    assert narrow.digest == vae.digest
    blob = narrow.compress(CLIP, 11_025, level=1)
    exact, rounded = (codec.decompress(blob).audio for codec in (vae, narrow))
    assert rounded.dtype == np.float32
    error = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < 0.1
    assert np.array_equal(narrow.with_precision("float32").decompress(blob).audio, exact)


def test_what_would_have_other_codes_only_decodes(quick, build):
    codec = build("gan_vocoder")
    narrow = codec.with_precision("bfloat16")
    encoded = codec.encode(CLIP)
    for refused in (
        lambda: narrow.encode(CLIP),
        lambda: narrow.compress(CLIP, 8_000),
        lambda: narrow.compress(CLIP, 8_000, bitrate=3.0),
        lambda: narrow.stream_encoder(8_000, 1),
    ):
        with pytest.raises(ZooError, match="bfloat16 more than 5 of 1,000 codes would be others"):
            refused()
    exact, rounded = codec.encode_latents(CLIP), narrow.encode_latents(CLIP)
    assert 1e-5 < np.abs(rounded - exact).max() / np.abs(exact).max() < 0.1
    exact, rounded = codec.decode(encoded), narrow.decode(encoded)
    assert 1e-5 < np.abs(rounded - exact).max() / np.abs(exact).max() < 0.2


def test_the_networks_of_measured_families_hold_their_codes():
    assert {name for name in families.names() if families.create(name).codes_hold} == {"autoencoder", "spectral", "vae"}


def test_bad_precisions(vae, monkeypatch):
    assert vae.with_precision("float32") is vae
    with pytest.raises(ZooError, match="'int8': choose float32 or bfloat16"):
        vae.with_precision("int8")

    def fixed(name, **given):
        raise ZooError(f"model {name!r} has no hyper-parameter 'dtype'")

    monkeypatch.setattr(families, "create", fixed)
    with pytest.raises(ZooError, match="vae computes in float32 alone"):
        vae.with_precision("bfloat16")


def test_the_commands_take_it(quick, here, vae, monkeypatch):
    for command in ("encode", "decode"):
        monkeypatch.setattr(f"zoo.commands.{command}.find_codec", lambda *_: vae)
    main(["encode", "song.wav", "song.zac", "--precision", "bfloat16"])
    main(["decode", "song.zac", "narrow.wav", "--precision", "bfloat16", "--subtype", "FLOAT"])
    main(["decode", "song.zac", "wide.wav", "--subtype", "FLOAT"])
    narrow, wide = (zoo.audio.read(here / name).samples for name in ("narrow.wav", "wide.wav"))
    assert narrow.shape == wide.shape
    assert 1e-5 < np.abs(narrow - wide).max() / np.abs(wide).max() < 0.1
