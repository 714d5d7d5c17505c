"""What people see of the tasks, in Flower, by `inspect`, in events and logs: all that matters, and no content."""

import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from forked_process import ForkedWorker
from history_sink.protocol.chain import START, Junction
from history_sink.protocol.upload import Upload
from stack.browser import read_page
from stack.flower import Flower
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.worker import Worker

CANARY = "canary-5e0b3c"
MESSAGE = {"role": "user", "content": [{"type": "text", "text": f"a word of {CANARY} here"}]}
LINE = json.dumps(MESSAGE, separators=(",", ":")).encode() + b"\n"
UPLOAD = "history_sink.upload_history"


@pytest.fixture(scope="module")
def s3_server(own_minio: MinioServer) -> MinioServer:
    """One of this module's own, as it is paused and stopped."""
    return own_minio


@pytest.fixture(scope="module")
def worker(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One that says all that it can say."""
    log_path = tmp_path_factory.mktemp("worker") / "worker.log"
    worker = ForkedWorker(environment, log_path=log_path, concurrency=2, arguments=["--loglevel", "DEBUG"])
    worker.start()
    yield worker
    worker.process.kill()


@pytest.fixture(scope="module")
def client(environment: Mapping[str, str], worker: Worker) -> Celery:
    del worker  # only that it is there
    url = environment["CODETETHER_HISTORY_BROKER_URL"]
    return Celery("client", broker=url, backend=url, set_as_current=False)


@pytest.fixture(scope="module")
def flower(flower: Flower, client: Celery) -> Flower:
    """One that has begun to listen to events, which it does some time after it has begun to serve pages."""

    def listens() -> bool:
        client.send_task("history_sink.list_sessions", queue="history.read").get(timeout=20)
        return any(task["received"] for task in json.loads(fetch(flower, "/api/tasks")).values())

    wait_until(listens, timeout_seconds=20, what="Flower to see a task")
    return flower


@pytest.fixture(scope="module")
def events(client: Celery) -> Iterator[list[dict[str, Any]]]:
    """All events, as they come."""
    seen: list[dict[str, Any]] = []
    ready, ending = threading.Event(), threading.Event()

    def receive() -> None:
        receiver = client.events.Receiver(client.connection_for_read(), handlers={"*": seen.append})
        with receiver.consumer_context() as (connection, _, _):
            while not ending.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)
                ready.set()

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield seen
    ending.set()
    thread.join(10)


def upload(client: Celery, session: str, messages: object) -> AsyncResult[Any]:
    """As any program does it: the client's own reprs of the arguments travel along."""
    sent: AsyncResult[Any] = client.send_task(UPLOAD, (session, messages), queue="history.upload")
    return sent


def save(client: Celery, session: str, line: bytes = LINE, start: Junction = START) -> AsyncResult[Any]:
    """As the library does it, but for the reprs, which it would set."""
    payload = Upload(None, start, (line,)).encode()
    sent: AsyncResult[Any] = client.send_task(
        UPLOAD, (session, None), payload, queue="history.upload", serializer="msgpack"
    )
    return sent


def resolve(client: Celery, bucket: str, session: str) -> AsyncResult[Any]:
    handle = {"bucket": bucket, "key": f"history/{session}/history.jsonl", "byte_range": None}
    sent: AsyncResult[Any] = client.send_task("history_sink.resolve_pointer", (handle,), queue="history.read")
    return sent


def fetch(flower: Flower, path: str, **query: object) -> str:
    address = f"{flower.url}{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=20) as answer:
        return str(answer.read().decode())


def task_of(flower: Flower, task_id: str, state: str) -> dict[str, Any]:
    """What Flower's API says of a task, once it knows it to be in `state`."""

    def known() -> dict[str, Any]:
        tasks: dict[str, dict[str, Any]] = json.loads(fetch(flower, "/api/tasks"))
        return tasks.get(task_id, {})

    wait_until(lambda: known().get("state") == state, timeout_seconds=20, what=f"Flower to show {state}")
    return known()


def all_that_flower_shows(flower: Flower, node: str, task_ids: list[str]) -> str:
    columns = {f"columns[{n}][data]": name for n, name in enumerate(("name", "uuid", "state", "args"))}
    table = {"draw": 1, "start": 0, "length": 100, "order[0][column]": 0, "order[0][dir]": "asc", **columns}
    pages = [
        fetch(flower, "/tasks/datatable", **table),
        fetch(flower, "/api/workers", refresh=1),
        fetch(flower, f"/worker/{node}"),
        *(fetch(flower, path) for path in ("/api/tasks", "/tasks", "/workers", "/broker", "/metrics")),
    ]
    for task_id in task_ids:
        pages += [fetch(flower, f"{path}/{task_id}") for path in ("/task", "/api/task/info", "/api/task/result")]
    return "\n".join(pages)


def all_that_inspect_shows(inspect: Any, task_ids: list[str]) -> str:
    answers = [inspect.active(), inspect.active(safe=False), inspect.reserved(), inspect.scheduled(), inspect.revoked()]
    answers += [inspect.query_task(*task_ids), inspect.stats(), inspect.conf(), inspect.report()]
    return repr(answers)


def test_the_list_of_tasks_is_worth_looking_at(
    client: Celery, flower: Flower, bucket: str, events: list[dict[str, Any]]
) -> None:
    plain, saved = upload(client, "plain", [MESSAGE, MESSAGE]), save(client, "saved")
    refused = upload(client, "refused", [MESSAGE, f"not a line\nbut {CANARY}"])
    for sent in (plain, saved):
        sent.get(timeout=20)
    read = resolve(client, bucket, "saved")
    assert read.get(timeout=20) == LINE

    shown = task_of(flower, plain.id, "SUCCESS")
    assert shown["name"] == UPLOAD
    assert "plain" in shown["args"]
    assert shown["kwargs"] == "{'messages': 2}"
    assert "'outcome': 'stored'" in shown["result"]
    assert shown["retries"] == 0
    assert shown["runtime"] > 0
    shown = task_of(flower, saved.id, "SUCCESS")
    assert shown["kwargs"] == f"{{'messages': 1, 'bytes': {len(LINE)}, 'first_message': 0, 'offset': 0}}"
    shown = task_of(flower, refused.id, "FAILURE")
    assert (
        shown["exception"]
        == "Refused: messages[1]: a line with a line break inside: give each line as a message of its own"
    )
    assert task_of(flower, read.id, "SUCCESS")["result"] == f"<{len(LINE)} bytes>"
    assert f"<{len(LINE)} bytes>" in fetch(flower, f"/api/task/result/{read.id}")
    assert {"task-received", "task-started", "task-succeeded", "task-failed"} <= {event["type"] for event in events}


@pytest.mark.system
def test_the_pages_in_a_browser_show_what_matters_and_no_content(client: Celery, flower: Flower) -> None:
    sent = upload(client, "browsed", [MESSAGE, MESSAGE])
    sent.get(timeout=20)
    task_of(flower, sent.id, "SUCCESS")
    pages = {path: read_page(f"{flower.url}{path}") for path in ("/tasks", f"/task/{sent.id}", "/workers", "/broker")}
    for word in ("browsed", "SUCCESS", "outcome", "messages"):
        assert word in pages["/tasks"]
    assert "browsed" in pages[f"/task/{sent.id}"]
    assert "worker@local" in pages["/workers"]
    assert [path for path, page in pages.items() if CANARY in page] == []


def test_nothing_that_anybody_sees_holds_a_word_of_a_transcript(
    client: Celery, flower: Flower, worker: Worker, own_minio: MinioServer, bucket: str, events: list[dict[str, Any]]
) -> None:
    done = [
        upload(client, "done", [MESSAGE]),
        save(client, "done-too"),
        upload(client, CANARY + " is no id", [MESSAGE]),
    ]
    done += [upload(client, "bad", [CANARY]), client.send_task(UPLOAD, (MESSAGE,), {CANARY: 1}, queue="history.upload")]
    done += [client.send_task("celery.starmap", ({"task": UPLOAD}, [("star", [MESSAGE])]), queue="history.upload")]
    done += [client.send_task("no.such.task", (MESSAGE,), queue="history.upload")]
    for sent in done:
        wait_until(sent.ready, timeout_seconds=20, what=f"{sent} to be done")
    read = resolve(client, bucket, "done")
    assert read.get(timeout=20) == LINE

    inspect = client.control.inspect(destination=[worker.node], timeout=5)
    later = client.send_task(UPLOAD, ("later", [MESSAGE]), queue="history.upload", countdown=60)
    wait_until(lambda: "later" in repr(inspect.scheduled()), timeout_seconds=20, what="a scheduled task")
    own_minio.process.pause()
    waiting = [upload(client, "hangs", [MESSAGE]), save(client, "hangs-too")]
    wait_until(lambda: "hangs" in repr(inspect.active()), timeout_seconds=20, what="active tasks")
    ids = [sent.id for sent in (*done, read, later, *waiting)]
    seen = {
        "inspect": all_that_inspect_shows(inspect, ids),
        "flower": all_that_flower_shows(flower, worker.node, [sent.id for sent in (*done, read)]),
    }
    assert "hangs" in seen["inspect"]
    assert "hangs" in seen["flower"]

    own_minio.process.kill()
    for sent in waiting:
        assert task_of(flower, sent.id, "RETRY")["exception"].startswith("Away: ")
    seen["inspect later"] = all_that_inspect_shows(inspect, ids)
    seen["flower later"] = all_that_flower_shows(flower, worker.node, ids)
    assert "uploads wait: " in seen["flower later"]
    seen["events"] = repr(events)
    seen["the worker's log"] = worker.process.log_path.read_text()
    seen["Flower's log"] = flower.process.log_path.read_text()
    kinds = {"task-received", "task-started", "task-succeeded", "task-failed", "task-retried"}
    assert kinds <= {event["type"] for event in events}
    assert {name for name, text in seen.items() if CANARY in text} == set()
