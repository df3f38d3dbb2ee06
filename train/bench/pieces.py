"""Archives in pieces of limited size, and back: `python -m train.bench.pieces join FOLDER... --into TARGET`.

Folders are packed into tar archives, which are cut; a manifest beside the pieces has their sizes and SHA-256. Standard
library only: on the other side, this is what runs before anything else is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from zoo.errors import ZooError
from zoo.saved import whole

MANIFEST = "manifest.json"
MIB = 1 << 20
_BLOCK = MIB


@dataclass(frozen=True)
class Piece:
    """A file that holds a part of an archive."""

    file: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Archive:
    """An archive and its pieces, in order."""

    name: str
    n_bytes: int
    sha256: str
    pieces: tuple[Piece, ...]


def pack(folder: Path, names: Iterable[str], archive: Path, *, below: str = "") -> None:
    """Writes a tar archive of what is called `names` in `folder`, to be unpacked `below` a folder of its own.

    The same contents give the same bytes.
    """

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.mtime = info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info

    with whole.place(archive) as temporary, tarfile.open(temporary, "w") as tar:
        for name in names:
            tar.add(folder / name, f"{below}/{name}" if below else name, filter=plain)


def cut(archive: Path, places: Iterator[tuple[Path, int]]) -> Archive:
    """Cuts an archive into pieces: each goes to the next folder of `places`, with at most so many bytes."""
    pieces: list[Piece] = []
    digest = hashlib.sha256()
    with archive.open("rb") as source:
        left = archive.stat().st_size
        while left or not pieces:
            folder, most = next(places)
            n_bytes, name = min(left, most), f"{archive.name}.{len(pieces):03}"
            folder.mkdir(parents=True, exist_ok=True)
            with whole.file(folder / name) as target:
                pieces.append(Piece(name, n_bytes, _copy(source, target, n_bytes, digest)))
            left -= n_bytes
    return Archive(archive.name, archive.stat().st_size, digest.hexdigest(), tuple(pieces))


def write_manifest(folder: Path, archives: Sequence[Archive]) -> None:
    """Writes which pieces there are of which archives."""
    whole.write_text(folder / MANIFEST, json.dumps([asdict(archive) for archive in archives], indent=1) + "\n")


def read_manifest(folder: Path) -> list[Archive]:
    """Reads what `write_manifest` wrote; raises ZooError where there is none, or it is none."""
    try:
        stored = json.loads((folder / MANIFEST).read_text())
        return [
            Archive(one["name"], one["n_bytes"], one["sha256"], tuple(Piece(**piece) for piece in one["pieces"]))
            for one in stored
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{folder / MANIFEST} cannot be read ({error})") from None


def join(folders: Sequence[Path], into: Path) -> list[str]:
    """Joins and unpacks the archives whose pieces lie in `folders`; what is wrong with others is returned, a line each.

    Pieces may lie in any of the folders, each of which may have the manifest. Raises ZooError where none has one.
    """
    having = [folder for folder in folders if (folder / MANIFEST).is_file()]
    if not having:
        raise ZooError(f"no {MANIFEST} in {', '.join(map(str, folders)) or 'no folder'}")
    archives = dict.fromkeys(archive for folder in having for archive in read_manifest(folder))
    into.mkdir(parents=True, exist_ok=True)
    wrong = []
    for archive in archives:
        joined = into / archive.name
        try:
            _join_one(archive, folders, joined)
            with tarfile.open(joined) as tar:
                tar.extractall(into, filter="data")
        except (ZooError, tarfile.TarError) as error:
            wrong.append(str(error))
        finally:
            joined.unlink(missing_ok=True)
    return wrong


def _join_one(archive: Archive, folders: Sequence[Path], joined: Path) -> None:
    places = []
    for piece in archive.pieces:
        found = [folder / piece.file for folder in folders if (folder / piece.file).is_file()]
        if not found:
            raise ZooError(f"{archive.name}: its piece {piece.file} is missing")
        places.append((piece, found[0]))
    with whole.file(joined) as target:
        for piece, place in places:
            with place.open("rb") as source:
                if _copy(source, target, place.stat().st_size) != piece.sha256:
                    raise ZooError(f"{archive.name}: its piece {place} is damaged")


def post(outbox: Path, out: Path, *, files: int, n_bytes: int) -> int:
    """Moves the next pieces from `outbox` to `out`, with its manifest, as many as these limits allow.

    What lies in `out` counts. Returns how many pieces are left, for another call.
    """
    out.mkdir(parents=True, exist_ok=True)
    waiting = [outbox / piece.file for archive in read_manifest(outbox) for piece in archive.pieces]
    waiting = [place for place in waiting if place.is_file()]
    if waiting:
        shutil.copyfile(outbox / MANIFEST, out / MANIFEST)
    while waiting:
        there = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
        if len(there) >= files or sum(there) + waiting[0].stat().st_size > n_bytes:
            break
        place = waiting.pop(0)
        shutil.move(place, out / place.name)
    return len(waiting)


def _copy(source: BinaryIO, target: BinaryIO, n_bytes: int, *digests: hashlib._Hash) -> str:
    """Copies so many bytes, and gives their SHA-256."""
    own = hashlib.sha256()
    while n_bytes:
        block = source.read(min(n_bytes, _BLOCK))
        if not block:
            break
        target.write(block)
        for digest in (own, *digests):
            digest.update(block)
        n_bytes -= len(block)
    return own.hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: exit status 1 where an archive could not be joined, the others being there."""
    parser = argparse.ArgumentParser("python -m train.bench.pieces", description="Joins archives, or posts pieces.")
    commands = parser.add_subparsers(dest="command", required=True)
    joining = commands.add_parser("join", help="unpack the archives whose pieces lie in folders")
    joining.add_argument("folders", nargs="+", type=Path)
    joining.add_argument("--into", type=Path, required=True)
    posting = commands.add_parser("post", help="move the next pieces of an outbox to a folder that takes only so much")
    posting.add_argument("outbox", type=Path)
    posting.add_argument("--out", type=Path, required=True)
    posting.add_argument("--files", type=int, default=8)
    posting.add_argument("--mib", type=float, default=64.0)
    options = parser.parse_args(arguments)
    try:
        if options.command == "join":
            if wrong := join(options.folders, options.into):
                print(*wrong, sep="\n", file=sys.stderr)
                raise SystemExit(1)
        else:
            left = post(options.outbox, options.out, files=options.files, n_bytes=int(options.mib * MIB))
            print(f"{left} pieces are left in {options.outbox}" if left else "all pieces are out")
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
