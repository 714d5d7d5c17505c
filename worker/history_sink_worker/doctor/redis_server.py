"""Asks a Redis what it is and how it is set, changing nothing."""

import re
import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, ResponseError

from history_sink.protocol.broker_urls import for_redis_py
from history_sink.protocol.contract import UPLOAD_QUEUE
from history_sink.protocol.tenants import parse_queue
from history_sink_worker.belonging import open_redis
from history_sink_worker.doctor.facts import RedisFacts
from history_sink_worker.redis_transport.servers import UnsupportedBrokerError, check_server
from history_sink_worker.telemetry.backlog import look_at_redis

_NOTHING = "#!lua flags=no-writes\nreturn 1"
_SETTINGS = ("maxmemory-policy", "appendonly", "appendfsync", "maxmemory", "proto-max-bulk-len")


def ask_redis(url: str, uses: frozenset[str], queues: Sequence[str]) -> RedisFacts:
    """Whatever can be found out. Never raises, and quotes no password. `queues`: all there are."""
    url = for_redis_py(url)
    parts = urlsplit(url)
    address = parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    try:
        with open_redis(url) as client:
            client.ping()
            return _ask(client, url, uses, address, queues)
    except (RedisError, OSError, ValueError, TypeError) as error:  # a URL that redis-py cannot use
        reason = (
            type(error).__name__
            if isinstance(error, (ValueError, TypeError))
            else f"{type(error).__name__}: {error}"[:200]
        )
        return RedisFacts(uses, address, error=reason)


def _ask(client: Any, url: str, uses: frozenset[str], address: str, queues: Sequence[str]) -> RedisFacts:
    hello = _say_hello(client)
    info: dict[str, Any] = _try(client.info) or {}
    is_broker = "broker" in uses
    found = _try(lambda: look_at_redis(client, "", sorted(queues))) if is_broker else ({}, 0)
    skew_seconds, is_open = _try(lambda: _measure_skew(client)), _is_open(url)
    asked = {
        "its role and memory (INFO)": info or None,
        "its clock (TIME)": skew_seconds,
        "what waits in the queues (EVAL)": found,
        "whether it lets in anybody without a password": is_open,
    }
    return RedisFacts(
        uses,
        address,
        version=f"{hello.get(b'server', b'').decode()} {hello.get(b'version', b'').decode()}",
        refusal=_find_refusal(hello),
        settings=_read_settings(client, info),
        role=info.get("role"),
        used_bytes=info.get("used_memory"),
        aof_is_written=None if "aof_last_write_status" not in info else info["aof_last_write_status"] == "ok",
        clock_skew_seconds=skew_seconds,
        is_open_to_anybody=is_open,
        missing_rights=tuple(_missing_rights(client, uses, queues)),
        reaches_any_key=_try(lambda: client.exists(f"doctor-{secrets.token_hex(8)}")) is not None,
        backlogs=found[0] if found else {},
        unclear=tuple(what for what, answer in asked.items() if answer is None),
    )


def _try(ask: Any) -> Any:
    """None where this user may not ask."""
    try:
        return ask()
    except ResponseError:  # no permission, or a command that a provider has taken away
        return None


def _say_hello(client: Any) -> dict[bytes, Any]:
    answer = client.execute_command("HELLO")
    if isinstance(answer, dict):
        return {_bytes(name): _bytes(value) for name, value in answer.items()}
    return dict(zip(map(_bytes, answer[::2]), map(_bytes, answer[1::2]), strict=True))


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _find_refusal(hello: dict[bytes, Any]) -> str | None:
    try:
        check_server(hello)
    except UnsupportedBrokerError as error:
        return str(error)
    return None


def _read_settings(client: Any, info: dict[str, Any]) -> dict[str, str]:
    found = {}
    for name in _SETTINGS:
        answer = _try(partial(client.config_get, name))
        if answer:
            found[name] = str(answer[name])
    if not found and info:  # of those INFO tells all but one
        found = {"maxmemory-policy": str(info.get("maxmemory_policy")), "maxmemory": str(info.get("maxmemory", -1))}
        found["appendonly"] = "yes" if info.get("aof_enabled") else "no"
    return found


def _measure_skew(client: Any) -> float:
    """How far its clock is ahead of ours, in seconds."""
    began_at = time.time()
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6 - (began_at + time.time()) / 2)


def _is_open(url: str) -> bool | None:
    """None where it gave no answer: that it is slow does not make it closed."""
    bare = re.sub(r"//[^/?#]*@", "//", url, count=1)
    try:
        with open_redis(bare, username=None, password=None) as client:
            return bool(client.ping())
    except (AuthenticationError, AuthorizationError, ResponseError):  # it wants a password, or this user may nothing
        return False
    except (RedisError, OSError):
        return None


def _missing_rights(client: Any, uses: frozenset[str], queues: Sequence[str]) -> list[str]:
    """Tried with commands that change nothing: no entry has this name, and LMPOP refuses to take none."""
    token = f"history-sink-doctor-{secrets.token_hex(8)}"
    uploads = [queue for queue in queues if parse_queue(queue)[0] == UPLOAD_QUEUE]
    tries: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
        "broker": [
            ("take messages from the queues (LMPOP)", ("LMPOP", 1, uploads[0], "RIGHT", "COUNT", 0)),
            ("run the scripts that take messages (EVAL)", ("EVAL", _NOTHING, len(uploads), *uploads)),
            ("record what is in hand (HSET, HDEL on unacked)", ("HDEL", "unacked", token)),
            ("record what is in hand (ZADD on unacked_index)", ("ZADD", "unacked_index", "XX", 0, token)),
            ("note which store is its (SET history-sink:*)", ("SET", f"history-sink:{token}", "", "PX", 1)),
        ],
        "results": [("keep results (SET celery-task-meta-*)", ("SET", f"celery-task-meta-{token}", "", "PX", 1))],
        "hints": [("keep hints (SET history-sink:*)", ("SET", f"history-sink:{token}", "", "PX", 1))],
    }
    missing = []
    for words, command in (each for use in sorted(uses) for each in tries[use]):
        try:
            client.execute_command(*command)
        except NoPermissionError:
            missing.append(words)
        except ResponseError:  # full, say: not a question of rights
            continue
    return missing
