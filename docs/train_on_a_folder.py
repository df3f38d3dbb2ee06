"""Trains a codec on a folder of audio from Python, prints how it went, and codes a file with it.

    python docs/train_on_a_folder.py ~/music --workdir runs/music --steps 2000

It does what `python -m train --model vae --data.root ~/music` does, as a starting point for scripts of your own: a
sweep over settings, a notebook, a service that trains. `--resume` continues a run that was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import zoo
from configs import loading
from configs.base import Config
from train.run.loop import run
from train.run.signals import StoppedError
from zoo import audio


def configuration(args: argparse.Namespace) -> Config:
    """Returns the chosen configuration with the folder as its data; all other values stay as its file has them."""
    name = args.config
    base = loading.get(name) if name in loading.names() else loading.from_file(name)
    return replace(
        base,
        workdir=str(args.workdir),
        steps=args.steps or base.steps,
        resume=args.resume,
        # below fifty files the usual 2 % would hold out none or one
        data=replace(base.data, root=str(args.folder), held_out=0.1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="audio files of any format and rate, in any sub-folders")
    parser.add_argument("--workdir", type=Path, required=True, help="where the run is kept")
    parser.add_argument("--config", default="vae", help="a name from configs/, or a Python file that sets CONFIG")
    parser.add_argument("--steps", type=int, help="optimiser steps (default: the configuration's)")
    parser.add_argument("--resume", action="store_true", help="continue the run in WORKDIR")
    args = parser.parse_args()

    run(Path(args.config).stem, configuration(args))

    print("\nheld-out clips at each checkpoint")
    for line in (args.workdir / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "held_out/mel" in row:
            print(f"  step {row['step']}: mel {row['held_out/mel']:.3f}, SNR {row['held_out/snr_db']:.2f} dB")

    codec = zoo.load(args.workdir)
    path = audio.find_files(args.folder)[0]
    clip = audio.read(path, seconds=10)
    blob = codec.compress(clip.samples, clip.sample_rate)
    decoded, sample_rate = codec.decompress(blob)
    audio.write(args.workdir / "example.wav", decoded, sample_rate)
    kbps = 8e-3 * len(blob) * clip.sample_rate / len(clip.samples)
    print(f"{path}: {len(blob)} bytes for its first ten seconds at most, {kbps:.2f} kbps; decoded: example.wav")


if __name__ == "__main__":
    try:
        main()
    except StoppedError as stopped:  # SIGTERM or Ctrl-C: everything is saved
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_status)
    except (zoo.ZooError, loading.ConfigError) as error:
        sys.exit(f"error: {error}")
