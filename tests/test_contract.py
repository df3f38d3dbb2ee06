"""What every registered family keeps to, so that training, files and evaluation need not ask which model they hold."""

import dataclasses
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zoo
from configs import loading
from configs.base import Config, Corruption, Discriminator, LossWeights, Optim
from train.devices import parallel
from train.run.checkpoints import Checkpoints
from train.step.state import create_state
from train.step.step import make_step
from train.step.tasks import make_task
from zoo.bitstream.entropy import Fitter
from zoo.random_weights import random_like
from zoo.verify import DIFFERENT_CODES

SMALL = {
    "autoencoder": {
        "sample_rate": 8000,
        "hop_length": 40,
        "latent_dim": 8,
        "levels": (9, 4),
        "width": 16,
        "n_blocks": 1,
    },
    "vae": {"sample_rate": 8000, "latent_dim": 8, "widths": (8, 8), "strides": (5, 8), "dilations": (1,)},
    "gan_vocoder": {
        "sample_rate": 8000,
        "n_fft": 80,
        "hop_length": 40,
        "latent_dim": 8,
        "encoder_width": 16,
        "encoder_blocks": 1,
        "decoder_width": 16,
        "decoder_blocks": 1,
        "n_codebooks": 3,
        "codebook_size": 16,
        "code_dim": 4,
    },
    # steps so coarse that rounding errors hardly ever change a code, from which noise is drawn
    "spectral": {
        "sample_rate": 8000,
        "hop_length": 40,
        "width": 16,
        "n_blocks": 1,
        "coarsest": 8.0,
        "finest": 0.5,
        "n_levels": 4,
        "default_level": 2,
    },
    "denoiser": {"sample_rate": 8000, "n_fft": 120, "hop_length": 40, "width": 16, "n_blocks": 2, "dilations": (1, 2)},
}
"""Hyper-parameters per family with which a test takes seconds: 8 kHz, 40 samples a frame."""

HOP, LENGTH, BATCH = 40, 640, 4
CROP = 24 * HOP

pytestmark = pytest.mark.usefixtures("quick_module")


def small_config(family: str) -> Config:
    """The family's own experiment, shrunk; with adversaries from the start where it has any."""
    config = loading.get(family)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **SMALL[family]),
        steps=10,
        batch_size=BATCH,
        adversarial_start=min(config.adversarial_start, 0),
        loss=dataclasses.replace(config.loss, mel=0.0, waveform_l1=1.0),
        corruption=Corruption(kinds=("clicks",)),
        optim=Optim(warmup_steps=1),
        discriminator=Discriminator(periods=(2,), fft_sizes=(64,), period_channels=2, stft_channels=2, n_layers=1),
    )


ADVERSARIAL = [name for name in zoo.names() if small_config(name).adversarial_start >= 0]


class Recorded(NamedTuple):
    gate: jax.Array
    gradients: optax.Updates
    inner: optax.OptState


def recorded(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimiser; its state keeps the gradients that came in, and a factor on the updates that go out."""

    def init(params):
        return Recorded(jnp.ones(()), jax.tree.map(jnp.zeros_like, params), inner.init(params))

    def update(gradients, state, params=None):
        updates, after = inner.update(gradients, state.inner, params)
        updates = jax.tree.map(lambda u: state.gate * u, updates)
        return updates, Recorded(state.gate, gradients, after)

    return optax.GradientTransformation(init, update)


class Training:
    """A small task of one family, a state of random parameters, a batch, and the step over any number of devices."""

    def __init__(self, family: str) -> None:
        self.config = small_config(family)
        rng = np.random.default_rng(0)
        self.batch = {
            "audio": (0.3 * rng.standard_normal((BATCH, CROP, 1))).astype(np.float32),
            "index": np.arange(100, 100 + BATCH, dtype=np.int32),
        }
        self.task, self.step, self.state = self._prepare(recorded)
        # to compare gradients; without Adam, which takes half of the time to compile
        _, self._bare_step, self._bare_state = self._prepare(lambda _: recorded(optax.identity()))
        self._mapped = None

    def _prepare(self, wrap):
        task = make_task(self.config)
        task.optimiser, task.discriminator_optimiser = wrap(task.optimiser), wrap(task.discriminator_optimiser)
        shapes = jax.eval_shape(lambda: create_state(task, seed=0))
        state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
        params = random_like(shapes.params)
        state = state.replace(
            params=params,
            ema=params,
            discriminator=random_like(shapes.discriminator, seed=1),
            opt_state=state.opt_state._replace(gate=np.float32(1)),
            discriminator_opt_state=state.discriminator_opt_state._replace(gate=np.float32(1)),
        )
        return task, make_step(task, adversarial=task.adversarial), state

    def _place(self, state, batch, n_devices):
        mesh = parallel.make_mesh(jax.devices()[:n_devices])
        return mesh, parallel.replicate(state, mesh), parallel.shard_batch(batch, mesh)

    def run(self, state=None, batch=None):
        """One step on one device: state and metrics, on the host."""
        mesh, *args = self._place(state or self.state, batch or self.batch, 1)
        if self._mapped is None:
            self._mapped = parallel.map_step(self.step, mesh).lower(*args).compile()
        return jax.device_get(self._mapped(*args))

    def gradients(self, n_devices):
        """The step under jit(shard_map), as the loop maps it: state and metrics."""
        mesh, *args = self._place(self._bare_state, self.batch, n_devices)
        return jax.device_get(parallel.map_step(self._bare_step, mesh).lower(*args).compile()(*args))

    def gradients_by_pmap(self, n_devices):
        mapped = jax.pmap(self._bare_step, axis_name="data", devices=jax.devices()[:n_devices])
        state = jax.tree.map(lambda x: np.broadcast_to(x, (n_devices, *np.shape(x))), self._bare_state)
        batch = {name: x.reshape(n_devices, -1, *x.shape[1:]) for name, x in self.batch.items()}
        result = jax.device_get(mapped.lower(state, batch).compile()(state, batch))
        jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[-1]), result)  # replicas do not drift apart
        return jax.tree.map(lambda x: x[0], result)


# of the module, so that all tests of a family run in a row and share what was compiled
@pytest.fixture(scope="module", params=zoo.names())
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def training(family) -> Training:
    return Training(family)


@pytest.fixture(scope="module")
def codec(training) -> zoo.ReadyCodec:
    """The family's small codec, ready to use, with the same random parameters."""
    module, model = training.task.module, training.config.model
    metadata = {"family": model.family, "model": model.kwargs()}
    return zoo.ReadyCodec(
        module, {"params": training.state.params}, Fitter(module.bottleneck.symbols()).fit(), metadata
    )


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def assert_trees_close(actual, expected, rtol: float) -> None:
    """Every leaf, relative to its largest value."""
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        scale = max(float(np.abs(b).max(initial=0.0)), 1e-6)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * scale, err_msg=jax.tree_util.keystr(path))


def assert_trees_equal(actual, expected) -> None:
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def differs(a, b) -> bool:
    return any(not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_every_registered_family_is_tested():
    assert set(SMALL) == set(zoo.names())


def test_the_codec_keeps_its_promises(codec):
    audio = noise(LENGTH, 1)
    if codec.symbols.codebook_sizes:
        assert len(np.unique(codec.encode(audio).codes)) > 2
    zoo.verify_codec(codec, audio)


@pytest.mark.skipif(jax.device_count() < 4, reason="needs four devices")
def test_codes_are_those_of_one_device_and_of_no_compiler(codec):
    if not codec.symbols.codebook_sizes:
        pytest.skip("it has no codes")
    clips = noise(4, LENGTH // 2, 1)

    def codes(variables, audio):
        return codec.module.apply(
            variables, codec.module.apply(variables, audio, method="encode"), method="quantise"
        ).codes

    one = np.asarray(jax.jit(codes)(codec.variables, clips))
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])
    everywhere, split = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in ((), ("data",)))
    several = jax.jit(codes, in_shardings=(everywhere, split))(codec.variables, clips)
    assert len(several.sharding.device_set) == 4
    assert len(np.unique(one)) > 2
    for other in (several, codes(codec.variables, clips[:1])):
        assert np.mean(one[: len(other)] != other) <= DIFFERENT_CODES


@pytest.mark.skipif(jax.device_count() < 4, reason="needs four devices")
def test_one_device_is_several_and_pmap_is_shard_map(family, training):
    reference, metrics = training.run()
    layouts = {"shard_map over 4": training.gradients(4)}
    if family in ADVERSARIAL:  # the step has all of its parts there
        layouts["pmap over 2"] = training.gradients_by_pmap(2)
    named = {f.name for f in dataclasses.fields(LossWeights)} | {"loss", "discriminator"}
    spectral = {"complex_stft", "compressed_magnitude", "audible_mel"}
    assert len(({"loss", "waveform_l1"} | spectral) & named & set(metrics)) >= 3
    for layout, (state, other) in layouts.items():
        for name in named & set(metrics):
            np.testing.assert_allclose(other[name], metrics[name], rtol=1e-4, err_msg=f"{layout}: {name}")
        # before clipping and Adam, either of which hides a factor
        assert_trees_close(state.opt_state.gradients, reference.opt_state.gradients, rtol=1e-3)
        gradients = state.discriminator_opt_state.gradients
        assert_trees_close(gradients, reference.discriminator_opt_state.gradients, rtol=1e-3)


def test_noise_belongs_to_the_example_wherever_it_is_computed(training):
    task = training.task
    apply = jax.jit(lambda params, batch: task.apply(params, task.inputs(batch)))
    output = apply(training.state.params, training.batch)
    moved = apply(training.state.params, {name: x[::-1] for name, x in training.batch.items()})
    for loss, value in output.losses.items():
        np.testing.assert_allclose(moved.losses[loss][::-1], value, rtol=1e-5)
    np.testing.assert_allclose(moved.audio[::-1], output.audio, atol=1e-5)


@pytest.mark.parametrize("family", ADVERSARIAL, indirect=True)
def test_generator_and_discriminator_leave_each_other_alone(training):
    started, _ = training.run()  # the learning rate of the very first step is zero
    state, metrics = training.run(started)
    assert differs(state.params, started.params)
    assert differs(state.discriminator, started.discriminator)
    # without the discriminators' update, the generator's is the same bit for bit
    frozen = started.discriminator_opt_state._replace(gate=np.float32(0))
    alone, _ = training.run(started.replace(discriminator_opt_state=frozen))
    assert_trees_equal(alone.discriminator, started.discriminator)
    assert_trees_equal((alone.params, alone.ema, alone.opt_state), (state.params, state.ema, state.opt_state))
    # and the other way round: the discriminators judge the output that the generator had before its update
    frozen = started.opt_state._replace(gate=np.float32(0))
    alone, _ = training.run(started.replace(opt_state=frozen))
    assert_trees_equal(alone.params, started.params)
    assert_trees_equal(alone.discriminator, state.discriminator)
    # the warm-up phase does not know them at all
    warm_up = jax.eval_shape(
        jax.vmap(make_step(training.task, adversarial=False), in_axes=(None, 0), axis_name="data"),
        training.state,
        {name: x[None] for name, x in training.batch.items()},
    )[1]
    assert set(metrics) - set(warm_up) >= {"discriminator", "adversarial", "feature_matching"}


def test_a_batch_that_is_not_finite_changes_nothing(training):
    audio = training.batch["audio"].copy()
    audio[2, 100] = np.nan
    started, _ = training.run()
    state, metrics = training.run(started, {**training.batch, "audio": audio})
    for part in ("params", "ema", "opt_state", "discriminator", "discriminator_opt_state"):
        assert_trees_equal(getattr(state, part), getattr(started, part))
    assert (state.step, state.skipped, state.skipped_in_a_row) == (2, 1, 1)
    assert (metrics["skipped"], metrics["skipped_in_a_row"]) == (1, 1)
    assert not np.isfinite(metrics["loss"])
    state, metrics = training.run(state)
    assert (state.step, state.skipped, state.skipped_in_a_row) == (3, 1, 0)
    assert differs(state.params, started.params)


def test_saved_is_loaded_and_resumed(training, codec, tmp_path):
    state, _ = training.run()
    state = state.replace(ema=codec.variables["params"])
    checkpoints = Checkpoints(tmp_path, training.config)
    checkpoints.save(state, codec.entropy)
    checkpoints.close()
    loaded = zoo.load(tmp_path)
    audio = noise(LENGTH, 1)
    latents = loaded.encode_latents(audio)
    np.testing.assert_array_equal(latents, codec.encode_latents(audio))
    np.testing.assert_array_equal(loaded.decode_latents(latents), codec.decode_latents(latents))
    if codec.symbols.codebook_sizes:
        np.testing.assert_array_equal(loaded.encode(audio).codes, codec.encode(audio).codes)
    # resumed into a state of another seed: nothing of that may be left
    mesh = parallel.make_mesh(jax.devices()[:1])
    again = Checkpoints(tmp_path, training.config)
    template = jax.tree.map(lambda x: np.full_like(x, 7), training.state)
    resumed = jax.device_get(again.restore(template, mesh))
    again.close()
    assert_trees_equal(resumed, state)
    assert_trees_equal(training.run(resumed), training.run(state))


def test_the_config_survives_json(training):
    again = loading.from_dict(json.loads(json.dumps(loading.to_dict(training.config))))
    assert again == training.config
    assert again.model.kwargs() == training.config.model.kwargs()


def test_an_untrained_autoencoder_without_quantisation_is_transparent():
    for channels in (1, 2):
        codec = zoo.create(
            "autoencoder",
            sample_rate=8000,
            channels=channels,
            hop_length=HOP,
            latent_dim=HOP * channels,
            levels=(65_535,),
            n_blocks=0,
            companding=1.0,
            latent_scale=1000.0,
        )
        audio = noise(1, LENGTH + 7, channels)
        decoded = jax.jit(lambda audio, codec=codec: codec.init_with_output(jax.random.key(0), audio)[0].audio)(audio)
        snr_db = 10 * np.log10(np.square(audio).sum() / np.square(audio - decoded).sum())
        assert snr_db > 40


def test_half_precision_computes_alike_and_speaks_float32(family, codec):
    half = zoo.create(family, **SMALL[family], dtype=jnp.bfloat16)
    audio = noise(1, LENGTH, 1)
    latent = jax.jit(lambda v: half.apply(v, audio, method="encode"))(codec.variables)
    exact = jax.jit(lambda v: codec.module.apply(v, audio, method="encode"))(codec.variables)
    assert latent.dtype == jnp.float32
    error = float(jnp.abs(latent - exact).max() / jnp.abs(exact).max())
    assert 0 < error < 0.05  # it did compute in half precision, and the same thing
