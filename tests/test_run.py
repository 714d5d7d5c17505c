"""`history-sink-worker run`: a worker that has loaded what it needs, and beside it Celery's own way to start one."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from forked_process import operate
from history_sink import HistorySink
from stack.worker import CELERY, Worker

UNNEEDED = {
    *("celery.bin.celery", "click_repl", "flower", "prompt_toolkit", "tornado", "wcwidth", "tantivy", "orjson"),
    *("history_sink.client", "history_sink.face", "history_sink.ledger", "history_sink.sink"),
    *(f"history_sink_worker.{room}" for room in ("doctor", "life", "rights", "search", "cli.commands")),
}
URL = "CODETETHER_HISTORY_BROKER_URL"


def save(environment: Mapping[str, str], session: str) -> str:
    with HistorySink(broker_url=environment[URL]) as sink:
        sink.save(session, [{"role": "user", "content": session}])
        return sink.flush(session, 30).state


def test_a_worker_has_loaded_nothing_that_it_does_not_need(environment: Mapping[str, str], tmp_path: Path) -> None:
    variables = {**environment, "PYTHONPROFILEIMPORTTIME": "1"}
    worker = Worker(variables, log_path=tmp_path / "log", name="lean", concurrency=8)
    worker.start()
    try:
        assert save(environment, "lean") == "stored"
    finally:
        worker.stop()
    loaded = set(re.findall(r"^import time:.*\| +(\S+)$", worker.process.log(), re.MULTILINE))
    assert {"celery.worker.consumer.consumer", "history_sink_worker.archive.save", "botocore.client"} <= loaded
    assert loaded & UNNEEDED == set()


def test_celerys_own_command_starts_a_worker_too(environment: Mapping[str, str], tmp_path: Path) -> None:
    worker = Worker(environment, log_path=tmp_path / "log", name="stock", concurrency=2, way=CELERY)
    worker.start()
    try:
        assert save(environment, "stock") == "stored"
    finally:
        worker.stop()
    assert worker.process.exit_status == 0


def test_its_help_has_celerys_options_and_wants_no_settings() -> None:
    ended = operate({}, "run", "-P", "threads", "--help")
    assert ended.returncode == 0
    for option in ("--pool", "--concurrency", "--queues", "--hostname", "--loglevel"):
        assert option in ended.stdout


def test_without_settings_it_names_all_that_are_missing() -> None:
    ended = operate({}, "run", "-P", "threads")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    for name in ("BROKER_URL", "S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        assert f"CODETETHER_HISTORY_{name}" in ended.stderr


@pytest.mark.parametrize("words", [["--detach"], ["-ED"], ["-P", "no-pool"], ["--no-such-option"]])
def test_what_it_cannot_do_is_wrong_usage(words: list[str], environment: Mapping[str, str]) -> None:
    ended = operate(environment, "run", *words)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "Error: " in ended.stderr
