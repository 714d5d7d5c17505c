#!/usr/bin/env bash
# Celery 5.7.0: the variable CELERY_BROKER_URL beats the application's own `broker=`, and even a later
# `app.conf.update(broker_url=…)`. CELERY_BROKER_WRITE_URL alone sends what the application publishes elsewhere, and
# leaves what it reads where it was.
# Expected: what the code sets explicitly wins, as it does for every setting that has no such variable.
# Consequence: a retry of a worker that shares its environment with another application is published to the other's broker.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'celery[redis]==5.7.0' 'kombu==5.7.0' 'redis==8.1.0'
cat > "$folder/look.py" <<'PYTHON'
from celery import Celery

app = Celery("mine", broker="redis://mine:6379/0", backend="redis://mine:6379/1")
app.conf.update(broker_url="redis://mine:6379/0", result_backend="redis://mine:6379/1")
print(app.connection_for_read().hostname, app.connection_for_write().hostname, app.backend.connparams["host"])
PYTHON
look() { env "$@" "$folder/venv/bin/python" "$folder/look.py"; }
expect() {
    local want=$1; shift
    local seen; seen=$(look "$@")
    echo "${*:-no variable}: reads, publishes, keeps results at: $seen"
    [ "$seen" = "$want" ] || { echo "CHANGED: expected $want"; exit 1; }
}
expect 'mine mine mine'
expect 'theirs theirs mine' CELERY_BROKER_URL=redis://theirs:6379/0
expect 'mine theirs mine' CELERY_BROKER_WRITE_URL=redis://theirs:6379/0
expect 'theirs mine mine' CELERY_BROKER_READ_URL=redis://theirs:6379/0
expect 'mine mine theirs' CELERY_RESULT_BACKEND=redis://theirs:6379/1
