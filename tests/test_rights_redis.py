"""Redis's ACL users, over TLS: with them everything works, and what they forbid fails. By the server's own ACL LOG."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kombu.transport
import pytest
import redis
from celery import Celery
from redis.exceptions import NoPermissionError

from command import Command
from forked_process import ForkedWorker, operate
from history_sink import HistorySink
from history_sink_worker.belonging import KEY
from history_sink_worker.rights.redis_acl import FLOWER, PRODUCER, USERS, WORKER, user_line
from stack.flower import Flower
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.stack import environment
from test_flower import fetch
from test_tls import TlsRedis, server_side

DATABASE = 3
UPLOAD = "history_sink.upload_history"


@pytest.fixture(autouse=True)
def stock_transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plain client has kombu's transport, though another test of this process may have loaded the worker's."""
    resolved = vars(kombu.transport)["_transport_cache"]
    for scheme in ("redis", "rediss"):
        monkeypatch.setitem(kombu.transport.TRANSPORT_ALIASES, scheme, "kombu.transport.redis:Transport")
        resolved.pop(scheme, None)
    yield
    for scheme in ("redis", "rediss"):
        resolved.pop(scheme, None)


class Users:
    """Redis's own configuration, with the users in it."""

    def _configuration(self, directory: Path, fsync: str) -> str:
        lines = [user_line(user, f"password-of-{user}", DATABASE) for user in USERS]
        base: str = super()._configuration(directory, fsync)  # type: ignore[misc]  # of the class beside this one
        return base + "\n".join(lines) + "\n"


class GuardedRedis(Users, RedisServer):
    """Without TLS: the server that is bundled for tests cannot speak it."""


class GuardedTlsRedis(Users, TlsRedis):
    """With it."""


class Place:
    """A Redis with users, and all parts on it, each as its own."""

    def __init__(self, server: RedisServer, port: int, directory: Path, minio: MinioServer) -> None:
        self.server, self._port, self._directory = server, port, directory
        self.bucket = minio.create_bucket()
        self.operator = environment(minio, self.url(WORKER), self.bucket) | {
            "CODETETHER_HISTORY_VISIBILITY_TIMEOUT_SECONDS": "3",
            "CODETETHER_HISTORY_IDLE_SECONDS": "1",
        }
        self.worker = ForkedWorker(self.operator, log_path=directory / "worker.log")
        # SSL_CERT_FILE: what Flower asks of a queue's length goes by a connection that forgets the URL's ssl_ca_certs.
        watching = {"CODETETHER_HISTORY_BROKER_URL": self.url(FLOWER), "SSL_CERT_FILE": f"{directory}/cert.pem"}
        self.flower = Flower(watching, log_path=directory / "flower.log")
        self.plain = Celery("plain", broker=self.url(PRODUCER), backend=self.url(PRODUCER), set_as_current=False)

    def url(self, user: str) -> str:
        where = f"localhost:{self._port}/{DATABASE}"
        return (
            f"rediss://{user}:password-of-{user}@{where}?ssl_cert_reqs=required&ssl_ca_certs={self._directory}/cert.pem"
        )

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url(user), socket_timeout=5, retry=None)

    def admin(self) -> redis.Redis:
        return self.server.client(self.server.url(DATABASE))

    def take_denied(self) -> set[tuple[str, str]]:
        """Who was denied what since this was asked last; not what redis-py says of itself, and nobody needs."""
        with self.admin() as admin:
            entries: Any = admin.acl_log()
            admin.acl_log_reset()
        denied = {(entry["username"], entry["object"]) for entry in entries}
        return {(user, what) for user, what in denied if what != "client|setinfo"}

    def operate(self, *arguments: str) -> str:
        done = operate(self.operator, *arguments)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout


@pytest.fixture(scope="module", params=["proxy", pytest.param("redis", marks=pytest.mark.system)])
def place(
    request: pytest.FixtureRequest, minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("rights")
    context = server_side(directory)
    server = GuardedRedis(directory) if request.param == "proxy" else GuardedTlsRedis(directory)
    with ExitStack() as running:
        server.start()
        running.callback(server.stop)
        port = (
            server.tls_port
            if isinstance(server, TlsRedis)
            else running.enter_context(Proxy(server.port, tls=context)).port
        )
        place = Place(server, port, directory, minio_server)
        running.callback(place.flower.stop)
        running.callback(place.worker.process.kill)
        running.callback(place.plain.close)
        place.worker.start()
        place.flower.start()
        yield place


def test_the_library_may_do_all_that_it_does(place: Place) -> None:
    with HistorySink(broker_url=place.url(PRODUCER)) as sink:
        assert [sink.save("library", [{"n": n} for n in range(end)]).state for end in (1, 2, 3)] == ["enqueued"] * 3
        assert sink.flush("library", 20)
        assert sink.save("library", [{"n": 9}]).state == "enqueued"  # an undo
        assert sink.flush("library", 20)
        assert sink.resolve(sink.pointer("library")) == b'{"n":9}\n'
        assert b"".join(sink.read("library")) == b'{"n":9}\n'
        assert len(sink.status("library").logs) == 2
    history_sink = Command({"CODETETHER_HISTORY_BROKER_URL": place.url(PRODUCER)})
    assert history_sink("check").status == 0
    assert b"library" in history_sink("list").out
    assert place.take_denied() == set()


def test_a_stock_client_may_save_and_wait_for_its_answer(place: Place) -> None:
    sent = place.plain.send_task(UPLOAD, ("stock", [{"n": 1}]), queue="history.upload", priority=3)
    assert sent.get(timeout=20)["outcome"] == "stored"
    sent.forget()
    assert place.take_denied() == set()


def test_a_worker_may_fold_bury_and_take_over_what_another_has_left(place: Place) -> None:
    log = place.worker.process.log
    place.plain.send_task(UPLOAD, ("broken", ["no\nline"]), queue="history.upload")
    with place.admin() as admin:
        admin.lpush("history.upload", "no message at all")
        wait_until(lambda: log().count("message buried") == 2, timeout_seconds=30, what="both to be buried")
        wait_until(lambda: "history_sink.compact" in log(), timeout_seconds=20, what="what is idle to be folded")
        place.worker.process.kill()
        sent = place.plain.send_task(UPLOAD, ("left", [{"n": 1}]), queue="history.upload")
        message: Any = admin.rpop("history.upload")
        claim = "claim-" + "0" * 32
        admin.zadd("unacked_index", {claim: 1})
        admin.hset("unacked", claim, f'[{message.decode()},"","history.upload"]')
        place.worker.start()
        assert sent.get(timeout=30)["outcome"] == "stored"
    assert "broken" in place.operate("dead", "list")
    assert "sent again" in place.operate("dead", "replay", "--all")
    place.operate("tidy", "--all")
    assert place.take_denied() == set()


def test_a_worker_notes_its_store_and_no_producer_can_change_it(place: Place) -> None:
    with place.client(PRODUCER) as producer, place.client(WORKER) as worker, place.client(FLOWER) as flower:
        assert place.bucket in str(worker.get(KEY))
        for other in (producer, flower):
            with pytest.raises(NoPermissionError):
                other.set(KEY, "another")
    place.take_denied()


def test_a_doctor_finds_no_right_missing(place: Place) -> None:
    said = place.operate("doctor")
    assert "may not" not in said
    assert "every key" not in said
    denied = {what for user, what in place.take_denied() if user == WORKER}
    assert denied - {"config|get"} <= {what for what in denied if what.startswith("doctor-")}  # which it has tried


def test_flower_may_show_workers_queues_and_tasks(place: Place) -> None:
    assert "worker@local" in fetch(place.flower, "/api/workers", refresh="true")
    assert "history.upload" in fetch(place.flower, "/api/queues/length")
    place.plain.send_task(UPLOAD, ("shown", [{"n": 1}]), queue="history.upload").get(timeout=20)
    wait_until(lambda: "('shown',)" in fetch(place.flower, "/api/tasks"), timeout_seconds=20, what="the task")
    assert place.take_denied() == set()


FORBIDDEN = {
    PRODUCER: [
        "LRANGE history.upload 0 -1", "LINDEX history.upload 0", "RPOP history.upload", "DEL history.upload",
        "LPUSH history.maintenance x", "LPUSH history.upload.dead x", "LPUSH celery-task-meta-x x",
        "GET history-sink:x:hint:y", "SET celery-task-meta-x x", "HGETALL unacked", "PSUBSCRIBE celery-task-meta-*",
        "PUBLISH /3.celery.pidbox x", "EVAL return 1", "SCAN 0", "SMEMBERS _kombu.binding.history.upload",
    ],
    WORKER: ["HGETALL unacked", "LRANGE history.upload 0 -1", "GET somebody-elses", "SET somebody-elses x", "SCAN 0"],
    FLOWER: [
        "HGET unacked x", "HGETALL unacked", "LINDEX history.upload 0", "LPUSH history.upload x", "RPOP history.upload",
        "GET celery-task-meta-x", "GET history-sink:x:hint:y", "DEL unacked_index", "SUBSCRIBE celery-task-meta-x",
    ],
}  # fmt: skip
FOR_ALL = [
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "CONFIG GET *",
    "ACL LIST",
    "MONITOR",
    "CLIENT LIST",
    "SHUTDOWN",
    "SWAPDB 0 3",
]


@pytest.mark.parametrize("user", USERS)
def test_what_a_user_does_not_need_is_forbidden(place: Place, user: str) -> None:
    with place.client(user) as client:
        for command in FORBIDDEN[user] + FOR_ALL:
            words = command.split()
            if words[0] == "EVAL":
                words = ["EVAL", "return 1", "0"]
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
    assert place.take_denied()


def test_a_script_may_no_more_than_its_user(place: Place) -> None:
    script = "return redis.call('HGETALL', KEYS[1])"
    with (
        place.client(FLOWER) as client,
        pytest.raises(redis.ResponseError, match=r"executing the script can't|ACL failure in script"),
    ):
        client.eval(script, 1, "unacked")
    place.take_denied()


def test_the_command_prints_lines_without_passwords(place: Place) -> None:
    done = operate({}, "acl", FLOWER, "--database", "3")
    (line,) = done.stdout.splitlines()
    found = re.search(rf"redis://{FLOWER}:(\w+)@", done.stderr)
    assert found
    assert line == user_line(FLOWER, found[1], DATABASE)
    assert found[1] not in line
