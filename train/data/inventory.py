"""What a run is trained on, written down at its beginning: other files give the same numbers other examples."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from train.data.source import CropSource
from zoo.errors import ZooError
from zoo.saved import whole
from zoo.wording import counted, some

FILE = "data.json"


@dataclass(frozen=True)
class Inventory:
    """The audio that a source draws from: frames by name relative to the root; empty for the embedded generator.

    Durations stand for contents: nothing but headers is read, and a file whose tags were edited is the same.
    """

    frames: dict[str, int]
    seconds: float = 0.0

    @property
    def digest(self) -> str:
        content = "".join(f"{name}\0{n}\n" for name, n in sorted(self.frames.items()))
        return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()

    def __str__(self) -> str:
        hours = self.seconds / 3600
        return f"{counted(len(self.frames), 'file')}, {hours:.3g} hours" if self.frames else "the embedded generator"


def of(source: CropSource) -> Inventory:
    """The inventory of a source; reads nothing."""
    return Inventory(source.inventory(), source.seconds)


def check(workdir: Path, now: Inventory, *, root: str | None, accept_changes: bool) -> None:
    """Raises ZooError where a run's data is not what it was, unless that is accepted; says what is different.

    A run of an earlier version, which wrote nothing down, is taken as it is.
    """
    if accept_changes or (then := read(workdir)) is None or then.digest == now.digest:
        return
    flag = "--data.accept_changes continues with what is there now"
    where = root or "the embedded generator"
    if not then.frames or not now.frames:
        raise ZooError(f"this run was begun on {then}, not on {where} ({now}): {flag}")
    changed = [name for name in then.frames if name in now.frames and then.frames[name] != now.frames[name]]
    different = {
        "missing": [name for name in then.frames if name not in now.frames],
        "added": [name for name in now.frames if name not in then.frames],
        "of another length": changed,
    }
    said = [f"{len(names)} {what} ({some(sorted(names))})" for what, names in different.items() if names]
    raise ZooError(
        f"{where} is not what this run was begun on ({then}, now {now}): {'; '.join(said)}. Restore it, or {flag}"
    )


def write(workdir: Path, inventory: Inventory) -> None:
    """Writes an inventory down in a run directory."""
    stored = {"digest": inventory.digest, "seconds": round(inventory.seconds, 3), "frames": inventory.frames}
    whole.write_text(workdir / FILE, json.dumps(stored, indent=0) + "\n")


def read(workdir: Path) -> Inventory | None:
    """The inventory in a run directory, None where there is none; raises ZooError where it is damaged."""
    try:
        stored = json.loads((workdir / FILE).read_text())
        return Inventory({str(name): int(n) for name, n in stored["frames"].items()}, float(stored["seconds"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZooError(f"{workdir / FILE} cannot be read ({error}); --data.accept_changes writes it anew") from None
