"""Appends of several clients to one session, by two real workers on real servers, on each kind of store."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from subprocess import PIPE
from typing import Any

import pytest
from celery import Celery

from bench.outcomes import wait_for_results
from bench.scene import Place, Scene
from history_sink import HistorySink
from history_sink.protocol.batch import Batch
from history_sink.protocol.contract import UPLOAD
from stack.processes import wait_until
from stack.stack import producer_environment
from stack.worker import Worker

pytestmark = pytest.mark.servers  # the scene starts them

WRITERS, LINES = 8, int(os.environ.get("APPENDED_LINES", "50"))
"""Each writer appends so many. APPENDED_LINES=200 takes a minute or two."""


class Client:
    """A program that knows the wire."""

    def __init__(self, place: Place) -> None:
        self.app = Celery("client", broker=place.broker_url, backend=place.broker_url, set_as_current=False)

    def send(self, session: str, messages: object, **payload: Any) -> Any:
        return self.app.send_task(UPLOAD, (session, messages), payload, queue="history.upload", serializer="msgpack")

    def append(self, session: str, batch: Batch) -> str:
        return str(self.send(session, None, **batch.encode()).id)


def line(writer: str, number: int) -> bytes:
    return f'{{"writer":"{writer}","n":{number},"text":"{"x" * 300}"}}\n'.encode()


def append_each(place: Place, session: str, writer: str, count: int) -> list[str]:
    client, position, sent = Client(place), 0, []
    for number in range(count):
        body = line(writer, number)
        sent.append(client.append(session, Batch(None, writer, position, (body,))))
        position += len(body)
    return sent


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def told_outcomes(scene: Scene, place: Place, sent: Sequence[str]) -> "Counter[str]":
    wait_for_results(scene.client(place), sent, 60 + len(sent) / 8)
    client = Client(place)
    return Counter(client.app.AsyncResult(each).get(timeout=30)["outcome"] for each in sent)


def test_eight_writers_and_two_workers_of_which_one_is_killed_twice(scene: Scene) -> None:
    place = scene.place().changed(visibility_timeout_seconds="3")
    with scene.relay(scene.minio.port) as relay, ThreadPoolExecutor(WRITERS) as writers:
        near = place.through(store_port=relay.port)
        with scene.workers(near, 2) as workers:
            before = relay.counts()
            writing = [writers.submit(append_each, place, "s", f"w{n}", LINES) for n in range(WRITERS)]
            for _ in range(2):
                time.sleep(1)
                kill_and_start(workers[0])
            sent = [task_id for each in writing for task_id in each.result()]
            told = told_outcomes(scene, place, sent)
            counts = relay.counts() - before
            # By these workers: what is due of a log is noted for its store's address, and that is the relay's.
            with HistorySink(broker_url=place.broker_url) as sink:
                wait_until(lambda: sink.status("s").pending == 0, timeout_seconds=90, what="all that has waited")
                found = b"".join(sink.read("s")).splitlines(keepends=True)
                status = sink.status("s")
    assert len(found) == WRITERS * LINES
    for n in range(WRITERS):
        mine = [each for each in found if each.startswith(f'{{"writer":"w{n}",'.encode())]
        assert mine == [line(f"w{n}", number) for number in range(LINES)]
    assert told.keys() <= {"stored", "duplicate", "pending"}
    assert (len(status.logs), status.strays, status.pending) == (1, (), 0)
    asked, put = tell_cost(counts, len(b"".join(found)), len(sent))
    assert asked <= 6
    assert put <= 4  # each is sent as soon as the broker takes it: two workers are always at the log's end


def tell_cost(counts: "Counter[str]", size_bytes: int, appends: int) -> tuple[float, float]:
    """Requests an append, and bytes put for each byte."""
    asked = sum(number for name, number in counts.items() if name.startswith("requests ")) / appends
    # Without the 5 MiB that each start check puts. All lines together are far less.
    put = (counts["bytes put"] + counts["bytes part"]) % (5 * 1024 * 1024) / size_bytes
    print(f"{asked:.2f} requests an append, {put:.2f} bytes put for each byte")
    return asked, put


APPENDER = """
import sys
from history_sink import HistorySink
name, count = sys.argv[1], int(sys.argv[2])
with HistorySink.from_env() as sink:
    sys.stdin.readline()
    for number in range(count):
        assert sink.append("sinks", {"writer": name, "n": number, "text": "x" * 300}).state == "enqueued"
    print(sink.flush("sinks", timeout_seconds=240).state)
"""


def test_eight_processes_with_sinks_come_together_while_a_worker_is_killed_twice(scene: Scene) -> None:
    place = scene.place().changed(visibility_timeout_seconds="3")
    environment = {**os.environ, **producer_environment(place.environment)}
    with (
        scene.relay(scene.minio.port) as relay,
        scene.workers(place.through(store_port=relay.port), 2) as workers,
        ExitStack() as running,
    ):
        before, appenders = relay.counts(), []
        for n in range(WRITERS):
            command = [sys.executable, "-c", APPENDER, f"w{n}", str(LINES)]
            appender = subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, text=True)
            appenders.append(running.enter_context(appender))
            running.callback(appender.kill)
        for appender in appenders:
            assert appender.stdin is not None
            appender.stdin.write("\n")
            appender.stdin.flush()
        for _ in range(2):
            time.sleep(1)
            kill_and_start(workers[0])
        assert [appender.communicate(timeout=250)[0] for appender in appenders] == ["stored\n"] * WRITERS
        counts = relay.counts() - before
        with HistorySink(broker_url=place.broker_url) as sink:
            # What a killed worker had put to wait, and another has placed since, is there until the next look.
            wait_until(lambda: sink.status("sinks").pending == 0, timeout_seconds=60, what="nothing that waits")
            status, body = sink.status("sinks"), b"".join(sink.read("sinks"))
    asked, put = tell_cost(counts, len(body), WRITERS * LINES)
    assert asked <= 6
    assert put <= (3 if LINES >= 200 else 4)  # of few lines, a fold just before the end weighs more
    assert (len(status.logs), status.strays, status.pending) == (1, (), 0)
    found = [(each["writer"], each["n"]) for each in map(json.loads, body.splitlines())]
    for n in range(WRITERS):
        assert [number for name, number in found if name == f"w{n}"] == [*range(LINES)]
    assert len(found) == WRITERS * LINES


def kill_and_start(worker: Worker) -> None:
    worker.process.kill()
    worker.process.launch()


def test_alone_an_append_is_one_request(scene: Scene) -> None:
    place = scene.place()
    with scene.relay(scene.minio.port) as relay, scene.workers(place.through(store_port=relay.port)):
        before = relay.counts()
        sent = append_each(place, "alone", "w", 60)
        assert told_outcomes(scene, place, sent) == {"stored": 60}
        counts = relay.counts() - before
    asked = sum(number for name, number in counts.items() if name.startswith("requests "))
    assert asked <= 60 + 4, counts  # the first one looks; those that wait together go together


def test_of_sixteen_that_append_after_one_end_one_is_stored(scene: Scene) -> None:
    place = scene.place()
    with scene.workers(place, 2), HistorySink(broker_url=place.broker_url) as sink:
        sink.append("race", {"n": 0})
        assert sink.flush("race")
        end = sink.resume("race")
        client, began = Client(place), time.monotonic()
        after = [end.messages, end.bytes, end.chain]
        racers = [client.send("race", [{"racer": n}], append=True, writer=f"racer{n}", after=after) for n in range(16)]
        told = [each.get(timeout=30) for each in racers]
        seconds = time.monotonic() - began
        there = sink.resume("race")
    assert Counter(each["outcome"] for each in told) == {"stored": 1, "conflict": 15}
    assert {(each["end"]["bytes"], each["end"]["chain"]) for each in told} == {(there.bytes, there.chain)}
    assert seconds < 10  # a second, where nothing else is done


def test_a_plain_client_appends_whoever_wrote_before(scene: Scene) -> None:
    place = scene.place()
    with scene.workers(place), HistorySink(broker_url=place.broker_url) as sink:
        client = Client(place)
        first = client.send("plain", [{"n": 0}], append=True)
        assert first.get(timeout=30)["outcome"] == "stored"
        ends = [client.send("plain", [{"n": n}], append=True).get(timeout=30)["end"]["messages"] for n in (1, 2)]
        assert ends == [2, 3]
        for wrong in ({"append": 1}, {"append": True, "place": 3}, {"append": True, "writer": "no writer"}):
            with pytest.raises(Exception, match=r"append is true|what may come with it|a writer is"):
                client.send("plain", [{"n": 9}], **wrong).get(timeout=30)
        assert b"".join(sink.read("plain")) == b'{"n":0}\n{"n":1}\n{"n":2}\n'
