#!/usr/bin/env bash
# Celery 5.7.0 sends its signal `worker_shutting_down` from within the handler of SIGTERM and SIGQUIT, in the middle of
# whatever line the main thread was at. A receiver that takes a `threading.Lock` can so wait for the thread that it runs in:
# a worker that is told to stop then never does. `worker_shutdown` is sent from the main loop.
# Expected: a Celery signal, like its other ones, is sent from the worker's own flow, where ordinary code may receive it.
# What helps: a receiver that sets a flag, and nothing else.
# Here a task has the lock, and the receiver waits for it for a second at most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'celery==5.7.0' 'kombu==5.7.0'
mkdir "$folder/queue" "$folder/control"
cat > "$folder/tasks.py" <<'PYTHON'
import os
import signal
import threading
import time

from celery import Celery
from celery.signals import worker_shutdown, worker_shutting_down

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control",
}  # fmt: skip
lock = threading.Lock()


def note(name):
    got = lock.acquire(timeout=1)
    if got:
        lock.release()
    with open("seen", "a") as seen:
        seen.write(f"{name}: {'had the lock' if got else 'waited for its own thread'}\n")


@worker_shutting_down.connect
def note_shutting_down(**_):
    note("worker_shutting_down")


@worker_shutdown.connect
def note_shutdown(**_):
    note("worker_shutdown")


@app.task
def stop_here():
    with lock:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
PYTHON
cd "$folder"
venv/bin/celery -A tasks call tasks.stop_here > /dev/null
timeout 60 venv/bin/celery -A tasks worker --pool solo --without-gossip --without-mingle > log 2>&1 || { cat log; exit 1; }
cat seen
[ "$(cat seen)" = "worker_shutting_down: waited for its own thread
worker_shutdown: had the lock" ] || { echo CHANGED; exit 1; }
