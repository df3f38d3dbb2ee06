"""`python -m train check DIR`: every file of a library decoded to its end, and what is strange about each."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from zoo.console.command import command, progress
from zoo.errors import ZooError
from zoo.wording import counted, speed

if TYPE_CHECKING:
    from zoo.audio.report import AudioReport

_NAMED = 20
"""files that a line each is printed for; of more, their number"""


@dataclass(frozen=True)
class Options:
    """Decodes all audio below DIR, and tells what is damaged, silent, clipped, or not as long as its header says.

    The exit status is 1 if a file cannot be read.

    Examples:
      python -m train check ~/music
      python -m train check ~/music --output music.jsonl      a line of JSON for each file
    """

    dir: Positional[Annotated[str, arg(metavar="DIR")]]
    """folder of audio files, of any format, rate and number of channels"""
    output: str | None = None
    """file to write: a line of JSON for each file"""
    workers: int | None = None
    """files decoded at once; None = as many as there are cores"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train check", run, arguments, cached=False, extra="train")


def run(options: Options) -> None:
    """Examines a library; raises ZooError if there is none, and SystemExit with status 1 if a file cannot be read."""
    from zoo import audio
    from zoo.audio.output import check_output, describe

    if options.workers is not None and options.workers < 1:
        raise ZooError(f"--workers must be at least 1, got {options.workers}")
    root = Path(options.dir)
    paths = audio.find_files(root, on_left_out=lambda line: print(line, file=sys.stderr))
    if options.output is not None:
        check_output(options.output, force=True)
    begun = time.monotonic()
    reports: list[AudioReport | str] = []
    n_bytes = {path: _size(path) for path in paths}
    with progress(sum(n_bytes.values()), "checking") as advance:
        for path, report in zip(paths, _examined(paths, options.workers or os.cpu_count() or 1)):
            reports.append(report)
            advance(n_bytes[path])
    wall_s = time.monotonic() - begun
    if options.output is not None:
        try:
            with open(options.output, "w") as stream:
                for path, report in zip(paths, reports):
                    stream.write(json.dumps(record(path.relative_to(root), report)) + "\n")
        except OSError as error:
            raise ZooError(f"{options.output}: cannot be written ({describe(error)})") from None
    for line in summary(root, paths, reports, wall_s):
        print(line)
    if any(isinstance(report, str) for report in reports):
        raise SystemExit(1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _examined(paths: Sequence[Path], workers: int) -> Iterator[AudioReport | str]:
    """A report of each file, in order, or why there is none."""
    from zoo.audio.report import examine

    def examined(path: Path) -> AudioReport | str:
        try:
            return examine(path)
        except ZooError as error:
            return str(error)

    with ThreadPoolExecutor(workers) as pool:  # decoders and transforms let go of the interpreter
        try:
            yield from pool.map(examined, paths)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def record(name: Path, report: AudioReport | str) -> dict[str, Any]:
    """What is written of a file; numbers that are infinite become null."""
    printable = os.fsencode(name).decode("utf-8", "backslashreplace")
    if isinstance(report, str):
        return {"file": printable, "error": report}
    info = report.info
    return {
        "file": printable,
        "format": info.format,
        "engine": info.engine,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "n_samples": report.n_samples,
        "header_samples": info.header_samples,
        "seconds": round(report.seconds, 6),
        "peak": report.peak,
        "rms_db": _finite(report.rms_db),
        "loudness_lufs": _finite(report.loudness_lufs),
        "warnings": list(report.warnings),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def summary(root: Path, paths: Sequence[Path], reports: Sequence[AudioReport | str], wall_s: float) -> list[str]:
    """The lines that are printed: strange files first, then counts."""
    good = [report for report in reports if not isinstance(report, str)]
    bad = [report for report in reports if isinstance(report, str)]
    strange = [
        (path, report) for path, report in zip(paths, reports) if not isinstance(report, str) and report.warnings
    ]
    lines = bad[:_NAMED]
    if len(bad) > _NAMED:
        lines.append(f"{len(bad) - _NAMED} more files cannot be read: --output FILE names all")
    lines += [f"{path}: {'; '.join(report.warnings)}" for path, report in strange[:_NAMED]]
    if len(strange) > _NAMED:
        lines.append(f"{len(strange) - _NAMED} more files are strange: --output FILE names all")
    seconds = sum(report.seconds for report in good)
    lines.append(
        f"{root}: {counted(len(good), 'file')}, {seconds / 3600:.2f} hours, {len(bad)} cannot be read, "
        f"{len(strange)} strange; {wall_s:.1f} s, {speed(seconds, wall_s)}"
    )
    for name, values in (
        ("formats", [f"{report.info.format}" for report in good]),
        ("rates", [f"{report.info.sample_rate} Hz" for report in good]),
        ("channels", [str(report.info.channels) for report in good]),
    ):
        common = Counter(values).most_common()
        lines.append(f"  {name:9} " + ", ".join(f"{value} ({n})" for value, n in common))
    loud = sorted(report.loudness_lufs for report in good if math.isfinite(report.loudness_lufs))
    if loud:
        tenth, half, last = (loud[int(share * (len(loud) - 1))] for share in (0.1, 0.5, 0.9))
        lines.append(f"  loudness  {half:.1f} LUFS in the middle, from {tenth:.1f} to {last:.1f} in eight of ten files")
    return lines
