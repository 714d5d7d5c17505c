"""The store's policies, on a real MinIO: with them each kind of worker does its work, and what they forbid fails."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from celery import Celery

from forked_process import ForkedWorker, operate
from history_sink import Fault, HistorySink
from history_sink_worker.archive.grow import known, upload
from history_sink_worker.gate.store_probe import look
from history_sink_worker.rights.s3_policies import ROLES, policy
from history_sink_worker.s3.client import S3Store
from history_sink_worker.service.service import make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Delete, Denied, Get, List, Put, Request, Steps, run
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.worker import Worker

MIB5 = bytes(5 * 1024 * 1024)
HOME = "history/session/"


def credentials(minio: MinioServer, bucket: str, role: str) -> dict[str, str]:
    access_key, secret_key = minio.create_user(policy(role, bucket, "history/"))
    return {"CODETETHER_HISTORY_S3_ACCESS_KEY": access_key, "CODETETHER_HISTORY_S3_SECRET_KEY": secret_key}


@pytest.fixture(scope="module")
def stores(minio_server: MinioServer, bucket: str) -> dict[str, S3Store]:
    made = {}
    for role in ROLES:
        access_key, secret_key = minio_server.create_user(policy(role, bucket, "history/"))
        made[role] = S3Store(
            endpoint=minio_server.endpoint, bucket=bucket, access_key=access_key, secret_key=secret_key
        )
    return made


# What each role may do, of all that the archive asks for. Each key is there.
REQUESTS: dict[str, Request] = {
    "list": List(HOME),
    "get": Get(HOME + "history.jsonl"),
    "put": Put(HOME + "tail/1", b"1", {}, if_match="0" * 32),
    "put a letter": Put("history/.dead/1", b"1", {}, if_match="0" * 32),
    "delete": Delete((HOME + "tail/1",)),
    "delete a letter": Delete(("history/.dead/1",)),
    "delete a probe": Delete(("history/.probe/1",)),
    "get elsewhere": Get("other/1"),
    "put elsewhere": Put("other/1", b"1", {}, if_match="0" * 32),
    "delete elsewhere": Delete(("other/1",)),
    "list elsewhere": List("other/"),
    "list all": List(""),
}
ALLOWED = {
    "reader": {"list", "get", "put a letter"},
    "writer": {"list", "get", "put", "put a letter", "delete a probe"},
    "compactor": {"list", "get", "put", "put a letter", "delete a probe", "delete"},
    "operator": {"list", "get", "put", "put a letter", "delete a probe", "delete", "delete a letter"},
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_must_and_no_more(
    role: str, stores: Mapping[str, S3Store], store: S3Store, minio_server: MinioServer
) -> None:
    for key in (HOME + "history.jsonl", HOME + "tail/1", "history/.dead/1", "history/.probe/1", "other/1"):
        minio_server.client().put_object(Bucket=store.bucket, Key=key, Body=b"1")
    allowed = set()
    for name, request in REQUESTS.items():
        try:
            stores[role].perform(request)
            allowed.add(name)
        except Denied:
            pass
    assert allowed == ALLOWED[role]


def test_a_writer_may_grow_a_base_and_a_reader_may_not(
    stores: Mapping[str, S3Store], store: S3Store, minio_server: MinioServer
) -> None:
    minio_server.client().put_object(Bucket=store.bucket, Key=HOME + "large", Body=MIB5)
    info = minio_server.client().head_object(Bucket=store.bucket, Key=HOME + "large")

    def extend() -> Steps[None]:
        return upload(HOME + "large", info["ETag"].strip('"'), [(0, len(MIB5))], [known(b"tail\n")], {})

    with pytest.raises(Denied):
        run(extend(), stores["reader"].perform)
    run(extend(), stores["writer"].perform)


def says(worker: Worker, event: str) -> bool:
    return event in worker.process.log()


@contextmanager
def one_worker_for_each(
    environment: Mapping[str, str], minio: MinioServer, bucket: str, directory: Path
) -> Iterator[dict[str, Worker]]:
    queues = {"reader": "history.read", "writer": "history.upload", "compactor": "history.maintenance"}
    workers: dict[str, Worker] = {}
    for role, queue in queues.items():
        its = {**environment, "CODETETHER_HISTORY_IDLE_SECONDS": "1", **credentials(minio, bucket, role)}
        workers[role] = ForkedWorker(its, log_path=directory / f"{role}.log", name=role, queues=[queue], concurrency=2)
    try:
        for each in workers.values():
            each.process.launch()
        for each in workers.values():
            wait_until(each._says_ready, timeout_seconds=40, what=f"{each.node} to be ready")
        yield workers
    finally:
        for each in workers.values():
            each.process.kill()


def test_three_workers_each_with_its_own_rights_do_all_the_work(
    environment: Mapping[str, str], minio_server: MinioServer, bucket: str, tmp_path: Path
) -> None:
    url = environment["CODETETHER_HISTORY_BROKER_URL"]
    with (
        one_worker_for_each(environment, minio_server, bucket, tmp_path) as workers,
        HistorySink(broker_url=url) as sink,
        Celery("plain", broker=url, backend=url, set_as_current=False) as plain,
    ):
        for end in (1, 2, 3):
            assert sink.save("three", [{"n": n} for n in range(end)]).state == "enqueued"
        assert sink.flush("three", 20)
        answer = sink.resolve(sink.pointer("three"), 20)
        assert not isinstance(answer, Fault)
        assert answer.count(b"\n") == 3
        broken = (("history_sink.upload_history", "history.upload"), ("history_sink.nobody", "history.read"))
        for task, queue in broken:  # one for the writer to bury, one for the reader
            plain.send_task(task, ("broken", ["no\nline"]), queue=queue)
        for role, event in (("writer", "message buried"), ("reader", "message buried"), ("compactor", "folded_bytes")):
            wait_until(partial(says, workers[role], event), timeout_seconds=20, what=f"{event} by {role}")
        logs = {role: each.process.log() for role, each in workers.items()}
    assert [role for role, log in logs.items() if "AccessDenied" in log or "Traceback" in log] == []
    assert '"supported": []' in logs["reader"]  # it has probed nothing


def test_a_worker_that_takes_uploads_does_not_start_with_a_readers_rights(
    environment: Mapping[str, str], minio_server: MinioServer, bucket: str, tmp_path: Path
) -> None:
    its = {**environment, **credentials(minio_server, bucket, "reader")}
    worker = ForkedWorker(its, log_path=tmp_path / "worker.log")
    worker.process.launch()
    try:
        said = "the store does not let us in: PUT"
        wait_until(lambda: said in worker.process.log(), timeout_seconds=30, what="it to end")
    finally:
        worker.process.kill()


def test_the_probe_of_a_readers_gate_does_not_write(
    environment: Mapping[str, str], minio_server: MinioServer, bucket: str
) -> None:
    its = {**environment, **credentials(minio_server, bucket, "reader")}
    work = make_service(WorkerSettings.from_env(its))
    assert look(work, "token", is_reader=True).writing is None
    assert isinstance(look(work, "token").writing, Denied)


def test_the_command_prints_the_policy_of_this_bucket(bucket: str) -> None:
    command = ("policy", "reader", "--bucket", bucket, "--prefix", "p")
    done = operate({}, *command)
    assert json.loads(done.stdout) == policy("reader", bucket, "p/")
    refused = operate({}, *command, "--prefix", "*")
    assert refused.returncode == 1
    assert "pattern" in refused.stderr
