"""`python -m bench.one_save MESSAGES`: where a worker's processor time goes: saves one by one in one thread.

A worker's tasks run here, without its event loop: Celery's own tracer, hint, PUT, result, log line and metrics. Worker
and library are whatever PYTHONPATH finds first, as in `bench.build_side`; the environment says which store and Redis.
"""

import base64
import cProfile
import json
import logging
import os
import pstats
import re
import sys
import time
from pathlib import Path
from typing import Any

import kombu.serialization
import redis
from celery.app.trace import build_tracer

from history_sink import HistorySink

_UPLOAD = "history_sink.upload_history"
_QUEUE = "history.upload"
_SAVES = 300
_SHOWN = (
    ("all", r"trace.py\(trace_task"),
    ("the PUT", r"client.py\(_put\)|lean.py\(put\)"),
    ("of which the signature", r"auth.py\(add_auth|signature.py\(sign"),
    ("the hint, asked for", r"redis_hints.py\(get\)"),
    ("the hint, told by itself", r"redis_hints.py\(put\)"),
    ("the result", r"results.py\(mark_as_done|base.py\(mark_as_done"),
    ("the repr of the result", r"saferepr.py\(saferepr"),
    ("the log line and metrics", r"task.py\(_tell_end"),
    ("the outcome as a dict", r"outcome.py\(encode"),
)
"""What, and the functions that do it, in this build or in older ones."""


def main(messages: str) -> None:
    """Print milliseconds of processor time for each save of one of the messages in that file, as JSON."""
    profile, plain_ms = _run([json.loads(line) for line in Path(messages).read_bytes().splitlines()])
    stats: Any = pstats.Stats(profile)
    found = {"all, without the profiler": plain_ms}
    for what, pattern in _SHOWN:
        named = {f"{Path(file).name}({name})": timed[3] for (file, _, name), timed in stats.stats.items()}
        longest = max((seconds for name, seconds in named.items() if re.match(pattern, name)), default=0.0)
        found[what] = 1000 * longest / _SAVES
    print(json.dumps(found))


def _run(messages: list[Any]) -> tuple[cProfile.Profile, float]:
    from history_sink_worker import log
    from history_sink_worker.application import app

    url = os.environ["CODETETHER_HISTORY_BROKER_URL"]
    log.configure(logging.WARNING, "json")
    app.finalize()
    app.loader.import_default_modules()
    trace = build_tracer(_UPLOAD, app.tasks[_UPLOAD], app=app, hostname="here")
    client = redis.Redis.from_url(url)
    profile = cProfile.Profile(time.thread_time)
    seconds = []
    with HistorySink(broker_url=url) as sink:
        for number in range(2 * _SAVES + 8):
            sink.append(f"s{number % 8}", messages[number % len(messages)])
            arguments = _take(client)
            is_profiled = number >= _SAVES + 8
            began = time.thread_time()
            if is_profiled:
                profile.enable()
            trace(*arguments)
            profile.disable()
            if 8 <= number < _SAVES + 8:
                seconds.append(time.thread_time() - began)
    return profile, 1000 * sorted(seconds)[len(seconds) // 2]


def _take(client: Any) -> tuple[str, Any, Any, dict[str, Any]]:
    """The message that was sent just now, as Celery's tracer wants it."""
    message = json.loads(client.rpop(_QUEUE))
    accept = {"application/json", "application/x-msgpack"}
    body = base64.b64decode(message["body"])
    args, kwargs, _ = kombu.serialization.loads(body, message["content-type"], message["content-encoding"], accept)
    headers = message["headers"]
    unset = dict.fromkeys(("callbacks", "errbacks", "chain", "chord", "reply_to"))
    return headers["id"], args, kwargs, {**headers, **unset, "delivery_info": {}, "args": args, "kwargs": kwargs}


if __name__ == "__main__":
    main(*sys.argv[1:])
