"""Which task a configuration means."""

from __future__ import annotations

from collections.abc import Mapping

from configs.base import Config
from train.step.losses import Reconstruction
from train.step.prior_task import PriorTask
from train.step.task import CodecTask, DenoiseTask

_KINDS = {"reconstruct": CodecTask, "denoise": DenoiseTask, "generate": PriorTask}


def make_task(config: Config, extra_losses: Mapping[str, Reconstruction] | None = None) -> CodecTask:
    """The task that `config.task` names; arguments and errors as of `CodecTask`."""
    return _KINDS[config.task](config, extra_losses)
