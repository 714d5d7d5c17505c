"""Where workers leave their answers, a Redis: looked at, never subscribed to.

Celery's own `get` keeps a subscription per call; a look at a key needs no state that could be lost or shared
over a fork, and one request looks at many.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from history_sink.errors import NoAnswer
from history_sink.protocol.broker_urls import for_backend

if TYPE_CHECKING:
    from celery import Celery

_FIRST_PAUSE_SECONDS = 0.001
_LAST_PAUSE_SECONDS = 0.05
_PAUSE_SHARE = 0.125  # of the time waited so far: a late look costs at most that much more


@dataclass(frozen=True, slots=True)
class Answer:
    """How a task ended: its result, or the name of what it failed with. `is_expired`: its time was over."""

    value: Any = None
    failure: str | None = None
    is_expired: bool = False

    @property
    def complaint(self) -> str | None:
        """What a user is told of the failure."""
        if self.failure is None:
            return None
        meaning = _MEANINGS.get(self.failure)
        return f"the worker failed with {self.failure}" + (f": {meaning}" if meaning else "")


_MEANINGS = {
    "Away": "its store is down, full, or does not answer it",
    "Denied": "its store does not let it in",
    "NoBucket": "its store has no such bucket",
    "Unfit": "its store lacks what is asked of it",
}
"""Of the errors of a worker that an operator can mend; their texts would name keys, and stay in its log."""


class Answers:
    """The answers in one result store. Raises what redis-py raises; the broker translates."""

    def __init__(self, app: "Celery", url: str) -> None:
        from celery.backends.redis import RedisBackend
        from kombu.serialization import loads

        # The backend reads the URL as workers read it; of its own requests none is used.
        self._backend = RedisBackend(app=app, url=for_backend(url))
        self._client = self._backend.client
        self._loads = loads

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        """The answers that are there, by task id."""
        found = self._client.mget([self._key(task_id) for task_id in task_ids])
        answers = zip(task_ids, map(self._decode, found), strict=True)
        return {task_id: answer for task_id, answer in answers if answer is not None}

    def take(self, task_id: str, timeout_seconds: float) -> Answer:
        """Wait for an answer, and leave none behind. Raises `NoAnswer` when the time is up."""
        start = time.monotonic()
        while True:
            answer = self._decode(self._client.getdel(self._key(task_id)))
            if answer is not None:
                return answer
            waited = time.monotonic() - start
            if waited >= timeout_seconds:
                raise NoAnswer(f"no worker answered within {round(timeout_seconds, 2):g} s")
            time.sleep(min(pause_seconds(waited), timeout_seconds - waited))

    def read_time(self) -> float | None:
        """The server's clock, in Unix seconds; None where this user may not ask."""
        from redis.exceptions import ResponseError

        try:
            seconds, microseconds = self._client.time()
        except ResponseError:  # no permission, or a command that a provider has taken away
            return None
        return float(seconds + microseconds / 1e6)

    def close(self) -> None:
        """Let go of the connections that nobody is waiting on."""
        self._client.connection_pool.disconnect(inuse_connections=False)

    def _key(self, task_id: str) -> bytes:
        key = self._backend.get_key_for_task(task_id)
        return key if isinstance(key, bytes) else key.encode()

    def _decode(self, body: bytes | None) -> Answer | None:
        """Celery's record of a result, in JSON or msgpack, to an answer; None for one that is not final."""
        if body is None:
            return None
        if body.startswith(b"{"):
            record = self._loads(body, "application/json", "utf-8", accept={"application/json"})
        else:
            record = self._loads(body, "application/x-msgpack", "binary", accept={"application/x-msgpack"})
        state, result = record.get("status"), record.get("result")
        if state == "SUCCESS":
            return Answer(result)
        if state not in ("FAILURE", "REVOKED"):
            return None
        return Answer(failure=_describe(result) or state, is_expired=_is_expired(state, result))


def pause_seconds(waited_seconds: float) -> float:
    """How long to wait before the next look at answers that have not come for so long."""
    return min(max(_FIRST_PAUSE_SECONDS, waited_seconds * _PAUSE_SHARE), _LAST_PAUSE_SECONDS)


def _describe(result: Any) -> str | None:
    # The exception's name and no more: what foreign code puts into its text is not ours to log.
    return str(result.get("exc_type")) if isinstance(result, dict) else None


def _is_expired(state: str, result: Any) -> bool:
    # As Celery tells it, whose word it is. What somebody revoked has another.
    told = result.get("exc_message") if isinstance(result, dict) else None
    return state == "REVOKED" and told in ("expired", ["expired"], ("expired",))
