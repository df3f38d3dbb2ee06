#!/usr/bin/env bash
# s3fs reads another part of an object than every other fsspec store when a range is given by position.
# Versions: s3fs 2026.9.0, fsspec 2026.9.0, aiobotocore 3.10.0, against the S3 API of moto 5.2.5's server.
# Expected: `cat_file(path, start, end)`, the signature in fsspec's AbstractFileSystem, gives bytes start … end - 1 of a
#   file in any store: shards of audio are read in blocks that way.
# What happens: in S3FileSystem the second parameter is `version_id`, and `start` the third. So `cat_file(path, 0, 10)`
#   asks for version 0, from byte 10 on: all but the first ten bytes come, and there is no error. `cat_file(path, 0,
#   length)` fails with "The requested range is not satisfiable" for an object that is there, whole. The memory store,
#   with which code that uses fsspec is usually tested, has fsspec's order. By name (start=0, end=10) all agree.
# Output seen:
#   memory: 10 bytes, from the beginning
#   s3: 90 bytes, from byte 10; by name 10 bytes, from the beginning
# Fails when the behaviour changes. Needs Python 3.11 or newer, and port 5597 of this machine.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
python3 -m venv "$work/server"
python3 -m venv "$work/client"
"$work/server/bin/pip" install --quiet --disable-pip-version-check "moto[s3,server]==5.2.5" boto3==1.44.8 botocore==1.44.8
"$work/client/bin/pip" install --quiet --disable-pip-version-check s3fs==2026.9.0 fsspec==2026.9.0 aiobotocore==3.10.0
cd "$work"
server/bin/moto_server --port 5597 >server.log 2>&1 &
server=$!
export AWS_ENDPOINT_URL=http://127.0.0.1:5597 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none
export AWS_DEFAULT_REGION=us-east-1 no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
client/bin/python - <<'PY'
import inspect
import time

import fsspec

memory, s3 = fsspec.filesystem("memory"), fsspec.filesystem("s3")
for attempt in range(60):  # until the server listens
    try:
        s3.mkdir("bucket")
        break
    except Exception:
        time.sleep(1)
content = bytes(range(100))
for fs in (memory, s3):
    fs.pipe_file("bucket/shard", content)

order = list(inspect.signature(fsspec.AbstractFileSystem.cat_file).parameters)
assert order[:4] == ["self", "path", "start", "end"], order
first, second = memory.cat_file("bucket/shard", 0, 10), s3.cat_file("bucket/shard", 0, 10)
named = s3.cat_file("bucket/shard", start=0, end=10)
print(f"memory: {len(first)} bytes, from the beginning")
print(f"s3: {len(second)} bytes, from byte {second[0]}; by name {len(named)} bytes, from the beginning")
assert first == named == content[:10]
assert second == content[10:]
PY
