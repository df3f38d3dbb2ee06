"""What the loop trains: a codec's inputs, outputs and losses behind a few methods.

The step and the loop know nothing of encoders or bottlenecks; a task is where they meet.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import optax

from configs.base import Config, LossWeights, Published, Schedule, Weight
from train.step import freezing, losses, mixing, optim
from train.step.corrupt import corrupt
from train.step.rematerialisation import rematerialised
from zoo import families
from zoo.codec import Codec, CodecOutput
from zoo.errors import ZooError
from zoo.nn.bottlenecks import LearntCodebooks
from zoo.nn.discriminators import Discriminators, Verdict

Params = Any


class CodecTask:
    """A codec trained to reproduce its input."""

    restores = False
    """whether the input is other than what is to come out"""

    def __init__(self, config: Config, extra_losses: Mapping[str, losses.Reconstruction] | None = None) -> None:
        """Builds the model of `config` and what its losses take.

        `extra_losses` are reconstruction losses of the caller's own, by name; `config.loss` is then an instance of a
        subclass of LossWeights that has a field, the weight, for each. Raises ZooError for an unknown model, for losses
        that cannot be had together, weights that are negative or no numbers, and where extra losses and their weights
        do not match.
        """
        dtype = jnp.dtype(config.precision)
        self.config = config
        self.module: Codec = self._create_module(dtype)
        d = config.discriminator
        self.discriminators = Discriminators(
            d.periods,
            d.fft_sizes,
            period_channels=d.period_channels,
            stft_channels=d.stft_channels,
            max_channels=d.max_channels,
            n_layers=d.n_layers,
            dtype=dtype,
        )
        self.adversarial = config.adversarial_start >= 0 and _is_on(config.loss.adversarial)
        if config.adversarial_start >= 0 and not self.adversarial:
            raise ZooError(
                f"adversarial_start is {config.adversarial_start}, but loss.adversarial is 0: give that a weight, or "
                "leave adversarial_start at -1"
            )
        self._extra = dict(extra_losses or {})
        _check_extra_names(config.loss, self._extra)
        self._reconstruction = losses.reconstruction_losses(self.module.sample_rate) | self._extra
        self.learnt_codebooks: LearntCodebooks | None = self.module.bottleneck.learnt_codebooks
        for field in fields(config.loss):
            optim.check_weight(getattr(config.loss, field.name), f"loss.{field.name}")
        self._weights = {
            field.name: optim.schedule(weight, f"loss.{field.name}")
            for field in fields(config.loss)
            if _is_on(weight := getattr(config.loss, field.name))
        }
        self._on_audio = (*self._reconstruction, *losses.ADVERSARIAL)
        self.balanced = tuple(
            name for name in self._on_audio if name in self._weights and self.adversarial and config.optim.balancer
        )
        self._check_balanced()
        codebooks = self.learnt_codebooks and self.learnt_codebooks.leaf
        self.optimiser = optim.optimiser(
            config.optim, config.optim.learning_rate, config.steps, config.freeze, codebooks
        )
        self.discriminator_optimiser = optim.optimiser(
            config.optim,
            config.optim.discriminator_learning_rate,
            max(config.steps - max(config.adversarial_start, 0), 1),
        )

    def _create_module(self, dtype: Any) -> Any:
        config = self.config
        module = families.create(config.model.family, **config.model.kwargs(), dtype=dtype)
        if not module.bottleneck.symbols().codebook_sizes and not self.restores:
            raise ZooError(
                f"model {config.model.family!r} has no codes, only latents: there is nothing to train for but "
                "--task denoise"
            )
        return module

    @functools.cached_property
    def learning_rates(self) -> dict[str, optax.Schedule]:
        """What the log gets, as functions of the number of steps before."""
        config = self.config
        start = max(config.adversarial_start, 0)
        rates = {"learning_rate": optim.learning_rate(config.optim, config.optim.learning_rate, config.steps)}
        if self.adversarial:
            peak = config.optim.discriminator_learning_rate
            rate = optim.learning_rate(config.optim, peak, max(config.steps - start, 1))
            rates["discriminator_learning_rate"] = lambda step: jnp.where(step < start, 0.0, rate(step - start))
        return rates

    def init(self, key: jax.Array) -> Params:
        """Raises ZooError for a loss that the model does not have, and for a frozen part that it does not have.

        And for an extra loss whose result has another shape than (B,).
        """
        audio = self._example()
        self._check_extra_shapes()
        keys = jax.random.split(key, 1)
        init = jax.jit(lambda k: self.module.init(k, audio, keys=keys))  # traced once, for its shapes and to be run
        self._check_losses()
        freezing.check(jax.eval_shape(init, key)["params"], self.config.freeze)
        return init(key)["params"]

    def init_discriminator(self, key: jax.Array) -> Params:
        if not self.adversarial:
            return {}
        audio = self._example()
        return jax.jit(self.discriminators.init)(key, audio)["params"]

    def has_trainable_codebooks(self, params: Params) -> bool:
        """Whether there are learnt codebooks that are not frozen."""
        if self.learnt_codebooks is None:
            return False
        return bool(freezing.trainable_mask(params, self.config.freeze)["bottleneck"][self.learnt_codebooks.leaf])

    def restarts_codebooks(self, params: Params) -> bool:
        """Whether dead entries begin anew; not those of others, which new audio may only rarely ask for."""
        begun = self.config.init is not None
        return self.config.codebooks.restart_below > 0 and not begun and self.has_trainable_codebooks(params)

    def initial_usage(self, params: Params) -> Any:
        """Uniform frequencies (Q, K) of the entries of learnt codebooks; {} where there are none."""
        if self.learnt_codebooks is None:
            return {}
        n_codebooks, n_entries, _ = params["bottleneck"][self.learnt_codebooks.leaf].shape
        return jnp.full((n_codebooks, n_entries), 1 / n_entries, jnp.float32)

    def inputs(self, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Arguments of the module, and the PRNG key of each example: a function of (seed, example) alone."""
        seed = jax.random.key(self.config.seed)
        keys = jax.vmap(lambda index: jax.random.fold_in(seed, index))(batch["index"])
        return {"audio": batch["audio"], "keys": keys}

    def target(self, batch: dict[str, jax.Array]) -> jax.Array:
        """What is to come out, (B, T, C)."""
        return batch["audio"]

    def apply(self, params: Params, inputs: dict[str, jax.Array]) -> CodecOutput:
        # no gradient is computed for what is frozen, nor for what only leads there
        params = freezing.stop_frozen(params, self.config.freeze)
        with rematerialised(self.config.rematerialise):
            output: CodecOutput = self.module.apply({"params": params}, inputs["audio"], keys=inputs["keys"])  # type: ignore[assignment]
        return output

    def discriminate(self, params: Params, audio: jax.Array) -> list[Verdict]:
        with rematerialised(self.config.rematerialise):
            verdicts: list[Verdict] = self.discriminators.apply({"params": params}, audio)  # type: ignore[assignment]
        return verdicts

    def model_losses(self, output: CodecOutput) -> dict[str, jax.Array]:
        """Losses with a weight of which only the model knows, unweighted, (B,) each."""
        return {name: loss for name, loss in output.losses.items() if name in self._weights}

    def mix_losses(
        self, params: Params, output: CodecOutput, inputs: dict[str, jax.Array], index: jax.Array
    ) -> dict[str, jax.Array]:
        """How far the latents of examples `index` (B,) are from mixing as their audio does, (B,); {} without a weight.

        `output` is that of `inputs`. (After Torres et al., "Learning linearity in audio consistency autoencoders",
        2025, who train on mixes of latents.)
        """
        if mixing.LOSS not in self._weights:
            return {}
        mix = mixing.mixing(index, seed=self.config.seed, axis_name="data")
        variables = {"params": freezing.stop_frozen(params, self.config.freeze)}
        of_batch = (inputs["audio"], output.latent, output.audio, inputs["keys"])
        with rematerialised(self.config.rematerialise):
            loss: Any = self.module.apply(variables, *of_batch, mix, method=mixing.inconsistency_db)
        return {mixing.LOSS: loss}

    def reconstruction_losses(self, real: jax.Array) -> list[Callable[[jax.Array], dict[str, jax.Array]]]:
        """Losses with a weight that compare audio (B, T, C) with `real`, a function each: unweighted, {name: (B,)}."""

        def named(name: str, function: Callable[[jax.Array, jax.Array], jax.Array]) -> Any:
            return lambda fake: {name: function(real, fake)}

        return [named(name, function) for name, function in self._reconstruction.items() if name in self._weights]

    def adversarial_losses(self, discriminator: Params, real: jax.Array, fake: jax.Array) -> dict[str, jax.Array]:
        """The generator's side, (B,) each."""
        kind = self.config.discriminator.loss
        # not a function of the generator, and not to be differentiated as one
        real_verdicts = self.discriminate(discriminator, real)
        fake_verdicts = self.discriminate(discriminator, fake)
        named = {"adversarial": losses.generator_adversarial(fake_verdicts, kind)}
        if "feature_matching" in self._weights:
            named["feature_matching"] = losses.feature_matching(real_verdicts, fake_verdicts)
        return named

    def discriminator_loss(self, discriminator: Params, real: jax.Array, fake: jax.Array) -> jax.Array:
        """The discriminators' side, (B,)."""
        real_verdicts, fake_verdicts = self.discriminate(discriminator, real), self.discriminate(discriminator, fake)
        return losses.discriminator_adversarial(real_verdicts, fake_verdicts, self.config.discriminator.loss)

    def _check_losses(self) -> None:
        known = self.module.bottleneck.loss_names
        asked = [name for name in self._weights if name not in (*self._on_audio, mixing.LOSS)]
        family = self.config.model.family
        has = ", ".join(sorted(known)) or "none of its own"
        if isinstance(self.config.model, Published) and asked and not set(asked) & set(known):
            off = " ".join(f"--loss.{name} 0" for name in asked) + " --freeze bottleneck"
            raise ZooError(
                f"{family!r} cannot be trained with the recipe of {self.config.model.recipe!r}: quantisers learn by "
                f"the losses {', '.join(asked)}, and {family!r} has {has}; {off} trains what is around"
            )
        for name in asked:
            if name not in known:
                raise ZooError(f"loss.{name} is set, but model {family!r} has no such loss; it has: {has}")

    def _check_balanced(self) -> None:
        """Raises ZooError where schedules take to 0 what the balanced gradient has its norm from (`balanced_norm`)."""
        config, last = self.config, self.config.steps - 1
        names = [name for name in self.balanced if name in self._reconstruction] or list(self.balanced)
        weights = {name: getattr(config.loss, name) for name in names}
        left = [
            name
            for name, weight in weights.items()
            if not isinstance(weight, Schedule) or weight.end or (weight.start and weight.steps > last)
        ]
        if names and not left and config.adversarial_start + config.discriminator.warmup_steps <= last:
            ending = ", ".join(f"loss.{name}" for name in names)
            raise ZooError(
                f"{ending}: 0 by step {last}, which leaves the generator no gradient, since losses are balanced to "
                "the norm of these: keep one above 0, or leave optim.balancer off"
            )

    def _check_extra_shapes(self) -> None:
        module = self.module
        n_samples = max(round(self.config.data.segment_s * module.frame_rate_hz), 1) * module.hop_length
        crops = jax.ShapeDtypeStruct((2, n_samples, module.channels), jnp.float32)
        for name, function in self._extra.items():
            shape = jax.eval_shape(function, crops, crops).shape
            if shape != (2,):
                raise ZooError(f"extra loss {name!r} gives {shape} for a batch of 2; it must give one value each: (2,)")

    def _example(self) -> jax.Array:
        """Audio of the shape that initialises; parameters do not depend on its length."""
        return jnp.zeros((1, 4 * self.module.hop_length, self.module.channels))

    def weights(self, names: Iterable[str], step: jax.Array) -> dict[str, jax.Array]:
        """The weights of these losses at a step."""
        return {name: jnp.asarray(self._weights[name](step), jnp.float32) for name in names}

    def balanced_norm(self, average: dict[str, jax.Array], weights: dict[str, jax.Array]) -> jax.Array:
        """Norm that the balanced losses' gradients on the waveform have together: that of the reconstruction by itself.

        As if only its losses were there, with their weights: what the model's own losses are weighed against stays
        what it was before the discriminators joined. (EnCodec takes a constant.)
        """
        names = [name for name in average if name in self._reconstruction] or list(average)
        return sum((weights[name] * average[name] for name in names), jnp.zeros(()))

    def total(self, named: dict[str, jax.Array], step: jax.Array) -> jax.Array:
        """Weighted sum of the batch's mean losses."""
        return sum((self._weights[name](step) * loss.mean() for name, loss in named.items()), jnp.zeros(()))


class DenoiseTask(CodecTask):
    """A model trained to give back what its input was before it was corrupted."""

    restores = True

    def inputs(self, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Arguments of the module: corrupted crops, of each example a function of (seed, example) alone."""
        noisy = corrupt(
            batch.get("coded", batch["audio"]),
            batch["index"],
            self.config.corruption,
            seed=self.config.seed,
            sample_rate=self.module.sample_rate,
            recordings=batch.get("noise"),
        )
        return super().inputs(batch | {"audio": noisy})


def _check_extra_names(weights: LossWeights, extra: Iterable[str]) -> None:
    """Raises ZooError unless the fields of `weights` beyond those of LossWeights are just the names of `extra`."""
    ours = {field.name for field in fields(LossWeights)}
    weighted = {field.name for field in fields(weights)} - ours
    for name in extra:
        if name in ours:
            raise ZooError(f"extra loss {name!r} has the name of a loss that is there already: choose another one")
        if name not in weighted:
            raise ZooError(f"extra loss {name!r} has no weight: give a subclass of LossWeights the field {name!r}")
    for name in sorted(weighted.difference(extra)):
        raise ZooError(f"loss.{name} is a weight without a loss: pass its function in extra_losses")


def _is_on(weight: Weight) -> bool:
    return isinstance(weight, Schedule) or weight != 0


def update(
    optimiser: optax.GradientTransformation, gradients: Params, opt_state: Any, params: Params
) -> tuple[Params, Any]:
    """One optimiser step: (new parameters, new optimiser state)."""
    updates, opt_state = optimiser.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
