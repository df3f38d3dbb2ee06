"""A hub of one dataset repository in memory, with the requests that huggingface_hub's file system makes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """The files of a repository on the branch main, and what is wrong with it."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.files: dict[str, bytes] = {}
        self.token: str | None = None
        """without which, if there is one, the repository is not to be seen"""
        self.fail_every: int | None = None
        """requests after which one is answered by 503"""
        self.url = ""
        self.n_requests = self.n_commits = self.n_sent = 0
        """requests, commits, and bytes of files"""
        self.lock = threading.Lock()


def _answer(hub: Hub, method: str, path: str, query: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    actions = "revision|tree|resolve|preupload|commit"
    found = re.fullmatch(rf"/(?:api/)?datasets/([^/]+/[^/]+?)(?:/({actions})/main(/.*)?)?", path)
    if found is None or found[1] != hub.repository:
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
    action, name = found[2], (found[3] or "").strip("/")
    if action in (None, "revision"):
        return 200, {}, json.dumps({"id": hub.repository, "sha": "0" * 40}).encode()
    if action == "tree":
        below = f"{name}/" if name else ""
        entries: dict[str, dict[str, object]] = {}
        for key, data in sorted(hub.files.items()):
            if not key.startswith(below):
                continue
            parts = key.removeprefix(below).split("/")
            for n in range(1, len(parts)):
                folder = below + "/".join(parts[:n])
                if n == 1 or "recursive=true" in query.lower():
                    entries[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
            if len(parts) == 1 or "recursive=true" in query.lower():
                oid = hashlib.sha1(data).hexdigest()
                entries[key] = {"type": "file", "path": key, "size": len(data), "oid": oid}
        if name and not entries:
            return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"
        return 200, {}, json.dumps(list(entries.values())).encode()
    if action == "resolve":
        if name not in hub.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"ETag": f'"{hashlib.sha1(hub.files[name]).hexdigest()}"'}, hub.files[name]
    if action == "preupload":
        files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]
        return 200, {}, json.dumps({"files": files}).encode()
    hub.n_commits += 1
    for line in body.splitlines():
        entry = json.loads(line)
        if entry["key"] == "file":
            hub.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        elif entry["key"] == "deletedFile":
            del hub.files[entry["value"]["path"]]
    oid = f"{hub.n_commits:040d}"
    made = {"success": True, "commitOid": oid, "commitUrl": f"{hub.url}/datasets/{hub.repository}/commit/{oid}"}
    return 200, {}, json.dumps(made).encode()


@contextlib.contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serves a hub at its `url`, of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and contents in one packet, or else the client waits for 40 ms

        def log_message(self, *_: object) -> None:
            """Says nothing of requests."""

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            with hub.lock:
                hub.n_requests += 1
                if hub.fail_every and hub.n_requests % hub.fail_every == 0:
                    status, headers, data = 503, {}, b""
                elif hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                    status, headers, data = 401, {"X-Error-Message": "Invalid username or password."}, b""
                else:
                    status, headers, data = _answer(hub, self.command, unquote(url.path), url.query, body)
            if status == 200 and (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
                status, data = 206, data[int(asked[1]) : int(asked[2] or len(data)) + 1]
            if "/resolve/" in url.path:
                hub.n_sent += len(data)
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
