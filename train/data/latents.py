"""Crops of a codec's latents, which are computed once, for whole recordings, and kept in the user's cache.

A cache is a folder, named after the codec's weights and the recordings, of latents.f16 (float16, one recording behind
the other) and index.json: format, dim, files [[name, first frame, frames]]. It is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.data.files import chosen_file, chosen_start, file_probabilities
from train.data.source import CropSource, HeldOutFile, Recording, example_rng
from train.data.synthetic import held_out_recordings
from zoo import prior
from zoo.console.command import progress
from zoo.errors import ZooError
from zoo.generating.latents import latent_encoder
from zoo.ready import ReadyCodec
from zoo.saved import user_cache, whole

FORMAT = 1
LATENTS, INDEX = "latents.f16", "index.json"
_STATISTICS_FRAMES = 60_000


@dataclass(frozen=True, eq=False)
class Store:
    """Latents float16 (F, D) of recordings, and where each lies: {name: (first frame, frames)}."""

    latents: np.ndarray
    places: dict[str, tuple[int, int]]


def stored(codec: ReadyCodec, recordings: Sequence[Recording], say: Callable[[str], None]) -> Store:
    """The latents of all recordings, from the cache or computed now; `say` gets a line for each that cannot be read.

    Raises ZooError where there is no room for them, or none of the recordings can be read.
    """
    root = user_cache.folder("latents")
    if root is None:
        raise ZooError("there is no place to keep latents in: set XDG_CACHE_HOME to a folder")
    described = json.dumps([FORMAT, [recording.identity for recording in recordings]], sort_keys=True, default=str)
    place = root / f"{codec.digest.hex()}-{hashlib.sha256(described.encode()).hexdigest()[:16]}"
    if (found := _open(place)) is not None:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with whole.folder(place, replaces=False) as part:  # another run may have computed them meanwhile
            part.mkdir()
            _write(part, codec, recordings, say)
    except OSError as error:
        raise ZooError(f"{place}: latents cannot be written ({error.strerror}); XDG_CACHE_HOME moves them") from None
    if (found := _open(place)) is None:
        raise ZooError(f"{place}: these latents are damaged: delete the folder")
    return found


def _write(part: Path, codec: ReadyCodec, recordings: Sequence[Recording], say: Callable[[str], None]) -> None:
    files: list[tuple[str, int, int]] = []
    first, dim = 0, 0
    with (part / LATENTS).open("wb") as stream, progress(len(recordings), "encoding") as advance:
        for recording in recordings:
            try:
                found = _latents(recording, codec)
            except ZooError as error:
                say(f"skipped {error}")
                found = []
            n = sum(latents.shape[1] for latents in found)
            for latents in found:
                dim = latents.shape[2]
                stream.write(latents.tobytes())
            if n:
                files.append((recording.name, first, n))
            first += n
            advance(1)
    if not files:
        raise ZooError(f"none of the {len(recordings)} recordings can be read")
    (part / INDEX).write_text(json.dumps({"format": FORMAT, "dim": dim, "files": files}))


def _latents(recording: Recording, codec: ReadyCodec) -> list[np.ndarray]:
    """Latents float16 (1, n, D) of a recording; raises ZooError where it cannot be read, or they are too large."""
    encoder = latent_encoder(codec)
    found = [z for block in recording.blocks() for z in encoder.push(block)] + encoder.finish()
    with np.errstate(over="ignore"):
        narrow = [latents.astype(np.float16) for latents in found]
    if not all(np.isfinite(latents).all() for latents in narrow):
        largest = max(float(np.abs(latents).max()) for latents in found)
        raise ZooError(f"{recording.name}: its latents, up to {largest:g}, are more than float16 holds")
    return narrow


def _open(place: Path) -> Store | None:
    """A cache that is there and whole; None otherwise."""
    try:
        index: dict[str, Any] = json.loads((place / INDEX).read_text())
        files = {str(name): (int(first), int(n)) for name, first, n in index["files"]}
        total, dim = sum(n for _, n in files.values()), int(index["dim"])
        if (place / LATENTS).stat().st_size != total * dim * 2:
            return None
        return Store(np.memmap(place / LATENTS, np.float16, "r", shape=(total, dim)), files)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class LatentCrops(CropSource):
    """Crops of `window` frames of the latents of a library's recordings, weighted as its crops of audio are.

    `source[k]`, a pure function of (seed, k): {"latents": float32 (window, D), "labels": int32, the number of the
    recording's group in `labels` or, where it is none of them, their number; "n_frames": int32, how many frames there
    are, the rest being zeros; "index"}.
    """

    def __init__(
        self,
        library: CropSource,
        codec: ReadyCodec,
        *,
        window: int,
        labels: Sequence[str],
        balance: float,
        say: Callable[[str], None],
    ) -> None:
        """Computes the latents, or finds them; raises ZooError where that cannot be done."""
        super().__init__(
            segment_samples=window * codec.hop_length,
            sample_rate=codec.sample_rate,
            channels=codec.channels,
            seed=library.seed,
            gain_db=library.gain_db,
            silence_db=library.silence_db,
        )
        recordings = library.recordings()
        if not any(recording.held_out for recording in recordings):
            recordings = [*held_out_recordings(library), *recordings]
        self._library, self._window = library, window
        store = stored(codec, recordings, say)
        self._latents = store.latents
        kept = [recording for recording in recordings if recording.name in store.places]
        self.held_out = [HeldOutFile(r.name, r.group, r.seconds) for r in kept if r.held_out]
        self._held_out = _Places.of([r for r in kept if r.held_out], store, labels)
        trained = [r for r in kept if not r.held_out]
        if not trained:
            raise ZooError("none of the recordings that are not held out can be read")
        self._trained = _Places.of(trained, store, labels)
        self.seconds = library.seconds or sum(r.seconds for r in trained)
        shares = file_probabilities([r.group for r in trained], self._trained.frames.astype(float), balance)
        self._cumulative = np.cumsum(shares)

    def inventory(self) -> dict[str, int]:
        """Frames of each file, as the library has them."""
        return self._library.inventory()

    def batch(self, examples: Sequence[int]) -> dict[str, np.ndarray]:
        draws = [example_rng(self.seed, k).random(2) for k in examples]
        files = [chosen_file(self._cumulative, draw[0]) for draw in draws]
        return self._crops(self._trained, files, [draw[1] for draw in draws], examples)

    def held_out_batch(self, n: int) -> dict[str, np.ndarray]:
        """The middles of `n` held-out files, in turn; of fewer files, other places in them."""
        count = len(self._held_out.frames)
        places = [(0.5 + 0.618034 * (i // count)) % 1.0 for i in range(n)]
        return self._crops(self._held_out, [i % count for i in range(n)], places, list(range(n)))

    def statistics(self, components: int, whitening: float) -> dict[str, np.ndarray]:
        """What is normal about the latents of the first examples, as `zoo.prior.measured` has it."""
        found = self.batch(range(max(2, _STATISTICS_FRAMES // self._window)))
        valid = np.arange(self._window)[None] < found["n_frames"][:, None]
        return prior.measured(found["latents"][valid], components, whitening)

    def __getitem__(self, k: int) -> dict[str, np.ndarray]:
        return {name: values[0] for name, values in self.batch([k]).items()}

    def _crops(
        self, places: _Places, files: Sequence[int], starts: Sequence[float], examples: Sequence[int]
    ) -> dict[str, np.ndarray]:
        latents = np.zeros((len(files), self._window, self._latents.shape[1]), np.float32)
        n_frames = np.zeros(len(files), np.int32)
        for row, (file, place) in enumerate(zip(files, starts)):
            frames = int(places.frames[file])
            n_frames[row] = n = min(frames, self._window)
            first = int(places.first[file]) + max(chosen_start(frames - self._window, place), 0)
            latents[row, :n] = self._latents[first : first + n]
        labels = places.labels[list(files)]
        return {
            "latents": latents,
            "labels": labels,
            "n_frames": n_frames,
            "index": np.asarray(examples, np.uint32),
        }

    def _draw(self, rng: np.random.Generator, k: int, attempt: int) -> np.ndarray | None:
        raise NotImplementedError("there is no audio of latents")


@dataclass(frozen=True, eq=False)
class _Places:
    """Where recordings lie in a store, and the numbers of their labels; (N,) each."""

    first: np.ndarray
    frames: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, recordings: Sequence[Recording], store: Store, labels: Sequence[str]) -> _Places:
        places = np.array([store.places[r.name] for r in recordings], np.int64).reshape(-1, 2)
        numbers = {label: i for i, label in enumerate(labels)}
        of = np.array([numbers.get(r.group, len(labels)) for r in recordings], np.int32)
        return cls(places[:, 0], places[:, 1], of)
