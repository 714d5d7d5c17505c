"""What docs/security.md says and no other test shows: no pickle, and a file system that nobody writes to."""

import ast
import os
import pickle
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import ContentDisallowed
from kombu.message import Message

from history_sink.transport.link import make_app
from history_sink_worker.application import app
from history_sink_worker.dead.builder import letter_of
from history_sink_worker.intake import admission
from history_sink_worker.task_errors import Refused
from history_sink_worker.tasks import MOST_JUNCTIONS, _decode_junctions
from stack.processes import Process, free_port, wait_until
from stack.worker import Worker

ROOT = Path(__file__).parents[1]
SHIPPED = [path for folder in ("producer", "worker") for path in sorted((ROOT / folder).rglob("*.py"))]
RUNS_WHAT_IT_READS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}
READ = "somebody has read a pickle"


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            yield node.func.id


def test_nothing_that_is_shipped_runs_what_it_reads() -> None:
    assert len(SHIPPED) > 100
    forbidden = RUNS_WHAT_IT_READS | {"eval", "exec"}
    assert [(str(path), name) for path in SHIPPED for name in imports(path) if name in forbidden] == []


@pytest.mark.parametrize("made", [app, make_app(0.5)], ids=["worker", "producer"])
def test_no_app_writes_or_reads_pickle(made: Celery) -> None:
    assert set(made.conf.accept_content) == {"json", "msgpack"}
    assert set(made.conf.result_accept_content) <= {"json", "msgpack"}
    assert {made.conf.task_serializer, made.conf.result_serializer, made.conf.event_serializer} <= {"json", "msgpack"}


class Bomb:
    def __reduce__(self) -> Any:
        return (print, (READ,))


def test_a_pickle_becomes_a_dead_letter_and_is_never_read(
    environment: Mapping[str, str], worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    pickle.loads(pickle.dumps(Bomb()))
    assert READ in capsys.readouterr().out  # it would go off
    url = environment["CODETETHER_HISTORY_BROKER_URL"]
    with Celery("hostile", broker=url, set_as_current=False) as hostile:
        hostile.send_task("history_sink.upload_history", (Bomb(), []), queue="history.upload", serializer="pickle")
    log = worker.process.log
    wait_until(lambda: "message buried" in log(), timeout_seconds=20, what="it to be buried")
    assert ContentDisallowed.__name__ in log()
    assert READ not in log()


def test_a_question_with_too_many_junctions_is_refused() -> None:
    most = [[number, "0" * 16] for number in range(MOST_JUNCTIONS)]
    assert len(_decode_junctions(most)) == MOST_JUNCTIONS
    with pytest.raises(Refused, match="over the limit"):
        _decode_junctions([*most, [0, "0" * 16]])


def test_a_message_over_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def receive(body: Any) -> Any:
        said = {"task": "history_sink.upload_history", "id": "1"}
        info = {"routing_key": "history.upload"}
        return Message(
            body, content_type="application/json", content_encoding="utf-8", headers=said, delivery_info=info
        )

    body = b'[["a-session", [{"role": "user"}]], {}, null]'
    monkeypatch.setattr(admission, "MESSAGE_BYTES", len(body))
    assert admission.find_fault(receive(body)) is None
    longer = receive(body + b" ")
    fault = admission.find_fault(longer)
    assert fault == f"its body of {len(body) + 1} bytes is over the limit of {len(body)}"
    assert longer._decoded_cache is None
    letter = letter_of(longer, fault, queues=["history.upload"], received=0.0, now=0.0)
    assert letter.body == body + b" "


def test_each_test_that_the_page_names_is_there() -> None:
    rows = [line for line in (ROOT / "docs" / "security.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 30
    tests = {path.stem: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for cell in (row.split("|")[-2] for row in rows):
        for name, part in re.findall(r"(test_\w+)(?:: `([^`]+)`)?", cell):
            assert name in tests, name
            assert re.search(rf"def test_\w*{part.strip('…')}", tests[name]), (name, part)


@pytest.mark.system  # it takes root's rights to make a file system read-only for one process
@pytest.mark.parametrize("command", ["worker -P threads -c 2", "worker -P prefork -c 2", "flower --address=127.0.0.1"])
def test_a_read_only_file_system_will_do(command: str, environment: Mapping[str, str], tmp_path: Path) -> None:
    first, _, rest = command.partition(" ")
    celery = [sys.executable, "-m", "celery", "-A", "history_sink_worker", first, *rest.split()]
    celery += [f"--port={free_port()}"] if first == "flower" else ["-n", "read-only@local"]
    scratch = tmp_path / "scratch"  # not /tmp: the checkout itself may lie there
    scratch.mkdir()
    shell = 'mount -o remount,bind,ro / && mount -t tmpfs none "$TMPDIR" && cd "$TMPDIR" && ! touch /probe && exec "$@"'
    process = Process(
        "read-only",
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh", *celery],
        log_path=tmp_path / "log",
        environment={**os.environ, **environment, "HOME": "/nonexistent", "TMPDIR": str(scratch)},
    )
    try:
        process.start(lambda: re.search(r"read-only@local ready|Visit me at", process.log()) is not None)
    finally:
        process.stop(timeout_seconds=10)
    assert "Traceback" not in process.log()
