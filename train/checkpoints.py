"""Writing and reading a run's checkpoints (their layout: zoo/checkpoint.py)."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from configs import loading
from configs.base import Config
from train.state import TrainState
from zoo import checkpoint, families
from zoo.bitstream.entropy import EntropyModel
from zoo.errors import CheckpointError
from zoo.ready import ReadyCodec

ITEMS = ("codec", "training", "metadata")


class Checkpoints:
    """The checkpoints of one run, written asynchronously; a half-written one is never seen under its name."""

    def __init__(self, workdir: Path, config: Config) -> None:
        logging.getLogger("absl").setLevel(logging.ERROR)
        self._folder = (workdir / "checkpoints").absolute()
        self._config = config
        options = ocp.CheckpointManagerOptions(
            max_to_keep=config.keep_checkpoints, cleanup_tmp_directories=True, enable_async_checkpointing=True
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options, item_names=ITEMS)

    def save(self, state: TrainState, entropy: EntropyModel) -> None:
        """Saves everything after `state.step` steps; step and data position stand in the metadata too."""
        step = int(state.step)
        config = self._config
        metadata = {
            "format": checkpoint.FORMAT,
            "family": config.model.family,
            "model": config.model.kwargs(),
            "step": step,
            "next_example": int(state.next_example),
            "config": json.loads(json.dumps(loading.to_dict(config))),
        }
        module = families.create(config.model.family, **config.model.kwargs())
        # by which the codec of a coded file is found
        metadata["weights_hash"] = ReadyCodec(module, {"params": state.ema}, entropy, metadata).digest.hex()
        args = ocp.args.Composite(
            codec=ocp.args.StandardSave({"params": state.ema, "entropy": entropy.arrays}),
            training=ocp.args.StandardSave(state),
            metadata=ocp.args.JsonSave(metadata),
        )
        self._manager.save(step, args=args, force=True)

    def restore(self, template: TrainState, mesh: Mesh) -> TrainState | None:
        """The newest state, replicated over the mesh; None where there is no checkpoint.

        Raises CheckpointError if it cannot be read, or does not fit the configuration.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        self._check_fit(step, template)
        sharding = NamedSharding(mesh, PartitionSpec())
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), template)
        args = ocp.args.Composite(training=ocp.args.StandardRestore(target))
        try:
            with checkpoint.quiet_failure():
                state: TrainState = self._manager.restore(step, args=args)["training"]
        except Exception as error:  # orbax and tensorstore raise many kinds
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"checkpoint {self._folder / str(step)} cannot be resumed: {reason}") from None
        return state

    def _check_fit(self, step: int, template: TrainState) -> None:
        """Raises CheckpointError where a hyper-parameter has changed shapes, of which orbax complains at length."""
        metadata = checkpoint.read_metadata(self._folder / str(step))
        stored = checkpoint.codec_template(families.create(metadata["family"], **metadata["model"]))["params"]
        sections = ["model"] if jax.tree.map(jnp.shape, stored) != jax.tree.map(jnp.shape, template.params) else []
        sections += ["discriminator"] if template.discriminator else []
        then, now = metadata["config"], json.loads(json.dumps(loading.to_dict(self._config)))
        changed = [
            f"its {section}.{key} is {then[section][key]}, not {value}"
            for section in sections
            for key, value in now[section].items()
            if key != "loss" and key in then[section] and then[section][key] != value
        ]
        had = then["adversarial_start"] >= 0 and then["loss"]["adversarial"] != 0
        if had != bool(template.discriminator):
            changed.append(f"it was begun {'with' if had else 'without'} discriminators")
        if (frozen := then.get("freeze", [])) != now["freeze"]:
            names = [" ".join(parts) or "nothing" for parts in (frozen, now["freeze"])]
            changed.append("it was begun with {} frozen, not {}".format(*names))
        if changed:
            raise CheckpointError(f"checkpoint {self._folder / str(step)} cannot be resumed: {', '.join(changed)}")

    def close(self) -> None:
        """Waits until what was saved is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()
