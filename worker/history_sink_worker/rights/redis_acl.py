"""Redis's ACL users for producers, workers and Flower: what each of them was seen to need (MONITOR), and no more. Pure.

A selector, in parentheses, ties commands to keys: a producer's LPUSH is for queues alone, its GETDEL for results alone.
Syntax: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/ (Redis 7.0 or newer, Valkey).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from history_sink.protocol.contract import MAINTENANCE_QUEUE, READ_QUEUE, SEARCH_QUEUE, UPLOAD_QUEUE
from history_sink.protocol.tenants import queue_for

PRODUCER, WORKER, FLOWER = USERS = ("history-producer", "history-worker", "history-flower")

_PRIORITY = "??[369]"  # kombu's list of a priority: two control characters and the step behind the queue's name
_RESULTS = "celery-task-meta-*"
_TENANTS = ("history.*",)
"""The queues of all tenants in one pattern: a worker's claim names 1,200 lists of 100 tenants, each to be looked up."""
_CLAIMS = ("unacked", "unacked_index", "unacked_swept")
_BINDINGS = "_kombu.binding*"
_REPLIES = "*.reply.celery.pidbox*"
_CONNECT = "ping select multi exec discard"


@dataclass(frozen=True, slots=True)
class _Selector:
    """Some commands on some keys and channels. PSUBSCRIBE is allowed to patterns that are named here as they are."""

    commands: str
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def __str__(self) -> str:
        commands = [f"+{name}" for name in self.commands.split()]
        keys = [key if key.startswith("%") else f"~{key}" for key in self.keys]
        return " ".join([*commands, *keys, *(f"&{channel}" for channel in self.channels)])


def user_line(user: str, password: str, database: int = 0, has_tenants: bool = False) -> str:
    """The ``user …`` line of one of `USERS`, for redis.conf. It holds the password's SHA-256 only.

    `database` is the one in the URLs: the names of kombu's channels begin with its number. To keys it makes no
    difference: keep nothing else in this Redis. `has_tenants`: for the workers and the Flower of tenants.
    """
    return _line(user, password, *_RULES[user](database, has_tenants))


def tenant_line(tenant: str, password: str) -> str:
    """The same of a tenant's producers. Its user is `name_tenant`."""
    return _line(name_tenant(tenant), password, *_allow_producer(0, tenant=tenant))


def name_tenant(tenant: str) -> str:
    """What the user of a tenant's producers is called, at Redis and at RabbitMQ."""
    return f"{PRODUCER}-{tenant}"


def _line(user: str, password: str, root: "_Selector", selectors: "list[_Selector]") -> str:
    digest = hashlib.sha256(password.encode()).hexdigest()
    more = "".join(f" ({selector})" for selector in selectors)
    return f"user {user} reset on #{digest} {root}{more}"


def _allow_producer(_: int, __: bool = False, tenant: str | None = None) -> tuple[_Selector, list[_Selector]]:
    queues = [queue_for(queue, tenant) for queue in (UPLOAD_QUEUE, READ_QUEUE, SEARCH_QUEUE)]
    results = _RESULTS if tenant is None else f"celery-task-meta-{tenant}.*"
    tables = [f"_kombu.{table}.{queue}" for table in ("binding", "binding_permanent") for queue in queues]
    return _Selector(f"{_CONNECT} time"), [
        _Selector("lpush llen", _lists(*queues)),
        _Selector("sadd", tuple(tables)),  # kombu declares the queue; what is sent goes by its name alone
        _Selector("get mget getdel del", (results,)),
        # A stock client waits so. No PSUBSCRIBE: that would show everybody's answers.
        _Selector("subscribe unsubscribe", (), (results,)),
    ]


def _allow_worker(database: int, has_tenants: bool) -> tuple[_Selector, list[_Selector]]:
    queues = (UPLOAD_QUEUE, READ_QUEUE, MAINTENANCE_QUEUE, SEARCH_QUEUE)
    lists = _TENANTS if has_tenants else _lists(*queues)
    parked = (*(f"{name}.dead" for name in (*(() if has_tenants else queues), "unacked")), "unacked.dead_lock")
    kombus = (*_CLAIMS, _BINDINGS, "*.celery.pidbox*", "celeryev.*", _RESULTS)
    channels = (_control(database), *_events(database), _RESULTS)
    commands = (  # rpop: workers of the version before take messages so, beside new ones
        f"{_CONNECT} client|tracking time info eval evalsha script|exists script|load"
        " exists del expire llen lindex lpush rpush lmpop rpop lrem hget hset hdel hexists hlen hmget"
        " zadd zrem zrange zrangebyscore sadd srem smembers get mget set setex getdel xadd xread xrange"
        " publish subscribe unsubscribe psubscribe punsubscribe"
    )
    return _Selector(commands, (*lists, *parked, *kombus, "history-sink:*"), channels), []


def _allow_flower(database: int, has_tenants: bool) -> tuple[_Selector, list[_Selector]]:
    lists = _TENANTS if has_tenants else _lists(UPLOAD_QUEUE, READ_QUEUE, MAINTENANCE_QUEUE, SEARCH_QUEUE)
    queues = tuple(f"%R~{name}" for name in lists)
    channels = (_control(database), *_events(database))
    root = f"{_CONNECT} client|tracking time script|exists script|load publish subscribe unsubscribe psubscribe"
    # Not HGET on `unacked`, nor GET on results, nor LINDEX: there lies what Flower must not show.
    return _Selector(f"{root} punsubscribe", (), channels), [
        _Selector("llen", queues),
        # Its own answers come by the worker's transport, whose scripts name these keys. What a script then does with
        # them must be allowed as well.
        _Selector("eval", (*_CLAIMS, _REPLIES)),
        _Selector("zrangebyscore", ("%R~unacked_index",)),
        _Selector("hset hmget", ("unacked_swept",)),
        _Selector("llen lmpop rpush exists del", (_REPLIES, "celeryev.*")),
        _Selector("evalsha sadd srem smembers zadd zrem zrangebyscore exists del", (_BINDINGS,)),
    ]


_Rule = Callable[[int, bool], tuple[_Selector, list[_Selector]]]
_RULES: dict[str, _Rule] = {PRODUCER: _allow_producer, WORKER: _allow_worker, FLOWER: _allow_flower}


def _lists(*queues: str) -> tuple[str, ...]:
    return tuple(queue + ending for queue in queues for ending in ("", _PRIORITY))


def _control(database: int) -> str:
    return f"/{database}.celery.pidbox"


def _events(database: int) -> tuple[str, str]:
    return f"/{database}.celeryev/*", f"/{database}.celeryev/worker.*"
