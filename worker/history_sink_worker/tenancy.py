"""Whose message it is: that of the queue that it was taken from. What the message says of itself does not count.

Only a worker that serves tenants has its app consume by these classes; see ADR 18.
"""

from collections.abc import Mapping
from typing import Any

from celery.app import amqp
from celery.app.task import Context
from kombu import Consumer as KombuConsumer

from history_sink.protocol.contract import QUEUE_OF_TASK
from history_sink.protocol.tenants import is_own_id, parse_queue, tenant_of

_PLAIN = frozenset(
    (
        *("lang", "task", "id", "shadow", "eta", "expires", "group_index", "retries", "timelimit", "root_id"),
        *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"),
    )
)
"""Headers of Celery's that lead nowhere. What else it would take from a message to its context may lead to others."""


class Consumer(KombuConsumer):
    """kombu's consumer. A message's route is the queue that it came from: on Redis its sender may write any other."""

    def _basic_consume(self, queue: Any, *args: Any, **options: Any) -> Any:
        source: Any = _Source(queue)
        return super()._basic_consume(source, *args, **options)


class _Source:
    """A queue, for whoever consumes from it."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def consume(self, tag: str, callback: Any, **options: Any) -> Any:
        def receive(message: Any) -> Any:
            said = message.delivery_info
            route = {"exchange": "", "routing_key": self._queue.name}
            message.delivery_info = {**said, **route} if isinstance(said, dict) else route
            return callback(message)

        return self._queue.consume(tag, receive, **options)


class Queues(amqp.Queues):
    """Celery's queues. ``-Q history.read`` means that queue of each tenant."""

    def select(self, include: Any) -> None:
        super().select(self._expand(include))

    def deselect(self, exclude: Any) -> None:
        super().deselect(self._expand(exclude))

    def _expand(self, names: Any) -> list[str]:
        wanted = [names] if isinstance(names, str) else list(names or ())
        return [each for name in wanted for each in self._each(name)]

    def _each(self, name: str) -> list[str]:
        return [queue for queue in self if parse_queue(queue)[0] == name] or [name]


class AMQP(amqp.AMQP):
    """Celery's, with these two."""

    Consumer = Consumer
    queues_cls = Queues


def find_trespass(message: Any) -> str | None:
    """Why a message that was decoded may not be given to Celery in a worker that serves tenants; None if it may.

    Celery lets a message have the worker send tasks, with the worker's rights, and look up others' results. A tenant's
    may ask for one of our tasks, under an id that is its own, and for nothing else.
    """
    tenant = tenant_of(message.delivery_info.get("routing_key", ""))
    if tenant is None:
        return "it came from no tenant's queue"
    headers, payload = message.headers, message.payload
    if not isinstance(payload, (list, tuple)):
        return "a tenant's message has its task and id in its headers (Celery's protocol 2)"
    if not is_own_id(headers["id"], tenant):
        return f'the id of a task of this tenant begins with "{tenant}."'
    if headers["task"] not in QUEUE_OF_TASK:
        return "a tenant may ask for this archive's tasks alone"
    leads = [*_find_leads(headers), *(name for name, value in (payload[2] or {}).items() if value)]
    return f"a tenant's task leads to no other: {sorted(map(str, leads))[0][:40]}" if leads else None


def _find_leads(headers: Mapping[Any, Any]) -> list[Any]:
    return [name for name, value in headers.items() if value and name not in _PLAIN and hasattr(Context, str(name))]
