"""The typed configuration of a run: what every file in this folder fills in.

Standard library only, so that ``--help`` never pays for importing jax. Numbers carry their unit in the
name where they have one. A loss that is listed with weight 0 is not computed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from configs.effects import Augmentation, Corruption


@dataclass(frozen=True)
class Schedule:
    """A number that changes with the step: `start` → `end` over `steps` optimiser steps, then constant."""

    kind: Literal["linear", "cosine"] = "linear"
    start: float = 0.0
    end: float = 1.0
    steps: int = 1000


Weight = float | Schedule


@dataclass(frozen=True)
class LossWeights:
    """One weight for each loss there is; 0 = not computed. A number, or a schedule over steps."""

    waveform_l1: Weight = 0.0
    """mean absolute error of the waveform"""
    waveform_mse: Weight = 0.0
    """mean squared error of the waveform"""
    snr: Weight = 0.0
    """minus the signal-to-noise ratio in dB: every clip counts alike, loud or quiet"""
    limited_snr: Weight = 0.0
    """the same, of which what is above 20 dB hardly counts"""
    spectrogram_mse: Weight = 0.0
    """mean squared error of log-magnitude spectrograms"""
    compressed_magnitude: Weight = 0.0
    """mean squared error of STFT magnitudes to the power of 0.3, relative to the reference"""
    complex_stft: Weight = 0.0
    """L1 of the complex STFT, each error divided by the root of the reference's magnitude"""
    mel: Weight = 0.0
    """multi-scale log-mel L1"""
    audible_mel: Weight = 0.0
    """multi-scale mel L1 of magnitudes and of logarithms with a high floor: soft bands do not count"""
    stft: Weight = 0.0
    """multi-resolution STFT: spectral convergence plus log-magnitude L1"""
    envelope_correlation: Weight = 0.0
    """1 minus the correlation of third-octave envelopes over 0.384 s, that which STOI measures"""
    mix_consistency: Weight = 0.0
    """error of mixes of latents against latents of mixes, and of what is decoded of them, dB"""
    kl: Weight = 0.0
    """Gaussian bottleneck: nats per latent frame"""
    rate: Weight = 0.0
    """scalar quantisation: estimated bits per latent frame under a learnt factorised prior"""
    log_rate: Weight = 0.0
    """spectral grid: natural logarithm of the estimated bits per latent frame"""
    codebook: Weight = 0.0
    """residual VQ: distance of the chosen entries to the (stopped) latent"""
    commitment: Weight = 0.0
    """residual VQ: distance of the latent to the (stopped) chosen entries"""
    adversarial: Weight = 0.0
    """the discriminators' verdict on the reconstruction, after `adversarial_start`"""
    feature_matching: Weight = 0.0
    """L1 between the discriminators' features of the original and the reconstruction"""
    flow: Weight = 0.0
    """prior of latents: mean squared error of the velocity from noise to data"""


@dataclass(frozen=True)
class Data:
    """The training audio: where it comes from and how crops are drawn from it."""

    root: str | None = None
    """a folder of audio files (wav, flac, ogg, mp3, … at any rate), or what `prepare` made of it; of a store (s3://,
    gs://, hf://, https://) or of archives a copy is kept; none = the embedded generator"""
    downmix: Literal["mix", "first"] = "mix"
    """how more channels than the model has are taken: mixed (5.1 and the like by ITU-R BS.775), or the first ones"""
    stream: int | None = None
    """which of the audio streams of containers (films), from 0; None = the first"""
    segment_s: float = 1.0
    """length of a training crop in seconds"""
    balance: float = 0.5
    """0 = crops by duration alone, 1 = every sub-folder of `root` equally often"""
    gain_db: float = 6.0
    """each crop is scaled by a random gain in ±gain_db"""
    silence_db: float = -60.0
    """crops whose RMS, without a constant offset, lies below this many dBFS are drawn again"""
    held_out: float = 0.02
    """share of the files of `root` that are measured and never trained on; where that rounds to none, clips of the
    embedded generator are measured"""
    held_out_by: Literal["file", "folder"] = "file"
    """folder = of the folders that files lie in, all or none of the files: no album or speaker is on both sides"""
    accept_changes: bool = False
    """a resumed run continues though files of `root` were added, removed or changed since it was begun"""
    noise: str | None = None
    """a folder of recorded noises for `task denoise`, of any format and length, beside those that are synthesised"""
    threads: int = 2
    """reader threads"""
    prefetch: int = 8
    """batches prepared ahead of the step"""


@dataclass(frozen=True)
class Optim:
    """AdamW with warm-up and cosine decay, for the generator and, where there is one, the discriminator."""

    learning_rate: float = 1e-3
    discriminator_learning_rate: float = 3e-4
    warmup_steps: int = 100
    final_learning_rate_ratio: float = 0.02
    """learning rate at the last step, relative to its peak"""
    beta1: float = 0.8
    beta2: float = 0.99
    weight_decay: float = 0.0
    """of matrices and kernels; biases, gains, codebooks and the like do not decay"""
    clip_norm: float = 10.0
    """global gradient norm above which gradients are scaled down"""
    clip_percentile: float = 99.0
    """AutoClip: gradients are also scaled down to this percentile of the last thousand steps' norms; 100 = not"""
    ema_decay: float = 0.998
    """decay per step of the averaged weights that are evaluated and loaded"""
    skip_nonfinite: bool = True
    """a step whose losses or gradients are not finite changes nothing"""
    max_skipped_steps: int = 20
    """stop after this many non-finite steps in a row"""
    balancer: bool = True
    """with discriminators: a loss's weight is the share of the gradient on the waveform that it gets"""
    balancer_decay: float = 0.99
    """decay per step of the averaged gradient norms by which losses are balanced"""


@dataclass(frozen=True)
class Discriminator:
    """Multi-period and multi-resolution complex-STFT discriminators (used when `loss.adversarial` > 0)."""

    loss: Literal["hinge", "least_squares"] = "hinge"
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: int = 8
    """channels of the first layer; doubled by the following ones"""
    fft_sizes: tuple[int, ...] = (2048, 1024, 512)
    stft_channels: int = 16
    max_channels: int = 128
    n_layers: int = 4
    """strided convolutions of each, after which it has a last one for its verdict"""
    warmup_steps: int = 0
    """steps after `adversarial_start` in which the discriminators learn and do not train the generator"""


@dataclass(frozen=True)
class Codebooks:
    """How the codebooks of vector quantisers are kept in use; statistics are of the batches of all devices."""

    kmeans: bool = True
    """codebooks begin as centroids of what they will quantise; not with `init`"""
    kmeans_frames: int = 8192
    """latent frames of the first examples from which they are computed"""
    restart_below: float = 0.03
    """an entry chosen less often than this share of the uniform frequency becomes one of the frames; 0 = never.
    Not with `init`: what others have learnt is kept"""
    usage_decay: float = 0.99
    """decay per step of the averaged frequencies"""


@dataclass(frozen=True)
class Distributed:
    """Several processes that train one model, on one host or many; no part of the configuration that a run keeps."""

    coordinator: str | None = None
    """ADDRESS:PORT of process 0; none = as the cluster says (SLURM, TPU, Kubernetes, MPI), else a single process"""
    num_processes: int | None = None
    process_id: int | None = None
    timeout_s: int = 300
    """how long to wait for the other processes"""


@dataclass(frozen=True)
class Evaluation:
    """What is measured at the end of a run, and shown from it."""

    clips: int = 24
    """held-out clips, at most: of `data.held_out`, else of the embedded generator"""
    clip_s: float = 4.0
    samples: int = 4
    """held-out originals and reconstructions written as audio and drawn in the report"""
    table_s: float = 180.0
    """seconds of training audio on which the entropy coder's tables are fitted at a checkpoint"""


@dataclass(frozen=True)
class ModelConfig:
    """Base of the families' hyper-parameters; the fields are the keyword arguments of the family."""

    family: ClassVar[str] = ""

    @property
    def recipe(self) -> str:
        """The configuration that says how such a model is trained."""
        return self.family

    def kwargs(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


@dataclass(frozen=True)
class Published(ModelConfig):
    """The architecture of a published checkpoint that is fine-tuned with the recipe of another model.

    It comes with `--init`, never from a file in this folder or the command line.
    """

    family: str = ""  # type: ignore[misc]  # each of the others is of one family
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    """JSON values; lists are kept as tuples"""
    trained_as: str = ""
    """family of the model whose recipe it is trained with"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hyperparameters", _tuples(self.hyperparameters))

    @property
    def recipe(self) -> str:
        return self.trained_as

    def kwargs(self) -> dict[str, Any]:
        return dict(self.hyperparameters)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Config:
    """A whole experiment."""

    model: ModelConfig
    workdir: str | None = None
    """where the run is kept; default runs/NAME"""
    steps: int = 1000
    """optimiser steps"""
    task: Literal["reconstruct", "denoise", "generate"] = "reconstruct"
    """what is learnt: to give back the input, to give back what it was before it was corrupted (`corruption`), or what
    the latents of a codec are like (`codec`)"""
    codec: str | None = None
    """of a model of latents: the run, checkpoint or published codec whose latents these are; it is not trained"""
    batch_size: int = 16
    """crops per step over all devices"""
    accumulate: int = 1
    """parts in which each device computes its share of a batch, one after the other, for less memory"""
    rematerialise: bool = False
    """computes the blocks' activations again for the gradient: less memory, more time"""
    seed: int = 0
    checkpoint_every: int = 500
    """steps between checkpoints (the last step is always saved)"""
    keep_checkpoints: int = 3
    """the newest ones"""
    keep_best: str = ""
    """metric by which the best checkpoint is kept as well, such as held_out/mel; "" = none"""
    adversarial_start: int = -1
    """step at which the discriminators join; -1 = never"""
    log_every: int = 10
    precision: Literal["float32", "bfloat16"] = "float32"
    """of the networks' arithmetic; parameters, STFTs and losses are always float32"""
    resume: bool = False
    """continue the run in `workdir` (an empty one starts afresh)"""
    overwrite: bool = False
    """delete the run in `workdir` first"""
    tensorboard: bool = True
    profile: str | None = None
    """FIRST:LAST, steps of this start of the run that are recorded with jax's profiler into the run directory"""
    init: str | None = None
    """begin with a checkpoint's weights: a codec of the package, a run, one of its checkpoints, or a published codec by
    id, folder, file"""
    init_weights: Literal["averaged", "raw"] = "averaged"
    """which of a run's weights `init` takes: their average, or as the optimiser left them"""
    init_optimisers: bool = False
    """`init` takes the optimisers' moments over too; learning-rate schedules begin anew"""
    freeze: tuple[str, ...] = ()
    """parts of the generator that do not move, such as encoder bottleneck, or decoder.backbone.block_0"""
    loss: LossWeights = field(default_factory=LossWeights)
    data: Data = field(default_factory=Data)
    optim: Optim = field(default_factory=Optim)
    discriminator: Discriminator = field(default_factory=Discriminator)
    codebooks: Codebooks = field(default_factory=Codebooks)
    augmentation: Augmentation = field(default_factory=Augmentation)
    corruption: Corruption = field(default_factory=Corruption)
    evaluation: Evaluation = field(default_factory=Evaluation)
    distributed: Distributed = field(default_factory=Distributed)
