"""Many clips at once: their chunks are computed in batches, as they come in, whatever the clips' lengths.

Each clip is pushed on its own. `step` computes up to the codec's batch size of the windows that wait: one of each
stream where layers remember what came before, else any number. What is computed together is decided by what was pushed,
and by nothing else, so that the same pushes and steps give the same bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zoo.coding.chunks import Chunks
from zoo.coding.lanes import Array, Lanes, filled, filled_up
from zoo.coding.stream import FrameEncoder
from zoo.coding.windows import Window, Windows

Finish = Callable[[Array, np.ndarray], Array]
"""what is to be done with latents (B, chunk_frames, D), of which so many frames (B,) count: quantisation, say"""


class _Entry(NamedTuple):
    """A window of one of a clip's streams."""

    clip: BatchedClip
    stream: int
    number: int
    """of the window"""
    window: Window


class Batches:
    """The chunks of many clips, computed up to `chunks.batch_size` streams at once."""

    def __init__(self, chunks: Chunks, finish: Finish) -> None:
        self.chunks, self.finish = chunks, finish
        whole = chunks.module.encodes_whole
        self._lanes: Lanes | None = None if whole else chunks.encoder_lanes(chunks.batch_size)
        self.remembers = chunks.encoder_remembers
        self._clips: list[BatchedClip] = []
        self._places: list[int] = list(range(self._lanes.n_places)) if self._lanes else []  # that are free
        self._coming: deque[tuple[list[_Entry], Array]] = deque()
        self.held_bytes = 0
        """of samples that wait for being computed"""

    def open(self, n_streams: int) -> BatchedClip:
        """A further clip."""
        clip = BatchedClip(self, n_streams)
        if not self.chunks.module.encodes_whole:
            self._clips.append(clip)
        return clip

    @property
    def n_ready(self) -> int:
        """The streams' windows that could be computed at once now."""
        self._give_places()
        return sum(sum(map(clip.n_ready, clip.streams)) for clip in self._clips)

    @property
    def is_full(self) -> bool:
        """Whether there are as many windows as are computed at once."""
        return self.n_ready >= self.chunks.batch_size

    def step(self) -> bool:
        """Computes the next windows, and gives out what the step before has come to; False if there were none."""
        entries = self._choose()
        if not entries:
            while self._coming:
                self._give_out(*self._coming.popleft())
            return False
        assert self._lanes is not None
        windows = np.stack([entry.window.samples[entry.stream] for entry in entries])
        masks = np.stack([entry.window.mask for entry in entries])
        n_frames = np.array([entry.window.n_frames for entry in entries], np.int32)
        places = [entry.clip.places[entry.stream] if self.remembers else 0 for entry in entries]
        latents = self._lanes.run(places, windows, masks)
        self._coming.append((entries, self.finish(latents, filled(n_frames, filled_up(len(entries))))))
        for clip in [clip for clip in self._clips if clip.is_computed]:
            self.close(clip)
        # a device computes on while the host fetches what is ready
        if len(self._coming) > 1:
            self._give_out(*self._coming.popleft())
        return True

    def close(self, clip: BatchedClip) -> None:
        """Forgets a clip that is at its end, or given up."""
        if clip not in self._clips:
            return
        self._clips.remove(clip)
        self.held_bytes -= clip.held_bytes
        clip.waiting = [deque() for _ in clip.streams]
        self._places = sorted([*self._places, *clip.places])

    def _give_places(self) -> None:
        """Has clips that wait for their streams' places take those that are free, in the order in which they came."""
        if not self.remembers or self._lanes is None:
            return
        for clip in self._clips:
            if clip.places:
                continue
            if (n := len(clip.streams)) > self._lanes.n_places:
                before = self._lanes.n_places
                self._lanes.grow(n)
                self._places += range(before, self._lanes.n_places)
            if n > len(self._places):
                return
            clip.places, self._places = self._places[:n], self._places[n:]
            for place in clip.places:
                self._lanes.restart(place)

    def _choose(self) -> list[_Entry]:
        """The windows to compute next, of one shape."""
        self._give_places()
        ready = [(clip, stream) for clip in self._clips for stream in clip.streams if clip.n_ready(stream)]
        # where layers look ahead, the first window of a clip is longer: those go first, that none has long to wait
        size = max((clip.waiting[stream][0].samples.shape[1] for clip, stream in ready), default=0)
        chosen: list[_Entry] = []
        for clip, stream in ready:
            for _ in range(clip.n_ready(stream)):
                if len(chosen) == self.chunks.batch_size:
                    return chosen
                if clip.waiting[stream][0].samples.shape[1] == size:
                    chosen.append(clip.take(stream))
        return chosen

    def _give_out(self, entries: list[_Entry], values: Array) -> None:
        found = np.asarray(values)
        for row, (clip, stream, number, window) in zip(found, entries):
            clip.put(number, stream, row[: window.n_frames])


class BatchedClip:
    """A clip of `n_streams` among others."""

    def __init__(self, batches: Batches, n_streams: int) -> None:
        self._batches = batches
        chunks = batches.chunks
        self._whole = FrameEncoder(chunks, n_streams) if chunks.module.encodes_whole else None
        self._windows = None if self._whole else Windows(chunks, n_streams)
        self.places: list[int] = []
        """of its streams among the lanes, once they have them"""
        self.streams = range(n_streams)
        self.waiting: list[deque[Window]] = [deque() for _ in self.streams]
        self.n_cut = 0
        """windows, so far"""
        self.held_bytes = 0
        self._taken = [0] * n_streams  # windows
        self._ended = False
        self._parts: dict[int, list[np.ndarray | None]] = {}  # values of windows by stream
        self._given = 0  # windows

    def push(self, audio: np.ndarray) -> None:
        """Takes samples (n_streams, m, C)."""
        if self._whole:
            self._whole.push(audio)
            return
        assert self._windows is not None
        for window in self._windows.push(audio):
            self._add(window)

    def finish(self) -> None:
        """That was all of it."""
        self._ended = True
        if self._whole:
            for number, latents in enumerate(self._whole.finish()):
                self.n_cut += 1
                size, n = self._batches.chunks.chunk_frames, latents.shape[1]
                padded = np.pad(latents, ((0, 0), (0, size - n), (0, 0)))
                for stream, alone in enumerate(padded):
                    values = self._batches.finish(alone[None], np.array([n], np.int32))
                    self.put(number, stream, np.asarray(values)[0, :n])
            return
        assert self._windows is not None
        for window in self._windows.finish():
            self._add(window)
        if self.is_computed:
            self._batches.close(self)

    @property
    def is_computed(self) -> bool:
        """Whether no window waits, and none will come."""
        return self._ended and not any(self.waiting)

    def take_values(self) -> list[np.ndarray]:
        """What `Batches.finish` gave for the windows that are computed, (n_streams, n, …) each, in their order."""
        found = []
        while (parts := self._parts.get(self._given)) and all(part is not None for part in parts):
            found.append(np.stack([part for part in parts if part is not None]))
            del self._parts[self._given]
            self._given += 1
        return found

    def n_ready(self, stream: int) -> int:
        """How many windows of a stream could be computed now."""
        n = len(self.waiting[stream])
        return min(n, len(self.places), 1) if self._batches.remembers else n

    def take(self, stream: int) -> _Entry:
        """The next window of a stream."""
        window = self.waiting[stream].popleft()
        self._count(-window.samples[stream].nbytes)
        self._taken[stream] += 1
        return _Entry(self, stream, self._taken[stream] - 1, window)

    def put(self, number: int, stream: int, values: np.ndarray) -> None:
        """Takes what has become of a window."""
        self._parts.setdefault(number, [None] * len(self.streams))[stream] = values

    def _add(self, window: Window) -> None:
        window = window._replace(samples=window.samples.copy())  # of a buffer that would be kept with it
        for queue in self.waiting:
            queue.append(window)
        self.n_cut += 1
        self._count(window.samples.nbytes)

    def _count(self, n_bytes: int) -> None:
        self.held_bytes += n_bytes
        self._batches.held_bytes += n_bytes
