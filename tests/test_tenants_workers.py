"""Workers of tenants, and their operator, on real servers."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from forked_process import operate
from history_sink import HistorySink, Recalled
from history_sink_worker.rights.redis_acl import WORKER
from history_sink_worker.rights.s3_policies import policy
from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import Denied, Get, List, Put
from stack.minio import MinioServer
from stack.processes import free_port, wait_until
from stack.worker import Worker
from tenant_site import ANN, BOB, NAMESPACE, TenantSite, running_site

HUNDRED = [ANN, BOB, *(f"team-{number}" for number in range(98))]


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.system)])
def site(request: pytest.FixtureRequest, minio_server: MinioServer, tmp_path: Path) -> Iterator[TenantSite]:
    with running_site(minio_server, tmp_path, on_rabbitmq=request.param == "rabbitmq") as site:
        yield site


on_redis = pytest.mark.parametrize("site", ["redis"], indirect=True)


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def save(site: TenantSite, tenant: str, session: str, sink: HistorySink | None = None) -> None:
    with sink or site.sink(tenant) as sink:
        assert sink.save(session, [{"text": f"words of {tenant}"}]).state == "enqueued"
        flushed = sink.flush(session, 30)
        assert flushed, flushed


def run(site: TenantSite, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return operate({**site.environment, **{f"{NAMESPACE}{name}": value for name, value in more.items()}}, *arguments)


def fetch(port: int, page: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
        return str(answer.read().decode())


def count_connections(site: TenantSite) -> int:
    """Of all workers to the broker, and to Redis where that is another."""
    with site.admin() as admin:
        found = sum(client["user"] == WORKER for client in admin.client_list())
    if site.rabbit is not None:
        found += site.rabbit.control("list_connections", "user").split().count(WORKER)
    return int(found)


def test_a_hundred_tenants_take_no_more_connections_than_two(site: TenantSite) -> None:
    counted = []
    for name, tenants in (("two", [ANN, BOB]), ("hundred", HUNDRED)):
        with running(site.worker(name, {"TENANTS": ",".join(tenants)})):
            save(site, ANN, f"with-{name}")
            save(site, BOB, f"with-{name}")
            save(site, tenants[-1], f"last-{name}", site.any_sink(tenants[-1]))
            counted.append(count_connections(site))
    assert max(counted) < 20, counted  # about six for each thread of the pool: they come and go


@on_redis
def test_a_queue_named_without_a_tenant_is_that_of_each(site: TenantSite) -> None:
    with running(site.worker(queues=("history.read",))):
        for tenant in (ANN, BOB):
            with site.sink(tenant) as sink:
                assert sink.status("s").logs == ()
                assert sink.save("s", [{"n": 1}]).state == "enqueued"
                assert not sink.flush("s", 2)
    with site.admin() as admin:
        assert [admin.llen(f"history.{tenant}.upload") for tenant in (ANN, BOB)] == [1, 1]


@on_redis
def test_a_search_worker_serves_one_tenant_and_does_not_start_for_two(site: TenantSite, tmp_path: Path) -> None:
    folder = {"SEARCH_DIR": str(tmp_path / "index")}
    several = site.worker("several", queues=("history.search",), more=folder)
    several.process.launch()
    wait_until(lambda: not several.process.is_running, timeout_seconds=60, what="it to end")
    assert "an index is one tenant's" in several.process.log()
    with running(site.worker()), running(site.worker("ann", {**folder, "TENANTS": ANN}, queues=("history.search",))):
        save(site, ANN, "hers")
        save(site, BOB, "his")
        with site.sink(ANN) as sink:
            wait_until(lambda: bool(find(sink.recall("words"))), timeout_seconds=60, what="a hit")
            assert find(sink.recall("words")) == ["hers"]


def find(answer: object) -> list[str]:
    return [hit.session for hit in answer.hits] if isinstance(answer, Recalled) else []


@on_redis
def test_workers_with_and_without_tenants_do_not_share_a_redis(site: TenantSite) -> None:
    with running(site.worker()):
        other = site.worker(
            "other", {"TENANTS": "", "BROKER_URL": site.server.url(3), "RESULT_URL": "", "REDIS_URL": ""}
        )
        other.process.launch()
        wait_until(lambda: not other.process.is_running, timeout_seconds=60, what="it to end")
        assert "the queue is another store's" in other.process.log()


@on_redis
def test_an_operator_says_which_tenant(site: TenantSite) -> None:
    with running(site.worker()):
        save(site, ANN, "kept")
        with site.client("history-producer-bob") as client:
            client.lpush("history.bob.upload", "no message")
        wait_until(lambda: bool(site.letters(BOB)), timeout_seconds=30, what="a letter")
        untold = run(site, "dead", "list")
        assert untold.returncode == 1
        assert "there are 2 tenants: set CODETETHER_HISTORY_TENANT to one of them" in untold.stderr
        assert run(site, "dead", "list", TENANT="cid").returncode == 1
        letters = {tenant: run(site, "dead", "list", "--json", TENANT=tenant).stdout for tenant in (ANN, BOB)}
        assert letters[ANN] == ""
        assert json.loads(letters[BOB])["queue"] == "history.bob.upload"
        replayed = run(site, "dead", "replay", "--all", TENANT=BOB)
        assert "sent again" in replayed.stdout, replayed
        wait_until(lambda: bool(site.letters(BOB)), timeout_seconds=30, what="it to come back to where it was")
        assert site.letters(ANN) == []
        assert run(site, "delete", "kept", "--yes", TENANT=BOB).returncode != 0
        assert run(site, "delete", "kept", "--yes", TENANT=ANN).returncode == 0
        assert run(site, "verify", TENANT=ANN).returncode == 0
        assert run(site, "tidy", "--all", TENANT=BOB).returncode == 0


@on_redis
def test_a_doctor_finds_no_right_missing(site: TenantSite) -> None:
    with running(site.worker()):
        said = run(site, "doctor")
    assert 'tenants: 2, each below "history/*/": ann, bob' in said.stdout
    assert "may not" not in said.stdout
    assert "every key" not in said.stdout
    assert said.returncode == 0, said.stdout


def grant(site: TenantSite, tenant: str) -> dict[str, str]:
    """A user of the store for workers of this tenant."""
    access_key, secret_key = site.minio.create_user(policy("compactor", site.bucket, f"history/{tenant}/"))
    return {"S3_ACCESS_KEY": access_key, "S3_SECRET_KEY": secret_key, "TENANTS": tenant}


@on_redis
def test_the_store_itself_keeps_workers_of_one_tenant_each_apart(site: TenantSite) -> None:
    hers, his = grant(site, ANN), grant(site, BOB)
    with running(site.worker("ann", hers)), running(site.worker("bob", his)):
        save(site, ANN, "s")
        save(site, BOB, "s")
    store = S3Store(
        endpoint=site.minio.endpoint,
        bucket=site.bucket,
        access_key=hers["S3_ACCESS_KEY"],
        secret_key=hers["S3_SECRET_KEY"],
    )
    assert store.perform(Get("history/ann/s/history.jsonl")) is not None
    requests: Sequence[Get | List | Put] = (
        Get("history/bob/s/history.jsonl"),
        List("history/bob/"),
        Put("history/bob/s/planted", b"", {}),
        Put("history/ann-and-more/s", b"", {}),
        List("history/"),
    )
    for request in requests:
        with pytest.raises(Denied):
            store.perform(request)
    wrong = site.worker("wrong", {**hers, "TENANTS": BOB})
    wrong.process.launch()
    wait_until(lambda: not wrong.process.is_running, timeout_seconds=60, what="it to end")
    assert "the store does not let us in" in wrong.process.log()


@on_redis
def test_a_tenant_whose_prefix_the_store_refuses_holds_up_no_other(site: TenantSite) -> None:
    rights = policy("compactor", site.bucket, "history/")
    statement = {
        "Effect": "Deny",
        "Action": ["s3:PutObject"],
        "Resource": [f"arn:aws:s3:::{site.bucket}/history/ann/*"],
    }
    rights["Statement"].append(statement)
    access_key, secret_key = site.minio.create_user(rights)
    port = free_port()
    credential = {
        "S3_ACCESS_KEY": access_key,
        "S3_SECRET_KEY": secret_key,
        "TENANTS": f"{ANN},{BOB}",
        "HTTP_ADDRESS": str(port),
    }
    with running(site.worker("both", credential)) as worker, site.sink(ANN) as refused, site.sink(BOB) as other:
        for number in range(5):
            assert refused.save(f"s{number}", [{"text": "words"}]).state == "enqueued"
        wait_until(lambda: "tenant refused by the store" in worker.process.log(), timeout_seconds=30, what="a refusal")
        for number in range(10):
            assert other.save(f"s{number}", [{"text": "words"}]).state == "enqueued"
            assert other.flush(f"s{number}", 10)
        assert "store away" not in worker.process.log()
        assert f'history_sink_tenant_refused{{tenant="{ANN}"}} 1.0' in fetch(port, "metrics")
        ready = json.loads(fetch(port, "ready"))
        assert ready["ready"]
        assert ready["notes"] == [f"the store refuses tenant {ANN}, whose uploads wait"]
        examined = run(site, "doctor", **credential)
        assert examined.returncode == 1
        assert f"tenants: the store refuses {ANN}, whose uploads wait" in examined.stdout
        assert f"refuses {BOB}" not in examined.stdout
    with running(site.worker("restored", {"TENANTS": f"{ANN},{BOB}"})), site.sink(ANN) as sink:
        for number in range(5):
            wait_until(lambda: len(sink.status(f"s{number}").logs) == 1, what="what had waited", timeout_seconds=90)  # noqa: B023
