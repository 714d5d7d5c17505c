#!/usr/bin/env bash
# kombu 5.7.0, Celery 5.7.0's result backend and redis-py 8.1.0 read one Redis URL in three ways. In one process:
#   redis://host/history            kombu and the backend refuse it; redis-py takes it, and silently uses database 0
#   redis://host/0?db=3             the backend and redis-py use database 3, the path's 0 is ignored; kombu
#                                   fails with a TypeError
#   redis://host/0?foo=bar          the backend drops `foo`; kombu fails with a TypeError; redis-py fails with one, too, but
#                                   not before it connects
#   redis+socket:///path            kombu and the backend take it; redis-py knows `unix://` only, which those two do not
# Expected: one URL, one meaning, and what is wrong with it is said when it is read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'celery[redis]==5.7.0' 'kombu==5.7.0' 'redis==8.1.0'
cat > "$folder/look.py" <<'PYTHON'
import redis
from celery import Celery
from kombu import Connection


def name(error):
    return type(error).__name__


def kombu(url):
    try:
        Connection(url, transport_options={"socket_connect_timeout": 0.2, "max_retries": 0}).connect()
    except Exception as error:
        return name(error)


def backend(url):
    try:
        return Celery(backend=url).backend.connparams["db"]
    except Exception as error:
        return name(error)


def redis_py(url):
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=0.2, retry=None)
    except Exception as error:
        return name(error)
    try:
        client.ping()
    except redis.exceptions.ConnectionError:
        return client.connection_pool.connection_kwargs.get("db", 0)
    except Exception as error:
        return name(error)


AWAY = "ConnectionError"  # it was read; nobody listens there
expected = {
    "redis://127.0.0.1:1/history": ("ValueError", "ValueError", 0),
    "redis://127.0.0.1:1/0?db=3": ("TypeError", 3, 3),
    "redis://127.0.0.1:1/0?foo=bar": ("TypeError", 0, "TypeError"),
    "redis+socket:///nowhere/socket": (AWAY, 0, "ValueError"),
    "unix:///nowhere/socket": ("KeyError", "ModuleNotFoundError", 0),
}
changed = False
for url, want in expected.items():
    seen = kombu(url), backend(url), redis_py(url)
    print(f"{url}: kombu {seen[0]}, backend {seen[1]}, redis-py {seen[2]}")
    if seen != want:
        print(f"    CHANGED: expected {want}")
        changed = True
raise SystemExit(changed)
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/look.py"
