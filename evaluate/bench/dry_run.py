"""Tokenising many tiny clips by a codec that computes nothing: what is left is the cost of all else."""

from __future__ import annotations

import functools
import io
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from evaluate.bench.tokenise_work import planned

if TYPE_CHECKING:
    from zoo.ready import ReadyCodec
    from zoo.tokenise.plan import Unit
    from zoo.tokenise.work import Work

CLIP_S = 0.1
"""of the clips of the dry run"""
CLIPS_IN_A_TAR = 10_000


@dataclass(frozen=True)
class DryRun:
    """Milliseconds to a row where the codec does nothing."""

    rows: int
    all_ms: float
    decoding_ms: float
    """of reading the archives and decoding their clips, alone"""
    all_cpu_ms: float
    decoding_cpu_ms: float
    """the same in seconds of the processor, of which other programs take nothing"""

    @property
    def outside_ms(self) -> float:
        """Outside of decoding and coding."""
        return self.all_ms - self.decoding_ms

    @property
    def outside_cpu_ms(self) -> float:
        """Outside of decoding and coding, of the processor's time."""
        return self.all_cpu_ms - self.decoding_cpu_ms


def dry_run(n_rows: int) -> DryRun:
    """Tokenises clips of noise by a codec whose networks give zeros at once."""
    import numpy as np

    from zoo.library.clips import Begin, events
    from zoo.library.store import Local

    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        source = Path(folder, "in")
        source.mkdir()
        noise = np.random.default_rng(0).standard_normal((256, round(CLIP_S * 8000))) * 0.1
        _archives(source, noise, n_rows)
        codec = _stub()
        work, units = planned(str(source), str(Path(folder, "out")), codec, functools.partial(_stub))
        store = Local(str(source))
        found, decoding_s, decoding_cpu_s = _timed(
            lambda: sum(
                isinstance(event, Begin) for unit in units for file in unit.files for event in events(store, file)
            )
        )
        assert found == n_rows
        _, all_s, all_cpu_s = _timed(lambda: _work_alone(work, codec, units))
    each = (1e3 * seconds / n_rows for seconds in (all_s, decoding_s, all_cpu_s, decoding_cpu_s))
    return DryRun(n_rows, *each)


def _archives(folder: Path, noise: Any, n_rows: int) -> None:
    import soundfile

    wavs = []
    for clip in noise:
        stream = io.BytesIO()
        soundfile.write(stream, clip, 8000, format="WAV", subtype="PCM_16")
        wavs.append(stream.getvalue())
    for first in range(0, n_rows, CLIPS_IN_A_TAR):
        with tarfile.open(folder / f"{first:09d}.tar", "w") as archive:
            for number in range(first, min(first + CLIPS_IN_A_TAR, n_rows)):
                data = wavs[number % len(wavs)]
                member = tarfile.TarInfo(f"{number}.wav")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def _stub() -> ReadyCodec:
    """A codec whose encoder and bottleneck compute nothing."""
    import numpy as np

    from evaluate.bench.models import random_codec

    codec = random_codec("vae", sample_rate=8000, latent_dim=8, widths=(8, 8), strides=(8, 20), dilations=(1,))
    chunks = codec.engine.chunks(codec.packet_frames())
    latents = np.zeros((chunks.chunk_frames, 8), np.float32)
    codes = np.zeros((1, chunks.chunk_frames, codec.symbols.n_codes(codec.default_level)), np.int32)
    vars(chunks).update(
        _encode=SimpleNamespace(one=lambda variables, carry, audio, mask: (latents, carry)),
        quantised=lambda latents, n_frames, level: codes,
    )
    return codec


def _work_alone(work: Work, codec: ReadyCodec, units: Sequence[Unit]) -> None:
    from zoo.tokenise.work import Worker

    worker = Worker(work, codec, ahead=False)
    for unit in units:
        worker.run(unit)


def _timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call gives, its seconds, and those of the processor."""
    start, cpu_start = time.perf_counter(), time.process_time()
    found = call()
    return found, time.perf_counter() - start, time.process_time() - cpu_start
