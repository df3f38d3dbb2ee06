"""Stores by URI: the same folder as on a disk, though one request in twenty fails."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.zoo.conftest import complaint
from tests.zoo.tokenise.conftest import contents
from zoo.__main__ import main
from zoo.errors import ZooError
from zoo.library import retry
from zoo.library.retry import retried
from zoo.library.store import Local, Remote, open_input
from zoo.tokenise import read


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing of requests."""


class Flaky(MemoryFileSystem):
    """A store in memory of which some requests fail before they do anything, and some after they did it."""

    protocol = "flaky"
    store: dict = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    rate = 0.05
    n_failed = 0
    draw = random.Random(0)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("flaky://", "memory://"))

    def _fails(self) -> None:
        if Flaky.draw.random() < Flaky.rate:
            Flaky.n_failed += 1
            raise OSError(5, "the connection was reset")

    def cat_file(self, path, version_id=None, start=None, end=None, **options):  # in the order of s3fs
        self._fails()
        return super().cat_file(path, start, end, **options)

    def pipe_file(self, path, value, **options):
        self._fails()
        super().pipe_file(path, value, **options)
        self._fails()

    def info(self, path, **options):
        self._fails()
        return super().info(path, **options)

    def find(self, path, **options):
        self._fails()
        return super().find(path, **options)

    def ls(self, path, detail=True, **options):
        return super().ls(path, detail=detail, **options)


@pytest.fixture
def flaky(library: Path) -> type[Flaky]:
    """The library at flaky://in."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.store.clear()
    Flaky.pseudo_dirs[:] = [""]
    Flaky.rate, Flaky.n_failed, Flaky.draw = 0.0, 0, random.Random(1)
    fs = fsspec.filesystem("flaky")
    for name, data in contents(library).items():
        fs.pipe_file(f"/in/{name}", data)
    Flaky.rate = 0.05
    return Flaky


def test_a_store_that_fails_now_and_then_ends_up_with_what_a_disk_has(tokenise, flaky):
    cut = ("--unit_mb", "0.07")
    assert tokenise("out", *cut) == 0
    flaky.rate = 0.2
    assert tokenise("flaky://out", *cut, source="flaky://in") == 0
    assert flaky.n_failed > 3
    flaky.rate = 0
    fs = fsspec.filesystem("flaky")
    found = {path.removeprefix("/out/"): fs.cat_file(path) for path in fs.find("/out")}
    assert found == contents(Path("out"))
    main(["detokenise", "flaky://out", "back"])
    main(["detokenise", "out", "back-of-disk"])
    assert contents(Path("back")) == contents(Path("back-of-disk"))
    assert tokenise("flaky://one", "--format", "npy", source="flaky://in/b/b.flac") == 0
    main(["detokenise", "flaky://one", "one-back"])
    assert contents(Path("one-back"))["b.flac.wav"] == contents(Path("back"))["b/b.flac.wav"]


def test_a_store_that_breaks_down_stops_and_goes_on_where_it_was(tokenise, flaky, monkeypatch, capfd):
    """Whatever the request that is the last to succeed, the second run ends with what one run does."""
    cut = ("--unit_mb", "0.07")
    flaky.rate = 0
    tokenise("out", *cut)
    expected = contents(Path("out"))
    pipe_file = MemoryFileSystem.pipe_file
    fs = fsspec.filesystem("flaky")
    n_writes = len(expected)
    for n in range(n_writes):
        if fs.exists("/out"):
            fs.rm("/out", recursive=True)
        count = itertools.count()

        def full(self, path, value, count=count, n=n, **options):
            if next(count) >= n:
                raise OSError(28, "No space left on device")
            pipe_file(self, path, value, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Flaky, "pipe_file", full)
            assert tokenise("flaky://out", *cut) == 2
        said = capfd.readouterr().err.splitlines()[-1]
        assert said.startswith("error: flaky://out/")
        assert said.endswith("cannot be written (no space left on the device)")
        assert tokenise("flaky://out", *cut) == 0
        assert {path.removeprefix("/out/"): fs.cat_file(path) for path in fs.find("/out")} == expected


def test_only_what_may_pass_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(retry, "PAUSES_S", (0.0, 0.0))
    calls = []

    class NoCredentialsError(Exception):
        pass

    def fail(error: Exception) -> None:
        calls.append(error)
        raise error

    class ResponseError(Exception):
        def __init__(self, status: int) -> None:
            self.status = status

    class HubError(OSError):
        def __init__(self, status: int) -> None:
            self.response = SimpleNamespace(status_code=status)

    class OfflineModeIsEnabled(ConnectionError):
        pass

    unreachable, missing = FileNotFoundError("url"), FileNotFoundError("url")
    unreachable.__cause__, missing.__cause__ = ConnectionError(), ResponseError(404)
    cases = [
        *((TimeoutError(), 3), (unreachable, 3), (ResponseError(503), 3), (ResponseError(429), 3)),
        *((HubError(500), 3), (HubError(412), 3), (HubError(403), 1), (OfflineModeIsEnabled(), 1)),
        *((FileNotFoundError(), 1), (NoCredentialsError(), 1), (OSError(28, ""), 1), (missing, 1)),
    ]
    for error, n in cases:
        calls.clear()
        with pytest.raises(type(error)):
            retried(lambda error=error: fail(error), "store")
        assert len(calls) == n


class EndpointConnectionError(Exception):
    """As botocore names it."""


@pytest.mark.parametrize("error", [ConnectionRefusedError(), socket.gaierror(), EndpointConnectionError()])
def test_a_place_that_nobody_answers_at_is_given_up_soon_unless_it_has_answered_before(monkeypatch, error):
    clock = [0.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    calls = []

    def fail(error: Exception) -> None:
        calls.append(error)
        clock[0] += 0.5
        raise FileNotFoundError("url") from error

    def n_calls(error: Exception, *, has_answered: bool) -> int:
        calls.clear()
        with pytest.raises(FileNotFoundError):
            retried(lambda: fail(error), "store", has_answered=has_answered)
        return len(calls)

    assert n_calls(error, has_answered=True) == len(retry.PAUSES_S) + 1
    begin = clock[0]
    assert 3 <= n_calls(error, has_answered=False) <= 5
    assert clock[0] - begin < 8
    assert n_calls(ConnectionResetError(), has_answered=False) == len(retry.PAUSES_S) + 1


def test_a_long_wait_is_told_once_and_why(monkeypatch, capsys):
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: None)

    def fail() -> None:
        raise TimeoutError("no answer")

    with pytest.raises(TimeoutError):
        retried(fail, "s3://bucket/key")
    assert capsys.readouterr().err == "s3://bucket/key: no answer; trying again\n"


def test_a_missing_library_and_missing_credentials_are_one_line(monkeypatch):
    class Locked(MemoryFileSystem):
        protocol = "locked"

        def info(self, path, **options):
            raise PermissionError("Access Denied")

    fsspec.register_implementation("locked", Locked, clobber=True)
    with pytest.raises(ZooError, match=r"^locked://bucket/x: cannot be read \(Access Denied\)$"):
        open_input("locked://bucket/x")

    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(ZooError, match=r"^s3://b: Install s3fs to access S3 \(pip install -e '.\[stores\]'\)$"):
        Remote("s3://b")


def test_a_file_of_a_web_server(tokenise, library, capfd):
    pytest.importorskip("aiohttp")
    pytest.importorskip("requests")
    server = ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=str(library)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://localhost:{server.server_port}"
    try:
        assert tokenise("out", source=f"{address}/b/b.flac") == 0
        assert "b.wav: there is nothing there" in complaint(capfd, "tokenise", f"{address}/b.wav", "x")
        assert "folders of a web server cannot be listed" in complaint(capfd, "tokenise", f"{address}/b/", "x")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    said = complaint(capfd, "tokenise", f"{address}/b/b.flac", "x")
    assert "b.flac: cannot be read (" in said
    assert said.count("\n") <= 1
    (shard,) = Path("out/data").iterdir()
    assert [row.samples for row in read(shard)] == [20_800]


def test_files_are_in_the_order_of_their_paths_and_hidden_ones_left_out(tmp_path, flaky):
    names = ["a/b.wav", "a-b.wav", "a.wav", "a/.x/c.wav", ".hidden.wav", "b/a/c.wav"]
    fs = fsspec.filesystem("flaky")
    flaky.rate = 0
    for name in names:
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(b"1")
        fs.pipe_file(f"/x/{name}", b"1")
    (tmp_path / "x" / "loop").symlink_to(tmp_path / "x")
    expected = ["a/b.wav", "a-b.wav", "a.wav", "b/a/c.wav"]
    assert [file.key for file in Local(str(tmp_path / "x")).files()] == expected
    assert [file.key for file in Remote("flaky://x").files()] == expected
