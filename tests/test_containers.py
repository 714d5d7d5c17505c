"""compose.yaml and its overlay, run by the real Docker Compose: what an operator does in the first week.

`make test-containers` runs these, as root on Debian: it takes the ports that compose.yaml has.
"""

import base64
import json
import os
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compose_file import ROOT, instructions, load, read_example
from history_sink import FlushResult, HistorySink
from history_sink.settings import ProducerSettings
from stack.containers import images
from stack.containers.compose import Compose
from stack.containers.podman import Podman
from stack.processes import NotReady, port_is_free, wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

PASSWORDS = {
    "REDIS_PASSWORD": "of0redis",
    "MINIO_ROOT_USER": "of0store",
    "MINIO_ROOT_PASSWORD": "of0the0store",
    "FLOWER_BASIC_AUTH": "someone:of0flower",
}
PORTS = (5555, 6379, 9000, 9001)
BROKER_URL = f"redis://:{PASSWORDS['REDIS_PASSWORD']}@127.0.0.1:6379/0"


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """An engine with all images; nothing of it is left."""
    assert all(map(port_is_free, PORTS)), f"compose.yaml's ports must be free: {PORTS}"
    podman = Podman(Path(f"/tmp/history-sink-podman-{os.getpid()}"))
    podman.start()
    try:
        services = load(dict.fromkeys(read_example(), "x"))["services"]
        (python,) = {line.split(" AS ")[0] for line in instructions()["FROM"]}
        images.make(podman, python=python, redis=services["redis"]["image"], store=services["minio"]["image"])
        images.build(podman, services["worker"]["image"], ROOT)
        yield podman
    finally:
        podman.stop()


@pytest.fixture(scope="session")
def compose(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The whole of it with three workers."""
    compose = Compose(podman, [ROOT / "compose.yaml"], PASSWORDS, tmp_path_factory.mktemp("compose"))
    compose.up(workers=3)
    yield compose
    compose("down", "--volumes")


class Author:
    """Saves a session from this machine, message by message, and in the end wants all of it back."""

    def __init__(self, session: str, url: str = BROKER_URL) -> None:
        self._session = session
        self._sink = HistorySink(ProducerSettings(broker_url=url))
        self._messages: list[dict[str, Any]] = []

    def save(self, count: int = 20) -> None:
        for _ in range(count):
            self._messages.append({"role": "user", "content": f"{self._session} {len(self._messages)} é"})
            receipt = self._sink.save(self._session, self._messages)
            assert receipt.state != "refused", receipt.reason

    def expect_all(self) -> None:
        results: list[FlushResult] = []

        def is_flushed() -> bool:
            self._sink.save(self._session, self._messages)  # what an outage kept goes with the next save
            results.append(self._sink.flush(self._session, 5))
            return bool(results[-1])

        try:
            wait_until(is_flushed, timeout_seconds=240, what=f"{self._session} to be stored")
        except NotReady as error:
            raise NotReady(f"{error}: {results[-1]}") from None
        lines = [json.loads(line) for line in b"".join(self._sink.read(self._session)).splitlines()]
        assert lines == self._messages

    def close(self) -> None:
        self._sink.close()


@pytest.fixture
def author(request: pytest.FixtureRequest, compose: Compose) -> Iterator[Author]:
    author = Author(re.sub(r"\W+", "-", request.node.name).strip("-"))
    yield author
    author.close()


def wait_for_workers(podman: Podman, compose: Compose, count: int) -> list[str]:
    def are_well() -> bool:
        names = compose.names("worker")
        return len(names) == count and all(map(podman.check_health, names))

    wait_until(are_well, timeout_seconds=120, what=f"{count} workers to be well")
    return compose.names("worker")


def test_the_stack_comes_up_with_three_workers_and_a_bucket(podman: Podman, compose: Compose, author: Author) -> None:
    assert len(wait_for_workers(podman, compose, 3)) == 3
    (bucket,) = compose.containers("bucket")
    assert (bucket["State"], bucket["ExitCode"]) == ("exited", 0)
    author.save()
    author.expect_all()


def test_what_is_ours_is_nobody_and_writes_nowhere_but_to_tmp(podman: Podman, compose: Compose) -> None:
    script = "id -u; touch /tmp/x && echo yes; touch /opt/x 2>/dev/null || echo no; grep CapEff /proc/self/status"
    for name in (compose.names("worker")[0], compose.names("flower")[0]):
        assert podman("exec", name, "sh", "-c", script).split() == ["10001", "yes", "no", "CapEff:", "0" * 16]


def test_workers_are_scaled_up_and_down_under_way(podman: Podman, compose: Compose, author: Author) -> None:
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.05):
            author.save(1)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for count in (5, 2, 3):
            # podman tells Compose another id of their network than it gave it, and Compose would make all anew.
            compose("up", "--detach", "--no-build", "--no-recreate", f"--scale=worker={count}")
            assert len(wait_for_workers(podman, compose, count)) == count
    finally:
        ended.set()
        thread.join()
    author.expect_all()


@pytest.mark.parametrize("service", ["redis", "minio", "worker", "flower", "bucket"])
def test_a_service_is_restarted_and_nothing_is_lost(compose: Compose, author: Author, service: str) -> None:
    author.save()
    compose("restart", service)
    author.save()
    author.expect_all()


def test_a_worker_that_is_killed_comes_back_and_loses_nothing(podman: Podman, compose: Compose, author: Author) -> None:
    name = wait_for_workers(podman, compose, 3)[0]
    pid = int(podman("inspect", "--format", "{{.State.Pid}}", name))
    author.save(100)
    os.kill(pid, signal.SIGKILL)  # not `docker kill`: what an operator ends stays ended
    author.save(100)
    author.expect_all()
    wait_for_workers(podman, compose, 3)
    assert int(podman("inspect", "--format", "{{.State.Pid}}", name)) != pid


def test_the_images_health_check_notices_a_worker_that_hangs(podman: Podman, compose: Compose) -> None:
    name = wait_for_workers(podman, compose, 3)[0]
    pid = int(podman("inspect", "--format", "{{.State.Pid}}", name))
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not podman.check_health(name)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: podman.check_health(name), timeout_seconds=30, what="the worker to be well again")


def test_flower_wants_its_password_and_lists_the_workers(podman: Podman, compose: Compose) -> None:
    wait_until(lambda: podman.check_health(compose.names("flower")[0]), timeout_seconds=60, what="Flower to be well")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask_flower("someone:else")
    wait_until(lambda: len(ask_flower(PASSWORDS["FLOWER_BASIC_AUTH"])) >= 3, timeout_seconds=60, what="three workers")


def ask_flower(user: str) -> Any:
    request = urllib.request.Request("http://127.0.0.1:5555/api/workers?refresh=true")
    request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_all_of_it_goes_down_and_comes_up_with_what_it_had(compose: Compose, author: Author) -> None:
    author.save()
    author.expect_all()
    compose("down")
    compose.up(workers=3)
    author.expect_all()


def test_with_users_of_redis_each_part_does_its_work(
    podman: Podman, compose: Compose, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The overlay's own instructions, on a copy of the files: they leave one of secrets' hashes beside them."""
    place = tmp_path_factory.mktemp("users")
    (place / "deploy").mkdir()
    files = [place / name for name in ("compose.yaml", "deploy/compose.acl.yaml")]
    for file in files:
        file.write_text((ROOT / file.relative_to(place)).read_text())
    plain = Compose(podman, files[:1], PASSWORDS, place)
    printed = plain.run("run", "--rm", "--no-deps", "-T", "worker", "history-sink-worker", "acl")
    (place / "history-sink.acl").write_text(printed.stdout)
    passwords = dict(re.findall(r"^(\S+)  redis://\1:(\w+)@HOST", printed.stderr, re.MULTILINE))
    values = {
        **PASSWORDS,
        "HISTORY_WORKER_PASSWORD": passwords["history-worker"],
        "HISTORY_FLOWER_PASSWORD": passwords["history-flower"],
    }
    with_users = Compose(podman, files, values, place)
    with_users.up(workers=3)
    wait_for_workers(podman, with_users, 3)
    author = Author("with-users", f"redis://history-producer:{passwords['history-producer']}@127.0.0.1:6379/0")
    try:
        author.save()
        author.expect_all()
    finally:
        author.close()
