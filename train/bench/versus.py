"""A published generator's training pass beside torch: the same weights, losses and machine, in the same run.

`python -m train.bench.versus JOB` is the process in which one side's memory is measured.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluate.bench import footprint
from evaluate.bench.comparison import Compared, Timing
from evaluate.bench.footprint import Job
from evaluate.bench.hardware import cores
from zoo.errors import ZooError

if TYPE_CHECKING:
    from rich.table import Table

    from zoo.published import PublishedModel
    from zoo.ready import ReadyCodec

SIDES = ("torch", "ours")
FAMILIES = ("dac",)
"""whose implementation gives the quantisers' losses, so that all of the generator has gradients"""
MEL_WEIGHT = 15.0
COMMITMENT_WEIGHT = 0.25
TARGET_GAIN = 0.01
"""what is to be reproduced is the input at this gain, far softer than what random weights give: no difference of mels
is near zero, where the gradient of its absolute value jumps and the last bit of the audio would decide"""
MAX_LOSS_ERROR = 1e-5
MAX_GRADIENT_ERROR = 1e-3
"""of a tensor's largest; sums over a second of samples, in another order"""


@dataclass(frozen=True)
class Agreement:
    """How far ours is from torch."""

    loss_error: float
    """of torch's loss"""
    gradient_error: float
    """largest difference in any tensor's gradient, of the largest element of torch's gradient of it"""
    worst: str
    """the parameter with that difference"""

    @property
    def is_close(self) -> bool:
        return self.loss_error <= MAX_LOSS_ERROR and self.gradient_error <= MAX_GRADIENT_ERROR


@dataclass(frozen=True)
class Comparison(Compared):
    """A forward and backward pass of one model; times and memory by side."""

    agreement: Agreement
    times: Mapping[str, Timing]
    memory_mb: Mapping[str, float]
    """at its peak, of a process that loads the weights and makes one pass, beyond the libraries themselves"""

    @property
    def times_faster(self) -> Timing:
        """torch's seconds over ours, median over median and best over best."""
        torch, ours = (self.times[side] for side in SIDES)
        return torch.over(ours)

    def record(self) -> dict[str, Any]:
        """The row for JSON, with the ratio."""
        return dataclasses.asdict(self) | {"times_faster": dataclasses.asdict(self.times_faster)}


class OurPass:
    """Loss, and gradients of all parameters, of a codec in one compiled program."""

    def __init__(self, codec: ReadyCodec) -> None:
        import jax

        from train.step import losses

        module = codec.module

        def loss(params: Any, audio: jax.Array) -> jax.Array:
            keys = jax.random.split(jax.random.key(0), len(audio))
            output: Any = module.apply({"params": params}, audio, keys=keys)
            mel = losses.mel(TARGET_GAIN * audio, output.audio, module.sample_rate)
            quantisers = output.losses["codebook"] + COMMITMENT_WEIGHT * output.losses["commitment"]
            return (MEL_WEIGHT * mel + quantisers).mean()

        self._params = codec.variables["params"]
        self._step = jax.jit(jax.value_and_grad(loss))

    def __call__(self, audio: Any) -> tuple[Any, Any]:
        """Waits for the loss and the gradients, which stay on the device."""
        import jax

        loss, gradients = jax.block_until_ready(self._step(self._params, audio))
        return loss, gradients


def compare(
    model: PublishedModel, *, seconds: float, batch_sizes: Sequence[int], repeat: int, seed: int = 0
) -> list[Comparison]:
    """A model with random weights beside its implementation in torch, at each batch size.

    Raises ZooError for a model of another kind than DAC, and where the implementation is not installed.
    """
    import jax

    if model.family not in FAMILIES:
        raise ZooError(f"training beside torch is for models of the families {', '.join(FAMILIES)}, not {model.family}")
    import zoo
    from evaluate.bench import torch_peers
    from evaluate.bench.versus import interleave
    from train.bench.torch_peers import TrainingPass

    torch_peers.use_threads(cores())
    peer = torch_peers.build(model.family, model.config, seed=seed)
    mels = _mels(model.sample_rate)
    found = []
    with tempfile.TemporaryDirectory(prefix="codec-zoo-") as place:
        folder, given = Path(place) / "model", Path(place) / "input.npz"
        peer.save(folder)
        codec = zoo.load(folder)
        theirs, ours = TrainingPass(peer, mels, MEL_WEIGHT, TARGET_GAIN), OurPass(codec)
        n_samples = max(1, round(seconds * model.sample_rate / codec.module.hop_length)) * codec.module.hop_length
        for batch_size in batch_sizes:
            audio = np.random.default_rng(0).normal(0, 0.1, (batch_size, n_samples, 1)).astype(np.float32)
            arrays: dict[str, Any] = {"audio": audio} | {str(n_fft): bank for n_fft, bank in mels.items()}
            np.savez(given, **arrays)
            native, there = peer.audio(audio), jax.device_put(audio)
            loss, (our_loss, gradients) = theirs(native), ours(there)
            agreement = agree(model, loss, theirs.gradients(), float(our_loss), gradients)
            del gradients
            calls: dict[str, Callable[[], Any]] = {"torch": lambda: theirs(native), "ours": lambda: ours(there)}  # noqa: B023
            job = Job("", str(folder), model.family, model.config, str(given))
            found.append(
                Comparison(
                    model=model.name,
                    parameters=sum(leaf.size for leaf in jax.tree.leaves(codec.variables["params"])),
                    seconds=n_samples / model.sample_rate,
                    batch_size=batch_size,
                    agreement=agreement,
                    times=interleave(calls, repeat, settle=True),
                    memory_mb={side: measure(dataclasses.replace(job, subject=side)) for side in SIDES},
                )
            )
    return found


def agree(
    model: PublishedModel, loss: float, gradients: dict[str, np.ndarray], our_loss: float, our_gradients: Any
) -> Agreement:
    """torch's loss and gradients by their names there, and ours."""
    import jax

    from zoo import families
    from zoo.nn.layers import PER_TENTH
    from zoo.published.keymap import to_params

    family = families.module_of(model.family)
    maps = family.key_maps(**family.hyperparameters(model.config))
    wanted = to_params(gradients, maps["transformers"], our_gradients, finite=False)
    errors = {}
    pairs = zip(jax.tree_util.tree_leaves_with_path(our_gradients), jax.tree.leaves(wanted), strict=True)
    for (path, found), expected in pairs:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        expected = np.asarray(expected)
        if name.endswith("_tenths"):  # the gradient of a tenth is ten times that of the whole
            expected = expected * np.float32(PER_TENTH**2)
        scale = float(np.abs(expected).max())
        errors[name] = float(np.abs(np.asarray(found) - expected).max()) / max(scale, 1e-30)
    worst = max(errors, key=lambda name: (np.isnan(errors[name]), errors[name]))
    return Agreement(abs(our_loss - loss) / abs(loss), errors[worst], worst)


def measure(job: Job) -> float:
    """Megabytes that loading and a pass take beyond the imported libraries; raises ZooError where the process fails.

    `job.subject` is one of SIDES, `job.input` an .npz file: `audio` (B, T, 1), and the mel filters by their window.
    """
    return footprint.in_process(
        "train.bench.versus", dataclasses.asdict(job), f"measuring {job.subject} of {job.family}"
    )


def main(arguments: Sequence[str]) -> None:
    """One job, given as JSON."""
    job = Job(**json.loads(arguments[0]))
    print(footprint.peak_mb(_torch(job) if job.subject == "torch" else _ours(job)))


def _torch(job: Job) -> Callable[[], object]:
    """What is to be measured, with all that it needs imported."""
    from evaluate.bench import torch_peers
    from train.bench.torch_peers import TrainingPass

    torch_peers.use_threads(cores())
    torch_peers.prepare(job.family, job.config)

    def run() -> float:
        with np.load(job.input) as given:
            mels = {int(name): given[name] for name in given.files if name != "audio"}
            audio = given["audio"]
        step = TrainingPass.of_folder(
            job.family, job.config, folder=Path(job.folder), mels=mels, mel_weight=MEL_WEIGHT, gain=TARGET_GAIN
        )
        return step(step.peer.audio(audio))

    return run


def _ours(job: Job) -> Callable[[], object]:
    import jax

    import zoo
    from train.step import losses  # noqa: F401
    from zoo import families
    from zoo.published import load  # noqa: F401

    families.module_of(job.family)
    jax.block_until_ready(jax.jit(lambda x: x + 1)(jax.numpy.zeros(1)))

    def run() -> object:
        with np.load(job.input) as given:
            audio = given["audio"]
        return OurPass(zoo.load(job.folder))(audio)

    return run


def _mels(sample_rate: int) -> dict[int, np.ndarray]:
    """The mel loss's filters by their windows."""
    from train.step import losses
    from zoo.nn import dsp

    return {n_fft: dsp.mel_filterbank(sample_rate, n_fft, n_mels) for n_fft, n_mels in losses.MEL_SCALES}


def render(comparisons: Sequence[Comparison], title: str) -> Table:
    """The rich table: seconds are the median (and best), errors the largest."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("model", vertical="bottom", overflow="fold")
    headings = ("clips", "parameters\nM", "loss\nerror", "gradient\nerror", "torch\ns", "ours\ns", "ours\n×")
    for heading in (*headings, "memory\ntorch MB", "ours\nMB"):
        table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
    for found in comparisons:
        faster = found.times_faster
        table.add_row(
            found.model.split("/")[-1],
            f"{found.batch_size} × {found.seconds:.3g} s",
            f"{found.parameters / 1e6:.1f}",
            f"{found.agreement.loss_error:.0e}",
            f"{found.agreement.gradient_error:.0e}",
            *(f"{found.times[side].median_s:.2f} ({found.times[side].best_s:.2f})" for side in SIDES),
            f"{faster.median_s:.2f} ({faster.best_s:.2f})",
            *(f"{found.memory_mb[side]:.0f}" for side in SIDES),
        )
    return table


LEGEND = (
    "A forward and a backward pass with a multi-scale mel loss and the quantisers' own, gradients of all parameters.\n"
    "s: median (best). ×: how many times faster than torch. error: the largest, of the loss and of a tensor's peak.\n"
    "memory: beyond the libraries, of a process that loads the weights, compiles if it does, and makes one pass."
)


if __name__ == "__main__":
    main(sys.argv[1:])
