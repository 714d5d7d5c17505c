"""One Redis of what may be lost: hints, notices, the due list. It may be away, which costs no save."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from history_sink_worker import log

TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 5.0
"""After a failure Redis is left alone for so long: a save must not wait for it each time."""

_log = log.get("history_sink_worker")
_T = TypeVar("_T")


class RedisShelf:
    """One Redis, asked briefly and given up on easily. Its keys are those of one bucket of one store."""

    def __init__(self, url: str, endpoint: str, bucket: str) -> None:
        # Two deployments may share a Redis. A hint from another bucket would call stored what is not.
        store = hashlib.sha256(f"{endpoint} {bucket}".encode()).hexdigest()[:12]
        self.name = f"history-sink:{store}"
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # Once more, for a pooled connection that a restart of Redis has closed.
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        )
        asked = self._client.connection_pool.connection_kwargs  # in which the URL's options have won over ours
        asked |= {"decode_responses": False, "socket_timeout": TIMEOUT_SECONDS}
        if "socket_connect_timeout" in asked:
            asked["socket_connect_timeout"] = TIMEOUT_SECONDS
        self._paused_until = 0.0
        self._here = threading.local()

    def ask(self, command: Callable[["redis.Redis"], Any], default: _T) -> _T:
        """What `command` answers; `default` where Redis does not, which is logged at most once a pause."""
        if time.monotonic() < self._paused_until:
            return default
        try:
            return cast(_T, command(self._client))
        except Exception as error:  # noqa: BLE001  # whatever its URL or its answer makes redis-py raise costs no save
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            _log.warning("redis away", consequence="saves cost a LIST each", error=type(error).__name__)
            return default

    def get(self, key: str) -> bytes | None:
        """What Redis has at `key`; None where it has nothing, or does not answer.

        By a connection of this thread's own: redis-py's way to one of a pool takes three times the processor time.
        """
        return self.ask(lambda client: self._get(client, key), None)

    def _get(self, client: "redis.Redis", key: str) -> Any:
        connection = getattr(self._here, "connection", None)
        if connection is None or connection.pid != os.getpid():
            pool: Any = client.connection_pool
            connection = self._here.connection = pool.connection_class(**pool.connection_kwargs)
        try:
            connection.send_command("GET", key)
            return connection.read_response()
        except BaseException as error:
            connection.disconnect()  # an answer may be on its way, which is none to the next question
            if isinstance(error, redis.ConnectionError):  # a restart of Redis has closed it
                return client.get(key)
            raise
