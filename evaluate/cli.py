"""What the commands of this package share: the codecs and clips that are named in their arguments.

Imports nothing that computes, so that --help is quick.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.console.terminal import printable
from zoo.errors import ZooError
from zoo.wording import counted

if TYPE_CHECKING:
    from evaluate.clips import Clip, FolderClips
    from zoo.ready import ReadyCodec

RATE_WITHOUT_CODEC = 48_000
"""Hz at which others are compared where no codec says otherwise"""

MAX_TRAIN_S = 100_000.0


@dataclass(frozen=True)
class Folder:
    """A folder of audio files."""

    root: str | None = None
    """its path"""


@dataclass(frozen=True)
class Measured(Folder):
    """A folder or store of audio files, or of archives of them, and how these are taken."""

    root: str | None = None
    """its path or URI"""
    downmix: Literal["mix", "first"] = "mix"
    """how more than two channels become fewer: mixed (5.1 and the like by ITU-R BS.775), or the first ones"""
    stream: int | None = None
    """which of the audio streams of containers (films), from 0; None = the first"""


@dataclass(frozen=True)
class FittedOptions:
    """A checkpoint, the audio on which tables are fitted for it, and that on which they are measured."""

    ckpt: str
    """run directory, or one checkpoint inside it"""
    data: Folder = field(default_factory=Folder)
    """audio on which tables are fitted; None = what the codec was trained on"""
    eval: Measured = field(default_factory=Measured)
    """clips that are measured; None = held-out clips of the embedded generator"""
    train_s: float = 900.0
    """seconds of training audio"""
    limit: int | None = None
    """measured clips of each domain; None = all"""


def load_codecs(paths: Sequence[str]) -> dict[str, ReadyCodec]:
    """Codecs by name: that of the run directory, or, where two have the same, the path as it was given.

    Raises ZooError for a path without a checkpoint, a path given twice, or none at all.
    """
    from zoo import loading

    if not paths:
        raise ZooError("--ckpt needs a run directory")
    found = [loading.load(path) for path in paths]
    names = [printable(run_folder(codec).resolve().name) for codec in found]
    if len(set(names)) < len(names):
        names = [printable(str(Path(path))) for path in paths]
    if len(set(names)) < len(names):
        raise ZooError(f"--ckpt names the same checkpoint twice: {' '.join(paths)}")
    return dict(zip(names, found))


def run_folder(codec: ReadyCodec) -> Path:
    """The run directory that a codec was loaded from, or the checkpoint's own folder where it stands alone."""
    checkpoint = Path(codec.metadata["path"])
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint


def check_train_s(train_s: float) -> None:
    """Raises ZooError for a length of training audio that there cannot be, or that takes days to code."""
    if not 0 < train_s <= MAX_TRAIN_S:
        raise ZooError(f"--train_s must be above 0 and at most {MAX_TRAIN_S:g}, got {train_s:g}")


def check_seed(seed: int) -> None:
    """Raises ZooError for a seed that random generators do not take."""
    if not 0 <= seed < 2**32:
        raise ZooError(f"--seed must lie between 0 and {2**32 - 1}, got {seed}")


def results_folder(named: str | None, codec: ReadyCodec | None) -> Path:
    """The folder for results, before anything is computed: the one named, else evaluation/ where the codec is.

    For a codec that is no folder that is one of its name in evaluation/, without a codec evaluation/ itself. Raises
    ZooError for a file, and where nothing can be written.
    """
    from zoo.audio.output import check_folder

    if named is not None:
        return check_folder(named)
    if codec is None:
        return check_folder("evaluation")
    folder = run_folder(codec)
    return check_folder(folder / "evaluation" if folder.is_dir() else Path("evaluation") / folder.name)


def check_results_file(path: str | None) -> None:
    """Raises ZooError, before anything is computed, for a folder, and for a file that cannot be written."""
    from zoo.audio.output import check_folder

    if path is None:
        return
    if path and Path(path).is_dir():
        raise ZooError(f"{path}: is a folder, not a file to write")
    check_folder(path and Path(path).parent)


class ReadableClips:
    """The clips of a folder, `limit` of each domain, read anew at each pass: long ones in pieces.

    A file that is no audio is left out, named once and kept in `skipped`; one that holds a NaN raises ZooError.
    """

    def __init__(self, folder: FolderClips, limit: int | None = None) -> None:
        self._folder = folder
        self.skipped: set[Path] = set()
        self._channels: dict[Path, int] = {}
        domains: dict[str, list[int]] = {}
        for i, path in enumerate(folder.files):
            parts = path.relative_to(folder.root).parts
            domains.setdefault(parts[0] if len(parts) > 1 else "", []).append(i)
        self._chosen = [i for indices in domains.values() for i in _evenly(indices, limit)]

    def __len__(self) -> int:
        """Number of files."""
        return len(self._chosen)

    def __iter__(self) -> Iterator[Clip]:
        for i in self._chosen:
            n_given = 0
            try:
                for piece in self._folder.pieces(i):
                    self._channels[self._folder.files[i]] = piece.samples.shape[1]
                    yield piece
                    n_given += 1
            except ZooError:
                if n_given or self._is_readable(self._folder.files[i]):
                    raise

    def say_what_was_taken(self, channels: int) -> None:
        """Prints, of the files read so far, how many were left out, and how many have more than these channels."""
        if self.skipped:
            print(f"left out {counted(len(self.skipped), 'file')} that could not be read", file=sys.stderr)
        if wide := sum(n > channels for n in self._channels.values()):
            kept = "one channel" if channels == 1 else f"{channels} channels"
            how = {"mix": "they were mixed, those of loudspeakers by ITU-R BS.775", "first": "the first were taken"}
            print(f"{wide} of the files have more than {kept}: {how[self._folder.downmix]}", file=sys.stderr)

    def _is_readable(self, path: Path) -> bool:
        from zoo import audio

        try:
            audio.read(path, stream=self._folder.stream)
        except ZooError as error:
            if path not in self.skipped:
                self.skipped.add(path)
                print(f"skipped {error}", file=sys.stderr, flush=True)
            return False
        return True


def load_clips(data: Measured, codec: ReadyCodec | None, *, limit: int | None = None) -> Sequence[Clip] | ReadableClips:
    """The clips of a folder or store, or those held out of the embedded generator, as many as the codec's run asks for.

    Held-out clips have the codec's format, or are mono at `RATE_WITHOUT_CODEC` where no codec is measured.
    `limit` is the number of clips in each domain. Raises ZooError for a folder without audio.
    """
    from evaluate.clips import clips_from_folder, held_out_clips
    from zoo import synth

    if limit is not None and limit < 1:
        raise ZooError(f"--limit must be at least 1, got {limit}")
    if data.root is not None:
        return ReadableClips(clips_from_folder(data.root, downmix=data.downmix, stream=data.stream), limit)
    settings = evaluation_settings(codec)
    n_clips = settings.clips if limit is None else min(settings.clips, limit * len(synth.DOMAINS))
    rate, channels = (codec.sample_rate, codec.channels) if codec else (RATE_WITHOUT_CODEC, 1)
    return held_out_clips(n_clips=n_clips, clip_s=settings.clip_s, sample_rate=rate, channels=channels)


def evaluation_settings(codec: ReadyCodec | None) -> Any:
    """The evaluation section of the run's configuration, as configs.base.Evaluation; its defaults without a codec."""
    from configs.base import Evaluation

    if codec is None:
        return Evaluation()
    stored = codec.metadata.get("config", {}).get("evaluation", {})
    return Evaluation(**{f.name: stored[f.name] for f in dataclasses.fields(Evaluation) if f.name in stored})


def _evenly(indices: Sequence[int], limit: int | None) -> list[int]:
    n = len(indices)
    if limit is None or limit >= n:
        return list(indices)
    return [indices[(2 * i + 1) * n // (2 * limit)] for i in range(limit)]
