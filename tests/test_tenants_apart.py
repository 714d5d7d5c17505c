"""Two tenants on real servers: each has its own sessions, and no call, message or name of one reaches the other's."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from history_sink import Denied, Fault, HistorySink, LogEnd, PointerHandle
from history_sink.protocol.contract import UPLOAD
from history_sink_worker.rights.redis_acl import name_tenant
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.worker import Worker
from tenant_site import ANN, BOB, TaskMessage, TenantSite, running_site

HERS, HIS = {"of": "ann"}, {"of": "bob"}


@pytest.fixture(scope="module", params=["redis", pytest.param("rabbitmq", marks=pytest.mark.system)])
def site(
    request: pytest.FixtureRequest, minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TenantSite]:
    with running_site(
        minio_server, tmp_path_factory.mktemp("tenants"), on_rabbitmq=request.param == "rabbitmq"
    ) as site:
        yield site


@pytest.fixture(scope="module")
def worker(site: TenantSite) -> Iterator[Worker]:
    worker = site.worker()
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def stored(site: TenantSite, worker: Worker) -> dict[str, Any]:
    """A session of the same name for each; his task's id and his pointer."""
    told: dict[str, Any] = {}
    for tenant, message in ((ANN, HERS), (BOB, HIS)):
        with site.sink(tenant) as sink:
            receipt = sink.save("s", [message])
            assert receipt.state == "enqueued", receipt
            assert sink.flush("s", 30)
            told[tenant] = {"pointer": sink.pointer("s"), "ids": receipt.task_ids}
    return told


def test_each_reads_its_own_session_of_one_name(site: TenantSite, stored: dict[str, Any]) -> None:
    for tenant, body in ((ANN, b'{"of":"ann"}\n'), (BOB, b'{"of":"bob"}\n')):
        with site.sink(tenant) as sink:
            assert b"".join(sink.read("s")) == body
            assert sink.resolve(stored[tenant]["pointer"]) == body
            assert [each.session for each in sink.list_sessions().sessions] == ["s"]
            assert sink.status("s").prefix == f"history/{tenant}/"
            assert sink.outcomes(stored[tenant]["ids"])
            assert all(task_id.startswith(f"{tenant}.") for task_id in stored[tenant]["ids"])
    assert all(key.startswith(("history/ann/", "history/bob/", "history/.probe/")) for key in site.list_keys())


def test_nothing_that_they_may_do_is_denied(site: TenantSite, stored: dict[str, Any]) -> None:
    with site.admin() as admin:
        entries: Any = admin.acl_log()
        admin.acl_log_reset()
    assert {(entry["username"], entry["object"]) for entry in entries if entry["object"] != "client|setinfo"} == set()


# Every call that asks anybody, as her producers make it with settings that name his.
CALLS: dict[str, Callable[[HistorySink], object]] = {
    "save": lambda sink: sink.save("s", [HERS]),
    "append": lambda sink: sink.append("s", HERS),
    "extend": lambda sink: sink.extend("s", [HERS], LogEnd()),
    "compare": lambda sink: sink.compare("s", [HIS]),
    "flush": lambda sink: (sink.save("s", [HERS]), sink.flush("s", 5))[1],
    "resume": lambda sink: sink.resume("s"),
    "pointer": lambda sink: sink.pointer("s"),
    "read": lambda sink: list(sink.read("s")),
    "status": lambda sink: sink.status("s"),
    "list_sessions": lambda sink: sink.list_sessions(),
    "recall": lambda sink: sink.recall("bob"),
    "resolve": lambda sink: sink.resolve(PointerHandle("bucket", "history/bob/s/history.jsonl", None)),
}
ASKS_NOBODY = {"from_env", "measure", "forget", "close", "can_ask", "clock_ahead_seconds", "outcomes"}


def test_every_call_is_here() -> None:
    public = {name for name in dir(HistorySink) if not name.startswith("_") and not name.endswith("_fork")}
    assert public == {*CALLS, *ASKS_NOBODY, *(name for name in public if name.startswith("a") and name[1:] in public)}


@pytest.mark.parametrize("named", [BOB, None])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_for_anothers_sessions_is_denied(
    site: TenantSite, stored: dict[str, Any], call: str, named: str | None
) -> None:
    before = site.list_keys("history/bob/")
    with site.sink(ANN, named) as sink:
        try:
            answer = CALLS[call](sink)
            told = f"{getattr(answer, 'kind', '')} {getattr(answer, 'reason', '')}"
        except Denied as error:
            told = str(error)
        assert "denied" in told
    assert site.list_keys("history/bob/") == before


def test_her_pointer_to_his_session_is_denied(site: TenantSite, stored: dict[str, Any]) -> None:
    his = stored[BOB]["pointer"]
    keys = [his.key, "history/s/history.jsonl", "history/ann/../bob/s/history.jsonl", "history/ann//history/bob/s"]
    with site.sink(ANN) as sink:
        for key in keys:
            answer = sink.resolve(PointerHandle(his.bucket, key, None))
            assert isinstance(answer, Fault), key
            assert answer.kind == "denied", key


def test_his_answers_cannot_be_fetched_by_who_knows_their_ids(site: TenantSite, stored: dict[str, Any]) -> None:
    with site.sink(ANN) as sink, pytest.raises(Denied):
        sink.outcomes(stored[BOB]["ids"])
    with site.client(name_tenant(ANN)) as hers, site.sink(BOB) as sink:
        for command in ("GET", "GETDEL", "DEL", "SUBSCRIBE"):
            with pytest.raises(Exception, match=r"[Nn]o permissions|NOPERM|no permissions"):
                hers.execute_command(command, f"celery-task-meta-{stored[BOB]['ids'][0]}")
        assert sink.outcomes(stored[BOB]["ids"])


def task(**changes: Any) -> TaskMessage:
    """A save of hers, with something in its headers, or in its body's third part, that is to reach his things."""
    task_id = f"ann.{uuid.uuid4()}"
    embed = changes.pop("embed", {})
    args, kwargs = changes.pop("args", ["hostile", [HERS]]), changes.pop("kwargs", {})
    properties = {"correlation_id": task_id, **changes.pop("properties", {})}
    headers = {"lang": "py", "task": UPLOAD, "id": task_id, "retries": 0, "ignore_result": False, **changes}
    return TaskMessage(headers, [args, kwargs, embed], properties, "history.bob.upload")


SIGNATURE = {
    "task": UPLOAD, "args": ["planted", [HERS]], "kwargs": {}, "subtask_type": None, "immutable": True,
    "options": {"queue": "history.bob.upload", "task_id": "bob.planted"},
}  # fmt: skip
REFUSED = {
    "an id of his": task(id="bob.planted"),
    "an id of nobody's": task(id=str(uuid.uuid4())),
    "a callback": task(embed={"callbacks": [SIGNATURE]}),
    "an errback": task(embed={"errbacks": [SIGNATURE]}, args=["..", []]),
    "a chain": task(embed={"chain": [SIGNATURE]}),
    "a chord": task(embed={"chord": SIGNATURE}),
    "a chain in the headers": task(chain=[SIGNATURE]),
    "callbacks in the headers": task(callbacks=[SIGNATURE]),
    "a group": task(group="bob.planted"),
    "a route in stamps": task(
        stamped_headers=["exchange", "routing_key", "queue"],
        stamps=dict.fromkeys(("exchange", "routing_key", "queue"), "history.bob.upload"),
        args=["hostile"], kwargs={"v": 99},
    ),
    "an answer to another": task(reply_to="bob.planted"),
    "a route in the headers": task(delivery_info={"exchange": "", "routing_key": "history.bob.upload"}),
    "another task": task(task="celery.chord_unlock", args=["bob", SIGNATURE], kwargs={"result": []}),
    "many tasks": task(task="celery.map", args=[SIGNATURE, [["planted", []]]]),
    "protocol 1": TaskMessage({}, {"task": UPLOAD, "id": "bob.planted", "args": ["planted", [HERS]], "kwargs": {}}),
}  # fmt: skip


@pytest.fixture
def his_world(site: TenantSite, stored: dict[str, Any]) -> Iterator[None]:
    """What he has in store, queues and answers is as it was."""

    def look() -> tuple[list[str], list[bytes]]:
        with site.admin() as admin:
            keys: Any = admin.keys("*")
        answers = [key for key in keys if key.startswith(b"celery-task-meta-") and b"-ann." not in key]
        known = [key for key in answers if b"planted" in key or b"-bob." not in key]
        return site.list_keys("history/bob/"), sorted(known)

    before = look()
    yield
    with site.sink(BOB) as sink:  # what was before it in his queue has been done when this is
        sink.save("s", [HIS])
        assert sink.flush("s", 30)
    assert look() == before


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_that_reaches_for_more_becomes_a_letter_of_its_sender(
    site: TenantSite, his_world: None, name: str
) -> None:
    before = site.letters(ANN)
    site.post(ANN, REFUSED[name])
    wait_until(lambda: len(site.letters(ANN)) > len(before), timeout_seconds=30, what="a letter")
    assert [letter.queue for letter in site.letters(ANN) if letter not in before] == ["history.ann.upload"]
    assert not [key for key in site.list_keys() if "planted" in key and "/.dead/" not in key]


def test_what_a_message_says_of_its_route_does_not_count(site: TenantSite, his_world: None) -> None:
    message = task(args=["routed", [HERS]])
    site.post(ANN, message)
    wait_until(lambda: bool(site.list_keys("history/ann/routed/")), timeout_seconds=20, what="the save")


def test_a_task_that_is_tried_again_goes_back_to_its_own_queue(
    site: TenantSite, his_world: None, stored: dict[str, Any], worker: Worker
) -> None:
    message = task(args=["hostile"], kwargs={"v": 99})  # of a later version: it waits for a newer worker
    site.post(ANN, message)
    task_id = message.headers["id"]
    log = worker.process.log
    wait_until(lambda: log().count(f'"{task_id}"') > 0 and "payload version 99" in log(), timeout_seconds=20, what="it")
    worker.stop()
    try:
        assert count_waiting(site, "history.ann.upload") == 1
        assert count_waiting(site, "history.bob.upload") == 0
    finally:
        purge(site, "history.ann.upload")
        worker.start()


def count_waiting(site: TenantSite, queue: str) -> int:
    if site.rabbit is None:
        with site.admin() as admin:
            return int(admin.llen(queue))
    told = site.rabbit.control("list_queues", "-p", site.vhost, "name", "messages")
    return next(int(line.split()[1]) for line in told.splitlines() if line.split()[0] == queue)


def purge(site: TenantSite, queue: str) -> None:
    if site.rabbit is None:
        with site.admin() as admin:
            admin.delete(queue)
    else:
        site.rabbit.control("purge_queue", "-p", site.vhost, queue)


NO_MESSAGES = [
    b"no message",
    b'[{"headers":{"id":"bob.planted"}},"","history.bob.upload"]',
    b'{},"","history.bob.upload"',
]


@pytest.mark.parametrize("site", ["redis"], indirect=True)  # on RabbitMQ a message has its envelope
@pytest.mark.parametrize("body", NO_MESSAGES)
def test_bytes_that_are_no_message_become_a_letter_of_their_sender(
    site: TenantSite, his_world: None, body: bytes
) -> None:
    before = site.letters(ANN)
    with site.client(name_tenant(ANN)) as client:
        client.lpush("history.ann.upload", body)
    wait_until(lambda: len(site.letters(ANN)) > len(before), timeout_seconds=30, what="a letter")
    assert {letter.queue for letter in site.letters(ANN) if letter not in before} == {"history.ann.upload"}


def test_idle_sessions_of_each_are_folded(site: TenantSite, stored: dict[str, Any]) -> None:
    for tenant in (ANN, BOB):
        with site.sink(tenant) as sink:
            for end in (1, 2, 3):
                sink.save("long", [{"n": n, "of": tenant} for n in range(end)])
                assert sink.flush("long", 30)
    for tenant in (ANN, BOB):
        key = f"history/{tenant}/long/history.jsonl"
        wait_until(partial(is_whole, site, key), timeout_seconds=30, what=f"{key} to be whole")


def is_whole(site: TenantSite, key: str) -> bool:
    if key not in site.list_keys(key):
        return False
    return bool(site.store.get_object(Bucket=site.bucket, Key=key)["Body"].read().count(b"\n") == 3)


def test_a_worker_in_processes_tells_them_apart(site: TenantSite, stored: dict[str, Any], worker: Worker) -> None:
    worker.stop()
    forked = site.worker("forked", pool="prefork")
    forked.start()
    try:
        for tenant in (ANN, BOB):
            with site.sink(tenant) as sink:
                sink.save("forked", [{"of": tenant}])
                assert sink.flush("forked", 30)
                assert b"".join(sink.read("forked")) == f'{{"of":"{tenant}"}}\n'.encode()
    finally:
        forked.stop()
        worker.start()
