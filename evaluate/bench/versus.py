"""Published models beside their torch implementations: the same weights, the same machine, the same run."""

from __future__ import annotations

import dataclasses
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.bench.comparison import SIDES, Agreement, Comparison, Timing
from evaluate.bench.hardware import cores, matrix_tflops
from zoo.errors import ZooError

if TYPE_CHECKING:
    import numpy as np

    from evaluate.bench.torch_peers import Peer
    from zoo.published import PublishedModel
    from zoo.ready import ReadyCodec

INSTALL = "pip install -e '.[parity]'"
MATRIX_SIZE = 2048
"""of the square matrices with which the machine's rate is measured"""
REST_S = 0.2
"""Between measurements: threads of the one library go on waiting for work for a while, and take the other's cores."""


def check_torch() -> None:
    """Raises ZooError, saying what to do, where the comparison cannot be made."""
    if importlib.util.find_spec("torch") is None:
        raise ZooError(f"--vs torch needs torch and the reference implementations, the extra 'parity': {INSTALL}")
    import jax

    if jax.default_backend() != "cpu":
        raise ZooError("--vs torch compares on the CPU: set JAX_PLATFORMS=cpu")


class Pair:
    """A torch peer and our codec with its weights, and what both are given."""

    def __init__(self, model: PublishedModel, peer: Peer, codec: ReadyCodec, n_samples: int, batch_size: int) -> None:
        import jax
        import numpy as np

        from evaluate.bench.passes import InChunks, WholeClips

        self.n_samples, self._codec, self._peer = n_samples, codec, peer
        self.continuous = model.bitrates_kbps is None
        self._ours: dict[str, Any] = {
            "whole": WholeClips(codec, continuous=self.continuous),
            "chunks": InChunks(codec, continuous=self.continuous),
        }
        self.given: np.ndarray
        """audio (B, T, C), or frames (B, F, D) for a model that only decodes"""
        if peer.encodes:
            noise = np.random.default_rng(0).normal(0, 0.1, (batch_size, n_samples, model.channels))
            self.given = noise.astype(np.float32)
            self._audio = peer.audio(self.given)
            self._native = peer.encode(self._audio)
            self.frames = peer.frames(self._native)
        else:
            self.given = self.frames = peer.example(batch_size, n_samples)
            self._native = peer.native(self.given)
        self._given_there, self._frames_there = jax.device_put(self.given), jax.device_put(self.frames)

    def encode_calls(self) -> dict[str, Callable[[], Any]]:
        """The encoding calls of each side; none for a model that only decodes."""
        if not self._peer.encodes:
            return {}
        return {
            "torch": lambda: self._peer.encode(self._audio),
            "whole": lambda: self._ours["whole"].encode(self._given_there),
            "chunks": lambda: self._ours["chunks"].encode(self.given),
        }

    def decode_calls(self) -> dict[str, Callable[[], Any]]:
        """The decoding calls of each side, all of the reference's codes."""
        return {
            "torch": lambda: self._peer.decode(self._native),
            "whole": lambda: self._ours["whole"].decode(self._frames_there, self.n_samples),
            "chunks": lambda: self._ours["chunks"].decode(self.frames, self.n_samples),
        }

    def flops(self) -> dict[str, float]:
        """Operations of each way over the clips as a whole."""
        ours = self._ours["whole"]
        counts = {"decode": ours.decode_flops(self._frames_there, self.n_samples)}
        if self._peer.encodes:
            counts["encode"] = ours.encode_flops(self._given_there)
        return counts

    def agreement(self) -> Agreement:
        """The agreement of both sides on whole clips."""
        import numpy as np

        from zoo.published import snac

        n_frames = self.frames.shape[1]

        def noise(layer: int, n: int) -> np.ndarray:
            return np.asarray(snac.noise_of_frames(layer, 0, n_frames, n // n_frames))

        theirs = self._peer.decode_with(self._native, noise)[:, : self.n_samples]
        ours = np.asarray(self.decode_calls()["whole"]())[:, : theirs.shape[1]]
        codes_equal = latent_error = None
        if self._peer.encodes:
            encoded = np.asarray(self.encode_calls()["whole"]())
            if encoded.shape != self.frames.shape:
                raise ZooError(f"codes of shape {encoded.shape}, the reference's are {self.frames.shape}")
            if self.continuous:
                latent_error = _error(encoded, self.frames)
            else:
                codes_equal = float(np.mean(encoded == self.frames))
        return Agreement(codes_equal, latent_error, _error(ours, theirs))


def _error(ours: np.ndarray, theirs: np.ndarray) -> float:
    import numpy as np

    return float(np.max(abs(ours - theirs)) / np.max(abs(theirs)))


def compare(
    model: PublishedModel, *, seconds: float, batch_sizes: Sequence[int], repeat: int, seed: int = 0
) -> list[Comparison]:
    """A model with random weights beside its reference, at each batch size.

    Raises ZooError for a model whose reference is not installed.
    """
    import jax
    import numpy as np

    import zoo
    from evaluate.bench import footprint, torch_peers

    torch_peers.use_threads(cores())
    peer = torch_peers.build(model.family, model.config, seed=seed)
    n_samples = max(1, round(seconds * model.sample_rate))
    found = []
    rate = 1e12 * matrix_tflops("float32", size=MATRIX_SIZE)
    with tempfile.TemporaryDirectory(prefix="codec-zoo-") as place:
        folder, given = Path(place) / "model", Path(place) / "input.npy"
        peer.save(folder)
        codec = zoo.load(folder)
        for batch_size in batch_sizes:
            pair = Pair(model, peer, codec, n_samples, batch_size)
            np.save(given, pair.given)
            job = footprint.CodingJob(
                "load", str(folder), model.family, model.config, str(given), n_samples, peer.encodes, pair.continuous
            )
            comparison = Comparison(
                model=model.name,
                parameters=sum(leaf.size for leaf in jax.tree.leaves(codec.variables["params"])),
                seconds=n_samples / model.sample_rate,
                batch_size=batch_size,
                agreement=pair.agreement(),
                encode=interleave(pair.encode_calls(), repeat),
                decode=interleave(pair.decode_calls(), repeat),
                bound_s={way: count / rate for way, count in pair.flops().items()},
                memory_mb={side: footprint.measure(dataclasses.replace(job, subject=side)) for side in SIDES},
                load_s=footprint.measure(job),
            )
            found.append(comparison)
    return found


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    repeat: int,
    *,
    settle: bool = False,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], None] = time.sleep,
) -> dict[str, Timing]:
    """Timings of calls by name, after one of each that does not count, taking turns `repeat` times.

    With `settle` each turn begins with another that does not count: for what is repeated without a pause in use, and
    would pay here for the memory that the call before it has given back to the system.
    """
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            rest(REST_S)
            if settle:
                call()
            start = clock()
            call()
            taken[name].append(clock() - start)
    return {name: Timing(statistics.median(times), min(times)) for name, times in taken.items()}
