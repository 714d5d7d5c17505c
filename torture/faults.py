"""What can be done to the parts: each fault acts on the scene, and returns what ends it.

`Missed` says that there was nothing to do it to. Redis's errors pass: it may be tried again.
"""

import time
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

from history_sink.protocol.contract import COMPACT, MAINTENANCE_QUEUE
from stack.proxy import Proxy
from torture.member import Member
from torture.poison import plant, publish
from torture.scene import Scene, Server
from torture.schedule import Event

Undo = Callable[[], object] | None
Fault = Callable[[Scene, Event], Undo]

FULL_STORE = (
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: 120\r\n\r\n"
) + b"<Error><Code>XMinioStorageFull</Code><Message>The drive is full.</Message></Error>".ljust(120)
BASIC_ACK = b"\x00\x3c\x00\x50"
"""AMQP 0-9-1: class 60, method 80; here the confirmation of a publish."""

_WAIT_FOR_CLAIM_SECONDS = 1.5


class Missed(Exception):
    """There is nothing to do it to."""


def kill_worker(scene: Scene, event: Event) -> Undo:
    """With unacknowledged messages, if it has any soon. One that is at work, so that not all die in their cradle."""
    worker = _ready_worker(scene, event)
    deadline = time.monotonic() + (0 if scene.rabbit else _WAIT_FOR_CLAIM_SECONDS)  # which does not say quickly
    while time.monotonic() < deadline:
        # Stopped while it is looked at: between the look and the kill it might acknowledge.
        worker.pause()
        if scene.count_claims(worker.pid) > 0:
            scene.hit_claims += 1
            break
        worker.resume()
        time.sleep(0.005)
    worker.kill(event.seconds)
    return None


def kill_searcher(scene: Scene, event: Event) -> Undo:
    """While its index is written, whatever it is at."""
    searcher = scene.searchers[0]
    if not searcher.process.is_running:
        raise Missed
    searcher.kill(event.seconds)
    return None


def kill_child(scene: Scene, event: Event) -> Undo:
    """As the kernel does when memory is short."""
    for number in range(len(scene.victims)):  # not every one has children
        worker = scene.victims[(_number(event) + number) % len(scene.victims)]
        # A worker that starts without all of its children ends by itself: that is Celery's, once, at its start.
        if worker.is_ready and worker.kill_child():
            return None
    raise Missed


def kill_producer(scene: Scene, event: Event) -> Undo:
    _member(scene.producers, event).kill(event.seconds)
    return None


def stop_worker(scene: Scene, event: Event) -> Undo:
    worker = _member(scene.workers, event)
    worker.pause()
    return worker.resume


def stop_producer(scene: Scene, event: Event) -> Undo:
    producer = _member(scene.producers, event)
    producer.pause()
    return producer.resume


def _ready_worker(scene: Scene, event: Event) -> Member:
    """The event's, or the next."""
    for number in range(len(scene.victims)):
        worker = scene.victims[(_number(event) + number) % len(scene.victims)]
        if worker.is_ready:
            return worker
    raise Missed


def _number(event: Event) -> int:
    assert isinstance(event.target, int)
    return event.target


def _member(members: list[Member], event: Event) -> Member:
    member = members[_number(event)]
    if member.pid is None:
        raise Missed
    return member


def _kill_server(server: Callable[[Scene], Server]) -> Fault:
    def fault(scene: Scene, event: Event) -> Undo:
        if not server(scene).process.is_running:
            raise Missed
        server(scene).process.kill()
        return lambda: scene.restart(server(scene))

    return fault


def _stop_server(server: Callable[[Scene], Server]) -> Fault:
    def fault(scene: Scene, event: Event) -> Undo:
        process = server(scene).process
        if not process.is_running:
            raise Missed
        process.pause()

        def resume() -> None:
            if process.is_running:
                process.resume()

        return resume

    return fault


def fill_redis(scene: Scene, event: Event) -> Undo:
    """It refuses whatever needs memory."""

    def empty() -> None:
        with scene.client() as client:
            client.config_set("maxmemory", 0)

    with scene.client() as client:
        client.config_set("maxmemory", 1)
    return empty


def _switch(proxy: Callable[[Scene], Proxy], name: str, on: Any, off: Any = None) -> Fault:
    """Set the proxy's attribute; without `off`, it puts itself back."""

    def fault(scene: Scene, event: Event) -> Undo:
        setattr(proxy(scene), name, on)
        return None if off is None else lambda: setattr(proxy(scene), name, off)

    return fault


def _drop(proxy: Callable[[Scene], Proxy]) -> Fault:
    def fault(scene: Scene, event: Event) -> Undo:
        proxy(scene).drop()
        return None

    return fault


def forget_hints(scene: Scene, event: Event) -> Undo:
    """Half of what the workers remember in Redis; at times the due list, too."""
    draw = Random(event.at_seconds)
    with scene.client() as client:
        keys = [key for key in client.scan_iter("history-sink:*:hint:*", count=1000) if draw.random() < 0.5]
        keys += [*client.scan_iter("history-sink:*:due:*", count=1000)] if draw.random() < 0.3 else []
        if keys:
            client.delete(*keys)
    return None


def compact(scene: Scene, event: Event) -> Undo:
    """One of the logs that are written to, now, idle or not."""
    draw = Random(event.at_seconds)
    with scene.client() as client:
        roots = sorted(key.decode().partition(":hint:")[2] for key in client.scan_iter("*:hint:*", count=1000))
    if not roots:
        raise Missed
    _, session, *rest = draw.choice(roots).strip("/").split("/")
    options = {"idle": draw.random() < 0.5, "everything": draw.random() < 0.5}
    arguments = (session, rest[1] if rest else None)
    publish(scene.broker.url(), MAINTENANCE_QUEUE, COMPACT, str(uuid.uuid4()), (arguments, options))
    return None


def poison(scene: Scene, event: Event) -> Undo:
    """The message is on the queue when this returns; if it raises, perhaps too."""
    task_id = str(event.target)
    scene.tried.add(task_id)
    plant(scene.broker.url(), task_id, only_children=scene.is_short)
    scene.planted.add(task_id)
    return None


def _store(scene: Scene) -> Server:
    return scene.minio


def _redis(scene: Scene) -> Server:
    return scene.redis


def _broker(scene: Scene) -> Server:
    return scene.broker


FAULTS: dict[str, Fault] = {
    "kill worker": kill_worker,
    "kill child": kill_child,
    "kill search worker": kill_searcher,
    "stop worker": stop_worker,
    "kill producer": kill_producer,
    "stop producer": stop_producer,
    "kill Redis": _kill_server(_redis),
    "stop Redis": _stop_server(_redis),
    "fill Redis": fill_redis,
    "kill store": _kill_server(_store),
    "stop store": _stop_server(_store),
    "fill store": _switch(lambda scene: scene.to_store, "write_answer", FULL_STORE, off=b""),
    "hold store": _switch(lambda scene: scene.to_store, "is_holding", True, off=False),
    "slow store": _switch(lambda scene: scene.to_store, "delay_seconds", 0.04, off=0.0),
    "lose a store's answer": _switch(lambda scene: scene.to_store, "cut_at", b"HTTP/1.1 200"),
    "drop the store's connections": _drop(lambda scene: scene.to_store),
    "lose Redis's answer to a worker": _switch(lambda scene: scene.to_redis, "cut_at", b"delivery_tag"),
    "drop the workers' connections to Redis": _drop(lambda scene: scene.to_redis),
    "slow Redis": _switch(lambda scene: scene.to_redis, "delay_seconds", 0.01, off=0.0),
    "kill RabbitMQ": _kill_server(_broker),
    "stop RabbitMQ": _stop_server(_broker),
    "lose RabbitMQ's answer to a worker": _switch(lambda scene: scene.to_broker, "cut_at", b"history.upload"),
    "drop the workers' connections to RabbitMQ": _drop(lambda scene: scene.to_broker),
    "lose RabbitMQ's answer to a producer": _switch(lambda scene: scene.producers_to_broker, "cut_at", BASIC_ACK),
    "drop the producers' connections to RabbitMQ": _drop(lambda scene: scene.producers_to_broker),
    "lose Redis's answer to a producer": _switch(lambda scene: scene.producers_to_redis, "cut_at", b":"),
    "drop the producers' connections to Redis": _drop(lambda scene: scene.producers_to_redis),
    "forget hints": forget_hints,
    "compact": compact,
    "poison": poison,
}
