"""Flower as deploy/ runs it: it asks who is there, lies behind a proxy's path, changes nothing, and remembers."""

import base64
import http.client
import json
import re
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from stack.processes import Process, free_port, wait_until
from stack.stack import producer_environment
from stack.worker import Worker
from test_deploy import pod, variables_of

USER = "someone:pass0word"
LIST = "history_sink.list_sessions"


def fetch(url: str, user: str = "", method: str = "GET") -> bytes:
    request = urllib.request.Request(url, method=method)
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        body: bytes = answer.read()
        return body


def status_of(url: str, user: str = "", method: str = "GET") -> int:
    try:
        fetch(url, user, method)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


class Service:
    """The container of flower.yaml, without the container."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/flower"
        (container,) = pod("flower")["containers"]
        names = {"FLOWER_BASIC_AUTH": USER, "FLOWER_DB": str(directory / "state")}
        variables = {**variables_of(pod("flower")), **names, **producer_environment(environment)}
        del variables["CODETETHER_HISTORY_BROKER_URL_FILE"]
        command = [str(Path(sys.executable).with_name("celery")), *container["command"][1:-1]]
        self.process = Process(
            "Flower",
            [*command, "--address=127.0.0.1", f"--port={self.port}"],
            log_path=directory / "flower.log",
            environment={"PATH": str(Path(sys.executable).parent), "HOME": "/nonexistent", **variables},
            directory=directory,
        )
        self.probe = f"http://127.0.0.1:{self.port}{container['livenessProbe']['httpGet']['path']}"

    def start(self) -> None:
        self.process.start(self._is_healthy)

    def _is_healthy(self) -> bool:
        try:
            return status_of(self.probe) == 200
        except OSError:
            return False

    def tasks(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(fetch(f"{self.url}/api/tasks", USER))
        return found


@pytest.fixture(scope="module")
def flower(
    environment: Mapping[str, str], worker: Worker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    del worker  # only that it is there
    flower = Service(environment, tmp_path_factory.mktemp("flower"))
    flower.start()
    yield flower
    flower.process.stop()


@pytest.fixture(scope="module")
def proxy(flower: Service) -> Iterator[str]:
    """A reverse proxy that has Flower at /flower/ and knows of nothing else. Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith("/flower/"):
                self.send_error(404)
                return
            connection = http.client.HTTPConnection("127.0.0.1", flower.port, timeout=20)
            connection.request("GET", self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            connection.close()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("page", ["", "tasks", "workers", "broker", "api/workers", "api/tasks", "api/task/info/x"])
def test_flower_asks_who_is_there(flower: Service, page: str) -> None:
    assert status_of(f"{flower.url}/{page}") == 401
    assert status_of(f"{flower.url}/{page}", "someone:else") == 401


def test_flowers_metrics_and_health_are_open(flower: Service) -> None:
    # So docs/operations.md says that a proxy should not show them.
    assert {status_of(f"{flower.url}/{page}") for page in ("metrics", "healthcheck")} == {200}


def test_each_link_of_a_page_works_through_the_proxy(proxy: str) -> None:
    page = fetch(f"{proxy}/flower/tasks", USER).decode()
    links = {link for link in re.findall(r'(?:href|src)="(/[^"#]*)"', page) if "favicon" not in link}
    assert len(links) > 5
    assert {link: status_of(proxy + link, USER) for link in links} == dict.fromkeys(links, 200)


@pytest.mark.parametrize("action", ["worker/shutdown/worker@local", "task/revoke/x", "task/async-apply/x"])
def test_who_looks_changes_nothing(flower: Service, action: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(f"{flower.url}/api/{action}", USER, "POST")
    assert refused.value.code == 403
    assert b"Read only mode is enabled" in refused.value.read()


def test_what_flower_has_seen_survives_its_restart(flower: Service, environment: Mapping[str, str]) -> None:
    url = environment["CODETETHER_HISTORY_BROKER_URL"]
    with Celery("client", broker=url, backend=url, set_as_current=False) as client:

        def is_seen() -> bool:
            client.send_task(LIST, queue="history.read").get(timeout=20)
            return any(task["state"] == "SUCCESS" for task in flower.tasks().values())

        wait_until(is_seen, timeout_seconds=30, what="Flower to see a task")
    before = flower.tasks()
    flower.process.stop()
    flower.start()
    assert before.items() <= flower.tasks().items()
