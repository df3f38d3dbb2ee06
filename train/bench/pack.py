"""What travels to an accelerator without a network, in bundles: `python -m train.bench.pack --audio DIR --run RUN`.

Training audio, coded anew with Opus so that it fits, the latest state of a run, and packages for the Python there.
`train/bench/accelerator.sh --bundles …` unpacks them on the other side.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluate.rivals.opus import KBPS, Opus
from train.bench import latest, pieces
from zoo import audio
from zoo.audio.scan import scan
from zoo.console.command import command, progress
from zoo.errors import ZooError
from zoo.saved import whole

PACKAGES = (
    "array-record", "cffi", "constriction", "docstring-parser", "grain", "portpicker", "pycparser", "soundfile", "soxr",
    "tensorboardX", "typeguard", "tyro",
)  # fmt: skip
"""What training takes beside jax, flax, optax, orbax, numpy, scipy, matplotlib, rich and pytest, with all it needs."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64",
             "manylinux1_x86_64")  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Packs what a training run needs on a machine that has jax, but no network, and takes so much at a time.

    Stopped and run again, it goes on where audio is concerned. Bundles are folders: BUNDLE-1, BUNDLE-2, …

    Examples:
      python -m train.bench.pack --audio ~/music --run runs/spectral
      python -m train.bench.pack --audio ~/music --audio_mib 30 --no-state --output build/travel
    """

    audio: str | None = None
    """folder of training audio"""
    run: str | None = None
    """run directory whose latest checkpoint goes along"""
    state: bool = True
    """with the optimiser's state, by which the run is continued; else a new one begins with its weights"""
    wheels: bool = True
    """with packages"""
    package: tuple[str, ...] = PACKAGES
    """packages that the other side does not have, and what they need: nothing is added to them"""
    python: str = "3.12"
    """of the other side, on Linux and x86-64"""
    audio_mib: float = 48.0
    """of all coded audio, about: it decides the bitrate"""
    sample_rate: int = 24000
    """Hz of the coded audio, one that Opus has"""
    channels: int = 1
    bundle_mib: float = 52.0
    """of a bundle at most; the repository travels beside it"""
    output: str = "build/travel"


def run(options: Options) -> None:
    """Packs and says what; raises ZooError for input that cannot be used."""
    if not options.bundle_mib > 0 or not options.audio_mib > 0:
        raise ZooError("--bundle_mib and --audio_mib must be positive")
    if not (options.audio or options.run or options.wheels):
        raise ZooError("nothing to pack: give --audio DIR, --run RUN or --wheels")
    output = Path(options.output)
    state = latest.contents(Path(options.run), state=options.state) if options.run else {}  # before anything takes time
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("bundle-*"):
        shutil.rmtree(old)
    places, archives = bundles(output, int(options.bundle_mib * pieces.MIB)), []
    # in this order: with the first bundle alone, all can be measured
    if options.wheels:
        fetch(options.package, options.python, output / "wheels")
        archives.append(_cut(output / "wheels", "wheels", places))
    if options.run and state:
        archives += latest.archive(Path(options.run), output, places, state=options.state, below="run")
    if options.audio:
        archives.append(_cut(recode(Path(options.audio), output, options), "audio", places))
    folders = sorted(output.glob("bundle-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    for folder in folders:
        pieces.write_manifest(folder, archives)
    for archive in archives:
        print(f"{archive.name}: {archive.n_bytes / pieces.MIB:.1f} MiB in {len(archive.pieces)} piece(s)")
    for folder in folders:
        print(f"{folder}: {_size(folder) / pieces.MIB:.1f} MiB")


def bundles(output: Path, n_bytes: int) -> Iterator[tuple[Path, int]]:
    """Places for pieces, as `pieces.cut` takes them: bundle-1 until it has so many bytes, then bundle-2, and so on."""
    for number in itertools.count(1):
        folder = output / f"bundle-{number}"
        while (left := n_bytes - _size(folder)) > 0:
            yield folder, left


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _cut(folder: Path, name: str, places: Iterator[tuple[Path, int]]) -> pieces.Archive:
    archive = folder.with_name(f"{name}.tar")
    pieces.pack(folder, sorted(path.name for path in folder.iterdir()), archive, below=name)
    found = pieces.cut(archive, places)
    archive.unlink()
    return found


def recode(root: Path, output: Path, options: Options) -> Path:
    """Codes all audio below `root` with Opus, into a folder whose name says how; what is there already is kept.

    Files that cannot be read are named on standard error. Raises ZooError where none can, and where all would need a
    lower bitrate than Opus has.
    """
    paths = audio.find_files(root)
    scanned = list(zip(paths, scan(root, paths)))
    readable = [(path, info) for path, info in scanned if not isinstance(info, str)]
    for path, why in scanned:
        if isinstance(why, str):
            print(f"skipped {path}: {why}", file=sys.stderr)
    seconds = sum(info.seconds for _, info in readable)
    if not seconds:
        raise ZooError(f"{root}: none of its {len(paths)} audio files can be read")
    kbps = bitrate(seconds, int(options.audio_mib * pieces.MIB), options.channels)
    print(f"audio: {seconds / 3600:.2f} hours at {kbps:.1f} kbps")
    into = output / f"audio_{options.sample_rate}_{options.channels}_{kbps:.1f}"
    coder = Opus(kbps, options.sample_rate, options.channels)
    with progress(seconds, "audio") as advance:
        for path, info in readable:
            target = into / path.relative_to(root)
            target = target if target.suffix == ".opus" else target.with_name(f"{target.name}.opus")
            if not target.exists():
                found = audio.read(path, sample_rate=options.sample_rate, channels=options.channels)
                target.parent.mkdir(parents=True, exist_ok=True)
                whole.write_bytes(target, coder.encode(found.samples))
            advance(info.seconds)
    return into


def bitrate(seconds: float, n_bytes: int, channels: int) -> float:
    """The kbps at which so many seconds of Opus take so many bytes; raises ZooError below what it has."""
    low, high = (kbps * channels for kbps in KBPS)
    kbps = n_bytes * 8 / seconds / 1000
    if kbps < low:
        raise ZooError(f"{seconds / 3600:.1f} hours do not fit into {n_bytes / pieces.MIB:.1f} MiB: --audio_mib")
    return min(kbps, high)


def fetch(packages: Sequence[str], python: str, into: Path) -> None:
    """Downloads wheels for that Python on Linux and x86-64; raises ZooError where pip cannot.

    A package that is there already is not asked for again.
    """
    into.mkdir(parents=True, exist_ok=True)
    there = {path.name.split("-")[0].lower().replace("_", "-") for path in into.glob("*.whl")}
    missing = [name for name in packages if name.lower() not in there]
    if not missing:
        return
    flags = [f"--platform={name}" for name in PLATFORMS]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *flags, "-d", str(into), *missing],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise ZooError(f"packages {' '.join(missing)}: {said[-1]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train.bench.pack", run, arguments, cached=False)


if __name__ == "__main__":
    main()
