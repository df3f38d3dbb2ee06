"""Trains a codec with a loss of one's own, without editing the package.

    python docs/custom_loss.py ~/music --workdir runs/levels --steps 500 --weight 0.1

A loss of your own is a function of the original and the reconstruction, and a weight: a field of a subclass of
`LossWeights` with the same name. Like the others it is logged, balanced and scheduled. The run's config.json names it,
so `python -m train --resume`, which lacks the function, refuses such a run: continue it with this script and --resume.
The trained codec is an ordinary one; `zoo.load` and the commands need nothing of this file.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp

import zoo
from configs import loading
from configs.base import LossWeights, Weight
from train.run.loop import run
from train.run.signals import StoppedError

WINDOWS_PER_CROP = 50
FLOOR = 1e-6
"""Mean square below which a window counts as silence (−60 dBFS)."""


def level_db(reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Mean difference in dB between the levels of the two signals (B, T, C), window by window: (B,)."""

    def levels(samples: jax.Array) -> jax.Array:
        batch, length, channels = samples.shape
        window = max(length // WINDOWS_PER_CROP, 1)
        whole = samples[:, : length // window * window].reshape(batch, -1, window, channels)
        return 10 * jnp.log10(jnp.square(whole).mean(axis=2) + FLOOR)

    return jnp.abs(levels(reference) - levels(estimate)).mean(axis=(1, 2))


@dataclass(frozen=True)
class Weights(LossWeights):
    """The package's losses, and one more."""

    level_db: Weight = 0.0
    """difference between the signals' levels over time; a number or a `Schedule`"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="audio files of any format and rate, in any sub-folders")
    parser.add_argument("--workdir", type=Path, required=True, help="where the run is kept")
    parser.add_argument("--config", default="vae", help="a name from configs/, or a Python file that sets CONFIG")
    parser.add_argument("--steps", type=int, help="optimiser steps (default: the configuration's)")
    parser.add_argument("--weight", type=float, default=0.1, help="of the new loss; 0 = not computed (default: 0.1)")
    parser.add_argument("--resume", action="store_true", help="continue the run in WORKDIR")
    args = parser.parse_args()

    base = loading.get(args.config) if args.config in loading.names() else loading.from_file(args.config)
    config = replace(
        base,
        workdir=str(args.workdir),
        steps=args.steps or base.steps,
        resume=args.resume,
        data=replace(base.data, root=str(args.folder)),
        loss=Weights(**vars(base.loss), level_db=args.weight),
    )
    run(Path(args.config).stem, config, extra_losses={"level_db": level_db})


if __name__ == "__main__":
    try:
        main()
    except StoppedError as stopped:  # SIGTERM or Ctrl-C: everything is saved
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_status)
    except (zoo.ZooError, loading.ConfigError) as error:
        sys.exit(f"error: {error}")
