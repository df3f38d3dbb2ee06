"""What the pure functions of a codec refuse, while they are traced: nothing is compiled here."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.codec import parameter_shapes
from zoo.errors import ZooError

MODULE = zoo.create("gan_vocoder", n_fft=16, hop_length=8, latent_dim=4, n_codebooks=3, codebook_size=4)


def traced(*shape: int, method: str | None = None, **arguments: Any) -> Any:
    """What a method gives, in shapes, for audio of a shape; `arguments` are values, as in a program of one's own."""
    audio = jax.ShapeDtypeStruct(shape, jnp.float32)
    apply = lambda v, x: MODULE.apply(v, x, method=method, **arguments)  # noqa: E731
    return jax.eval_shape(apply, {"params": parameter_shapes(MODULE)}, audio)


@pytest.mark.parametrize("shape", [(64,), (64, 1), (2, 64, 2), (1, 2, 64, 1)])
def test_audio_of_another_shape_is_named(shape: tuple[int, ...]) -> None:
    for method in (None, "encode"):
        with pytest.raises(ZooError, match=rf"audio must be \(B, T, C\) with C = 1, got shape \({shape[0]},"):
            traced(*shape, method=method)


def test_keys_are_one_for_each_example() -> None:
    # of a batch of one, noise of three examples made a batch of three
    keys, old = jax.random.key(0), jax.random.PRNGKey(0)
    for n, wrong in ((1, jax.random.split(keys, 3)), (2, keys), (2, old), (3, jax.random.split(old))):
        with pytest.raises(ZooError, match=f"keys must be one for each of {n} examples"):
            traced(n, 64, 1, keys=wrong)
    for right in (keys, old):
        assert traced(2, 64, 1, keys=jax.random.split(right)).audio.shape == (2, 64, 1)


@pytest.mark.parametrize("level", [-1, 3, np.array([0, 3])])
def test_a_level_that_there_is_not_is_refused_where_it_is_known(level: Any) -> None:
    codes = jnp.zeros((2, 8, 3), jnp.int32)
    variables = {"params": parameter_shapes(MODULE)}
    with pytest.raises(ZooError, match="is none of 0 to 2"):
        traced(2, 64, 1, level=level)
    for method in ("dequantise", "decode_codes"):
        with pytest.raises(ZooError, match="is none of 0 to 2"):
            jax.eval_shape(lambda v, method=method: MODULE.apply(v, codes, level=level, method=method), variables)
    assert traced(2, 64, 1, level=np.array([0, 2])).codes.shape == (2, 8, 3)


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("vae", {"latent_dim": 0}, "'vae': latent_dim must be positive, got 0"),
        ("vae", {"sample_rate": -1}, "sample_rate must be positive, got -1"),
        ("vae", {"sample_rate": "24k"}, "'vae': sample_rate must be a number, got '24k'"),
        ("gan_vocoder", {"n_codebooks": 0}, "n_codebooks must be positive, got 0"),
        ("autoencoder", {"companding": float("nan")}, "companding must be a finite number, got nan"),
        ("autoencoder", {"latent_scale": -1.0}, "latent_scale must be positive, got -1.0"),
    ],
)
def test_hyper_parameters_that_no_model_can_have(family, options, said):
    with pytest.raises(ZooError, match=said):
        zoo.create(family, **options)
