"""`python -m bench.one_save`: where a worker's processor time goes, of saves one after the other in one thread.

A worker's tasks run here, without its event loop: Celery's own tracer, hint, PUT, result, log line and metrics.
"""

import base64
import cProfile
import json
import logging
import os
import pstats
import re
import time
from pathlib import Path
from typing import Any

import kombu.serialization
from celery.app.trace import build_tracer

from bench.transcripts import make_transcript
from history_sink import HistorySink
from history_sink.protocol.contract import UPLOAD, UPLOAD_QUEUE
from stack.stack import Stack

_SAVES = 300
_SHOWN = (
    ("all", r"trace.py\(trace_task"),
    ("the PUT", r"client.py\(_put\)|lean.py\(put\)"),
    ("of which the signature", r"auth.py\(add_auth"),
    ("the hint, asked for", r"redis_hints.py\(get\)"),
    ("the hint, told by itself", r"redis_hints.py\(put\)"),
    ("the result", r"results.py\(mark_as_done|base.py\(mark_as_done"),
    ("the repr of the result", r"saferepr.py\(saferepr"),
    ("the log line and metrics", r"task.py\(_tell_end"),
    ("the outcome as a dict", r"outcome.py\(encode"),
)
"""What, and the functions that do it, in this build or in older ones."""


def main() -> None:
    """Print milliseconds of processor time for each save; under cProfile, so several times what it is without."""
    with Stack() as stack:
        os.environ.update(
            {
                **stack.environment(),
                "CODETETHER_HISTORY_LOG_LEVEL": "WARNING",
                "CODETETHER_HISTORY_IDLE_SECONDS": "3600",
            }
        )
        profile, plain_ms = _run(stack)
    stats: Any = pstats.Stats(profile)
    print(f"{plain_ms:.2f} ms a save without the profiler; with it:")
    for what, pattern in _SHOWN:
        named = {f"{Path(file).name}({name})": timed[3] for (file, _, name), timed in stats.stats.items()}
        longest = max((seconds for name, seconds in named.items() if re.match(pattern, name)), default=0.0)
        print(f"{1000 * longest / _SAVES:6.2f}  {what}")


def _run(stack: Stack) -> tuple[cProfile.Profile, float]:
    # Now, since it reads the environment.
    from history_sink_worker import log
    from history_sink_worker.application import app

    url = os.environ["CODETETHER_HISTORY_BROKER_URL"]
    log.configure(logging.WARNING, "json")
    app.finalize()
    app.loader.import_default_modules()
    task = app.tasks[UPLOAD]
    trace = build_tracer(UPLOAD, task, app=app, hostname="here")
    client, messages = stack.redis.client(url), make_transcript(_SAVES, seed=1).messages
    profile = cProfile.Profile(time.thread_time)
    seconds = []
    with HistorySink(broker_url=url) as sink:
        for number in range(2 * _SAVES + 8):
            sink.append(f"s{number % 8}", messages[number % _SAVES])
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
    message = json.loads(client.rpop(UPLOAD_QUEUE))
    accept = {"application/json", "application/x-msgpack"}
    body = base64.b64decode(message["body"])
    args, kwargs, _ = kombu.serialization.loads(body, message["content-type"], message["content-encoding"], accept)
    headers = message["headers"]
    unset = dict.fromkeys(("callbacks", "errbacks", "chain", "chord", "reply_to"))
    return headers["id"], args, kwargs, {**headers, **unset, "delivery_info": {}, "args": args, "kwargs": kwargs}


if __name__ == "__main__":
    main()
