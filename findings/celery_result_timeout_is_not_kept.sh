#!/usr/bin/env bash
# Celery 5.7.0 with a Redis result backend that refuses connections: `AsyncResult.get(timeout=1)` raises after about 19 s,
# a RuntimeError. `AsyncResult.state` of the same result fails within a second.
# Expected: an exception about one second after the call, since `timeout` is documented as how long to wait, in seconds.
# What helps: `result_backend_transport_options={"retry_policy": {"timeout": 2.0, "max_retries": 1}}`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'celery[redis]==5.7.0' 'kombu==5.7.0' 'redis==8.1.0'
cat > "$folder/look.py" <<'PYTHON'
import time

from celery import Celery


def measure(ask):
    start = time.monotonic()
    try:
        ask()
    except Exception as error:
        return time.monotonic() - start, type(error).__name__
    raise SystemExit("CHANGED: no error")


def result(**options):
    return Celery("app", broker="memory://", backend="redis://127.0.0.1:1/0", **options).AsyncResult("some-id")


slow, its_error = measure(lambda: result().get(timeout=1))
print(f"get(timeout=1): {its_error} after {slow:.1f} s")
quick, other_error = measure(lambda: result().state)
print(f"state: {other_error} after {quick:.1f} s")
raise SystemExit(0 if slow > 10 and its_error == "RuntimeError" and quick < 2 else "CHANGED")
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/look.py"
