#!/usr/bin/env bash
# Celery 5.7.0: an exception that a handler of `celeryd_init` or `worker_init` raises neither ends the worker nor is
# it printed: Celery logs it before its logging is set up. SystemExit does end the worker.
# Expected: a start check that raises keeps the worker from starting, or is at least seen in its log.
# Consequence: a worker whose start check broke takes messages, and its log says `ready`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'celery==5.7.0' 'kombu==5.7.0'
cat > "$folder/app.py" <<'PYTHON'
import os

from celery import Celery, signals

app = Celery("app", broker="memory://")
error = {"exit": SystemExit(7)}.get(os.environ["RAISES"], RuntimeError("this store is not to be trusted"))


def check(**_):
    raise error


getattr(signals, os.environ["SIGNAL"]).connect(check, weak=False)


@signals.worker_ready.connect
def end(**_):
    print("THE WORKER IS READY", flush=True)
    raise SystemExit(3)
PYTHON
start() {
    cd "$folder"
    set +e
    env "$@" timeout 60 "$folder/venv/bin/celery" -A app worker --pool solo > "$folder/log" 2>&1
    code=$?
    set -e
    echo "$*: exit $code, ready: $(grep -c 'WORKER IS READY' "$folder/log" || true), error in the log: $(grep -c 'not to be trusted' "$folder/log" || true)"
}
for signal in celeryd_init worker_init; do
    start SIGNAL=$signal RAISES=error
    [ "$code" = 3 ] && grep -q 'WORKER IS READY' "$folder/log" && ! grep -q 'not to be trusted' "$folder/log" ||
        { echo 'CHANGED: the error ended the worker, or was told'; exit 1; }
    start SIGNAL=$signal RAISES=exit
    [ "$code" = 7 ] && ! grep -q 'WORKER IS READY' "$folder/log" || { echo 'CHANGED: SystemExit did not end it'; exit 1; }
done
