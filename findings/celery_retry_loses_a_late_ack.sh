#!/usr/bin/env bash
# Celery 5.7.0: `acks_late` and `self.retry()` with a broker that takes no new message at that moment: the retry cannot be
# published, `Task.retry` raises `Reject(requeue=False)`, and the message that was not acknowledged yet leaves the queue.
# Expected: with late acknowledgement a message stays with the broker until its task has ended, or another one stands for it.
# Consequence: a task that is retried because of an outage is lost if the broker is in it, too, for a moment: it is in no
# queue, although `max_retries=None` says to try for ever.
# What helps: catch `Reject` around `self.retry`, and raise `Reject(requeue=True)` instead.
# Here the queue is a folder, so that one sees it; publishing goes to a port where nobody listens.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'celery[redis]==5.7.0' 'kombu==5.7.0' 'redis==8.1.0'
cat > "$folder/tasks.py" <<'PYTHON'
import os
from pathlib import Path

from celery import Celery
from celery.exceptions import Reject

FOLDER = Path(os.environ["FOLDER"])
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER / "queue"),
        "data_folder_out": str(FOLDER / "queue"),
        "control_folder": str(FOLDER / "control"),
    },
    task_acks_late=True,
    task_publish_retry=False,
)
if os.environ.get("BROKER_REFUSES"):
    app.conf.broker_write_url = "redis://127.0.0.1:1/0"


@app.task(bind=True, max_retries=None)
def by_the_book(self):
    (FOLDER / "tried").touch()
    raise self.retry(countdown=60)


@app.task(bind=True, max_retries=None)
def with_care(self):
    (FOLDER / "tried").touch()
    try:
        raise self.retry(countdown=60)
    except Reject:
        raise Reject("the broker did not take the retry", requeue=True) from None
PYTHON
look() { # TASK: how many messages are in its queue before and after a worker has tried it
  export FOLDER="$folder/$1"
  mkdir -p "$FOLDER/queue" "$FOLDER/control"
  (cd "$folder" && venv/bin/python -c "import tasks; tasks.$1.apply_async()")
  before=$(find "$FOLDER/queue" -type f | wc -l)
  (cd "$folder" && BROKER_REFUSES=1 timeout 15 venv/bin/celery -A tasks worker --pool solo --without-gossip \
    --without-mingle --without-heartbeat >"$FOLDER/log" 2>&1) || true
  after=$(find "$FOLDER/queue" -type f | wc -l)
  echo "$1: tried $([ -e "$FOLDER/tried" ] && echo yes || echo no); in the queue before: $before, after: $after"
}
seen=$(look by_the_book; look with_care)
echo "$seen"
[ "$seen" = "by_the_book: tried yes; in the queue before: 1, after: 0
with_care: tried yes; in the queue before: 1, after: 1" ] || { echo CHANGED; exit 1; }
