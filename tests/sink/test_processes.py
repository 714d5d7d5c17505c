"""A process that forks or ends."""

import faulthandler
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from history_sink import (
    HistorySink,
)
from history_sink.protocol.contract import UPLOAD_QUEUE
from history_sink.settings import BROKER_URL
from plain_store import PlainWorker, lines_of, message, messages
from stack.redis import RedisServer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_parent_and_child_of_a_fork_go_on(sink: HistorySink, worker: PlainWorker, session: str) -> None:
    history = messages("a")
    sink.save(session, history)
    assert sink.flush(session, 10)
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(15, exit=True)
        ok = sink.save(f"{session}-child", history).state == "enqueued" and sink.flush(f"{session}-child", 10)
        os._exit(0 if ok else 1)
    history.append(message("b"))
    assert sink.save(session, history).messages == 1
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert sink.flush(session, 10)
    assert worker.sessions[session].logs[None] == lines_of(history)
    assert worker.sessions[f"{session}-child"].logs[None] == lines_of(history[:1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_while_a_thread_saves_leaves_no_lock_behind(alone: HistorySink) -> None:
    def save_for_ever() -> None:
        history: list[Any] = []
        while not done.is_set():
            history.append(message("x"))
            alone.save("busy", history)

    done = threading.Event()
    thread = threading.Thread(target=save_for_ever)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                faulthandler.dump_traceback_later(10, exit=True)
                os._exit(0 if alone.save("busy", messages("y")).state == "enqueued" else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        done.set()
        thread.join()


def test_a_process_that_exits_right_after_a_save_has_handed_it_over(redis_server: RedisServer) -> None:
    url = redis_server.new_database()
    program = "from history_sink import HistorySink; HistorySink.from_env().save('s', [{'role': 'user'}])"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, BROKER_URL: url}, check=True, timeout=20)
    with redis_server.client(url) as client:
        assert client.llen(UPLOAD_QUEUE) == 1


def test_a_process_that_ends_says_what_the_broker_has_not_taken() -> None:
    program = (
        "from history_sink import HistorySink; sink = HistorySink.from_env(); sink.save('s', [{'role': 'canary'}])"
    )
    environment = {**os.environ, BROKER_URL: "redis://127.0.0.1:1/0"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 0
    assert "session s is not handed over whole: the broker is away" in ended.stderr
    assert "canary" not in ended.stderr
