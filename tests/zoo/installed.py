"""Builds the wheel, installs it in a new environment, and uses the package's codecs there without a network.

    python tests/zoo/installed.py
    python tests/zoo/installed.py --codec out/codec     where zoo/models is empty: with this folder as codec_24khz

The environment, its home and the working directory are new and lie outside the checkout; pip needs the index (a few
minutes), everything after it none: in the environment a connection cannot be made, and an attempt is a failure. A song
is encoded and decoded with no codec named, and every codec of the package is evaluated. Ends with status 1 where
anything is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ATTEMPTS = "attempts.txt"
NO_NETWORK = """
import os, socket

def _refuse(what):
    with open(os.environ["ATTEMPTS"], "a") as log:
        print(what, file=log)
    raise OSError("no network here")

def _connect(self, address):
    return _refuse(address) if self.family in (socket.AF_INET, socket.AF_INET6) else _connect_before(self, address)

_connect_before = socket.socket.connect
socket.socket.connect = socket.socket.connect_ex = _connect
socket.getaddrinfo = lambda host, *_, **__: _refuse(host)
"""
SONG = """
import numpy as np, soundfile
t = np.arange(3 * 44100)[:, None] / 44100
tones = sum(np.sin(2 * np.pi * f * t) * np.exp(-2 * (t % 0.5)) for f in (220, 331, 523, 1760))
soundfile.write("song.flac", np.clip(0.15 * tones * np.array([[1.0, 0.8]]), -1, 1), 44100)
"""
LOOK = """
import json, sys, soundfile, zoo
from zoo import shipped
before, after = soundfile.info("song.flac"), soundfile.info("song.wav")
assert (before.frames, before.samplerate, before.channels) == (after.frames, after.samplerate, after.channels)
blob = open("song.zac", "rb").read()
assert zoo.decompress(blob).audio.shape == (before.frames, before.channels)
for name in shipped.names():
    assert zoo.load(name).digest.hex() == shipped.about(name).digest, name
assert zoo.load().digest.hex() == shipped.about(shipped.DEFAULT).digest
assert [model.name for model in zoo.models() if model.at_hand] == list(shipped.names())
tasks = {name: shipped.about(name).task for name in shipped.names()}
print(json.dumps({"place": zoo.__file__, "tasks": tasks, "torch": "torch" in sys.modules}))
"""


class Failure(Exception):
    """Something that is not as it should be."""


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Runs a program, and gives what it prints; raises Failure where it fails."""
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Failure(f"{' '.join(arguments[1:])} ended with status {done.returncode}:\n{said}")
    return done.stdout


def build(folder: Path, codec: str | None) -> Path:
    """The wheel of the files that git knows, those that are new included, and of a codec if one is given."""
    source = folder / "source"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in run(listed, ROOT, dict(os.environ)).split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    if codec is not None:
        shutil.copytree(codec, source / "zoo" / "models" / "codec_24khz")
    there = {path.relative_to(source).as_posix() for path in (source / "zoo" / "models").rglob("*") if path.is_file()}
    if not there:
        raise Failure("zoo/models is empty: give an exported codec with --codec DIR")
    pip = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "-w", str(folder), str(source)]
    run(pip, folder, dict(os.environ))
    (wheel,) = folder.glob("*.whl")
    if missing := there - set(zipfile.ZipFile(wheel).namelist()):
        raise Failure(f"not in the wheel: {', '.join(sorted(missing))}")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB with {len(there)} files of codecs", flush=True)
    return wheel


def install(folder: Path, wheel: Path) -> str:
    """The Python of a new environment that has the wheel and what it needs, and reaches nothing."""
    home = folder / "env"
    venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run([python, "-m", "pip", "-q", "install", f"{wheel}[evaluate]"], folder, outside)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    return python


def use(folder: Path, python: str) -> None:
    """What a user does first; raises Failure where anything is not as it should be."""
    place = folder / "work"
    place.mkdir()
    log = folder / ATTEMPTS
    environment = {"HOME": str(place), "PATH": os.environ["PATH"], "ATTEMPTS": str(log), "JAX_PLATFORMS": "cpu"}
    run([python, "-c", SONG], place, environment)
    print(run([python, "-m", "zoo", "list"], place, environment).splitlines()[1])
    run([python, "-m", "zoo", "encode", "song.flac", "song.zac"], place, environment)
    run([python, "-m", "zoo", "decode", "song.zac", "song.wav"], place, environment)
    print(run([python, "-m", "zoo", "info", "song.zac"], place, environment))
    found = json.loads(run([python, "-c", LOOK], place, environment))
    if folder not in Path(found["place"]).parents or found["torch"]:
        raise Failure(f"not the package that was installed, or one with torch: {found}")
    for name, task in found["tasks"].items():
        command = [python, "-m", "evaluate", "--ckpt", name, "--limit", "1"]
        print(run([*command, *(["--task", task] if task == "denoise" else [])], place, environment))
        results = "denoise.json" if task == "denoise" else "results.json"
        if not (place / "evaluation" / name / results).is_file():
            raise Failure(f"evaluating {name} wrote no results")
    if "denoise" in found["tasks"].values():
        print(run([python, "-m", "zoo", "denoise", "song.flac", "clean.flac"], place, environment))
    if log.exists():
        raise Failure(f"there were attempts to reach a network: {log.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", help="a folder that python -m zoo export wrote, to be codec_24khz")
    parser.add_argument("--keep", help="a folder to keep the environment in")
    options = parser.parse_args()
    folder = Path(options.keep or tempfile.mkdtemp(prefix="installed")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        use(folder, install(folder, build(folder, options.codec)))
    except Failure as error:
        print(f"FAILED: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("all of it works as installed, without a network")


if __name__ == "__main__":
    main()
