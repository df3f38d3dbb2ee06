#!/usr/bin/env bash
# A part of a file that is asked of huggingface_hub's file system is fetched with 5 MB more behind it, each time.
# Versions: huggingface_hub 2.4.0, fsspec 2026.9.0.
# Expected: HfFileSystem.cat_file(path, start, end) requests those bytes, as the file systems of HTTP and of S3 do.
# What happens: it opens the file, whose cache reads ahead by a block of 5 MiB, reads, and throws the cache away. So a
#   program that reads shards or long recordings in parts, by cat_file, fetches most of what it is sent for nothing. What
#   is opened once, and read on from, keeps its cache.
# Output seen:
#   bytes 0 to 65535 of 12000000: 65536 given, 5308416 sent, asked for by 'bytes=0-5308415'
#   bytes 65536 to 131071: 65536 given, 5308416 sent, asked for by 'bytes=65536-5373951'
# Fails when the behaviour changes. Needs Python 3.11 or newer. The hub is a server on this machine.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check huggingface_hub==2.4.0 fsspec==2026.9.0
cat >"$work/hub.py" <<'PY'
import http.server
import json
import threading
import urllib.parse

SIZE = 12_000_000
CONTENT = bytes(range(250)) * (SIZE // 250)
REPOSITORY = json.dumps({"id": "some/clips", "sha": "0" * 40}).encode()
FILES = json.dumps([{"type": "file", "path": "clips.tar", "size": SIZE, "oid": "0" * 40}]).encode()
ranges, sent = [], []


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if "/resolve/" not in path:
            self.answer(200, FILES if "/tree/" in path else REPOSITORY)
            return
        asked = self.headers["Range"]
        first, last = asked.removeprefix("bytes=").split("-")
        body = CONTENT[int(first) : int(last) + 1]
        ranges.append(asked)
        sent.append(len(body))
        self.answer(206, body, **{"ETag": '"0"', "Content-Range": f"bytes {first}-{last}/{SIZE}"})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, FILES)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()

from huggingface_hub import HfFileSystem

files = HfFileSystem(endpoint=f"http://127.0.0.1:{server.server_port}", token=False)
for start in (0, 65536):
    ranges.clear(), sent.clear()
    part = files.cat_file("datasets/some/clips/clips.tar", start=start, end=start + 65536)
    assert part == CONTENT[start : start + 65536]
    of = f" of {SIZE}" if not start else ""
    asked = ", ".join(map(repr, ranges))
    print(f"bytes {start} to {start + 65535}{of}: {len(part)} given, {sum(sent)} sent, asked for by {asked}")
    assert sum(sent) > 5_000_000, "no more is read ahead"
PY
"$work/venv/bin/python" "$work/hub.py"
