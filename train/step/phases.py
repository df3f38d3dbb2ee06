"""Which step a run takes when: by itself, beside discriminators that only learn, against discriminators."""

from __future__ import annotations

from jax.sharding import Mesh

from train.devices import parallel
from train.step.state import Step
from train.step.step import make_step
from train.step.task import CodecTask

RECONSTRUCTION, WARMUP, ADVERSARIAL = "reconstruction", "warmup", "adversarial"


class Phases:
    """The steps of a task's phases, each compiled when it is first taken."""

    def __init__(self, task: CodecTask, mesh: Mesh) -> None:
        self._task = task
        self._mesh = mesh
        self._steps: dict[str, Step] = {}

    def at(self, step: int) -> str:
        """Phase of the step after `step` finished ones."""
        start = self._task.config.adversarial_start
        if not self._task.adversarial or step < start:
            return RECONSTRUCTION
        return WARMUP if step < start + self._task.config.discriminator.warmup_steps else ADVERSARIAL

    def __getitem__(self, phase: str) -> Step:
        if phase not in self._steps:
            step = make_step(
                self._task, adversarial=phase != RECONSTRUCTION, adversarial_generator=phase == ADVERSARIAL
            )
            self._steps[phase] = parallel.map_step(step, self._mesh)
        return self._steps[phase]
