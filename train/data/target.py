"""Where prepared shards go: a folder, or a store, beside which the work is done in a folder of the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.audio.places import is_uri
from zoo.errors import ZooError
from zoo.library.store import Store, open_store
from zoo.saved import user_cache


@dataclass(frozen=True)
class Target:
    """A folder or store of shards, and the folder in which they are made."""

    name: str
    folder: Path
    store: Store | None
    """None: the shards stay in the folder"""

    def publish(self, name: str) -> None:
        """Puts a file that is complete where it belongs; raises ZooError where a store does not take it."""
        if self.store is not None:
            self.store.put(name, self.folder / name)
            (self.folder / name).unlink()

    def holds(self) -> set[str]:
        """Names of all that lies there."""
        if self.store is not None:
            return self.store.children("")
        return {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A context manager that yields the path of one of its files, or of a copy that is gone afterwards."""
        if self.store is None:
            yield self.folder / name
        else:
            with self.store.local(name) as copy:
                yield copy

    def clear(self) -> None:
        """Removes what was needed on the way."""
        shutil.rmtree(self.folder if self.store is not None else self.folder / ".prepare", ignore_errors=True)


def of(place: str) -> Target:
    """The target that a path or URI names; raises ZooError where there is no place for what is made on the way."""
    if not is_uri(place) or place.startswith("file://"):
        return Target(place, Path(place.removeprefix("file://")), None)
    cache = user_cache.folder("prepare")
    if cache is None:
        raise ZooError("there is no place to make shards for a store in: set XDG_CACHE_HOME to a folder")
    place = place.rstrip("/")
    return Target(place, cache / hashlib.sha256(place.encode()).hexdigest()[:24], open_store(place))
