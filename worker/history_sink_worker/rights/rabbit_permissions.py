"""RabbitMQ's permissions of tenants' producers, of workers and of Flower, as commands for `rabbitmqctl`. Pure.

Three patterns a user: what it may configure, write to and read from (https://www.rabbitmq.com/docs/access-control).
"""

import re
import shlex
from collections.abc import Iterator, Sequence

from history_sink.protocol.contract import READ_QUEUE, SEARCH_QUEUE, UPLOAD_QUEUE
from history_sink.protocol.tenants import queue_for
from history_sink_worker.rights.redis_acl import FLOWER, PRODUCER, WORKER, name_tenant

_NOTHING = "^$"
_CELERYS = r"celeryev.*|.*celery\.pidbox"
_WORKERS = rf"^(history\..*|{_CELERYS}|amq\.default)$"
_FLOWERS = rf"^({_CELERYS}|amq\.default)$"


def lines(vhost: str, users: Sequence[str], tenants: Sequence[str]) -> Iterator[str]:
    """For each user two commands: one that makes it, and asks for its password; and one that says what it may do."""
    for user, rights in _find_rights(users, tenants):
        yield shlex.join(["rabbitmqctl", "add_user", user])
        yield shlex.join(["rabbitmqctl", "set_permissions", "-p", vhost, user, *rights])


def _find_rights(users: Sequence[str], tenants: Sequence[str]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    if PRODUCER in users:
        for tenant in tenants:
            yield name_tenant(tenant), (_NOTHING, _allow_sending(tenant), _NOTHING)
    if WORKER in users:
        yield WORKER, (_WORKERS, _WORKERS, _WORKERS)
    if FLOWER in users:
        yield FLOWER, (_FLOWERS, _FLOWERS, _FLOWERS)


def _allow_sending(tenant: str) -> str:
    """To the exchanges that lead to the tenant's queues. Not to ``amq.default``: that leads to every queue there is."""
    names = [re.escape(queue_for(queue, tenant)) for queue in (UPLOAD_QUEUE, READ_QUEUE, SEARCH_QUEUE)]
    return f"^({'|'.join(names)})$"
