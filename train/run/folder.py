"""The run directory: who may use it, and what is in it from the beginning."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

from configs import loading
from configs.base import Config
from train.data import inventory
from train.data.inventory import Inventory
from train.run import lock
from zoo.errors import ZooError
from zoo.saved import whole

CONFIG = "config.json"


def check(workdir: Path, config: Config) -> None:
    """Raises ZooError where the folder holds something that the run may not continue or delete."""
    try:
        str(workdir.absolute()).encode()
    except UnicodeEncodeError:  # tensorstore would take it for damage, after hours at the first checkpoint
        raise ZooError(f"workdir {workdir}: checkpoints need a folder whose name is UTF-8; choose another") from None
    there = next(folder for folder in (workdir, *workdir.absolute().parents) if os.path.exists(folder))
    if not there.is_dir():
        raise ZooError(f"workdir {workdir}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ZooError(f"workdir {workdir}: {there} cannot be written to")
    if not workdir.is_dir() or lock.is_unused(workdir):
        return
    if not config.resume and not config.overwrite:
        raise ZooError(
            f"{workdir} exists already: --resume continues it, --overwrite deletes it, --workdir takes another"
        )
    if not (workdir / CONFIG).is_file():
        flag = "--resume" if config.resume else "--overwrite"
        raise ZooError(f"{workdir} is no run (it has no config.json), so {flag} leaves it alone")


def reserve(workdir: Path, config: Config, held: lock.RunLock) -> None:
    """Locks the folder if it is there, and checks it."""
    held.acquire(create=False)
    check(workdir, config)


def prepare(workdir: Path, config: Config, held: lock.RunLock) -> None:
    """Locks the folder, then deletes the former run if that was asked for; an empty one gets its configuration."""
    held.acquire()
    check(workdir, config)  # another run may have begun and ended in it since
    if config.overwrite and not config.resume:
        empty(workdir)
    if not (workdir / CONFIG).exists():
        write_config(workdir, config)


def empty(workdir: Path) -> None:
    """Deletes all that is in a run directory but the lock, which others would find free in its absence.

    The configuration goes last: as long as anything is left, the folder can be told to be a run.
    """
    for path in sorted(workdir.iterdir(), key=lambda path: path.name == CONFIG):
        if path.name == lock.NAME:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_down(workdir: Path, config: Config, audio: Inventory) -> None:
    """Writes what the run is, now that nothing speaks against it."""
    write_config(workdir, config)
    inventory.write(workdir, audio)


def write_config(workdir: Path, config: Config) -> None:
    """Writes the configuration, without what was meant only for one start of the run."""
    once = dataclasses.replace(config.data, accept_changes=False)
    config = dataclasses.replace(config, data=once, profile=None, overwrite=False, resume=False)
    whole.write_text(workdir / CONFIG, json.dumps(loading.to_dict(config), indent=2) + "\n")
