"""The due list, kept in Redis: what a log will need later. `history-sink-worker tidy` finds what it has lost."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from history_sink_worker.archive.names import Log
from history_sink_worker.service.redis_shelf import RedisShelf

if TYPE_CHECKING:
    import redis

ASK_AGAIN_MS = 5000
"""About what a fold takes, with its time in the queue."""

NOTED = 10_000
"""Of so many logs a process knows what it has put on the due list; then it begins anew."""

CLAIMED_SECONDS = 30.0
"""After so long another worker takes what one has claimed and not sent: that one was killed, or has no broker."""

T = TypeVar("T")
DueKind = Literal["idle", "sweep"]
Due = tuple[DueKind, str, str | None]
"""What is due, of which session, on which branch."""


class DueList:
    """A sorted set: the member is what is due of which log, the score when (Unix seconds).

    A log that will be idle is not moved by less than `grain_seconds`: else each save of a busy one would ask Redis.
    Without a `shelf` nothing is noted, and all may ask.
    """

    def __init__(self, shelf: RedisShelf | None, prefix: str, grain_seconds: float = 0.0) -> None:
        self._shelf = shelf
        self._name = shelf.name if shelf else ""
        self._key = f"{self._name}:due:{prefix}"
        self._claimed = f"{self._name}:claimed:{prefix}"
        self._grain_seconds = grain_seconds
        self._noted: dict[str, float] = {}

    def put(self, kind: DueKind, log: Log, due_at: float) -> bool:
        """Note it. A log that will be idle is moved: one that is being written to does not become idle.

        Returns whether Redis has it.
        """
        member = _name((kind, log.session, log.branch))
        # Not a sweep: one that goes on at once has been claimed already.
        if kind == "idle" and 0 <= due_at - self._noted.get(member, float("-inf")) < self._grain_seconds:
            return True
        # A sweep keeps its earlier time: else one that is due in hours would put off what waits for seconds.
        added: int | None = self._ask(lambda client: client.zadd(self._key, {member: due_at}, lt=kind == "sweep"), None)
        if added is not None and kind == "idle":
            if len(self._noted) >= NOTED:
                self._noted.clear()
            self._noted[member] = due_at
        return added is not None

    def claim(self, now: float, limit: int) -> list[Due]:
        """Take what is due off the list. Nobody else gets the same, unless it is not dropped in `CLAIMED_SECONDS`."""
        self._return_claimed(now - CLAIMED_SECONDS, limit)
        due = self._list(self._key, now, limit)
        return [claimed for member in due if self._take(member, now) and (claimed := _parse(member))]

    def drop(self, sent: Sequence[Due]) -> None:
        """Forget what was claimed: it was sent."""
        if sent:
            self._ask(lambda client: client.zrem(self._claimed, *map(_name, sent)), None)

    def may_ask(self, log: Log) -> bool:
        """Whether no other worker has asked for a fold of this log just now: of two at once, one would be in vain."""
        key = f"{self._name}:asked:{log.root}"
        return bool(self._ask(lambda client: client.set(key, 1, nx=True, px=ASK_AGAIN_MS), True))

    def _ask(self, command: Callable[["redis.Redis"], Any], default: T) -> T:
        return default if self._shelf is None else self._shelf.ask(command, default)

    def _list(self, key: str, until: float, limit: int) -> list[bytes]:
        return self._ask(lambda client: client.zrange(key, "-inf", until, byscore=True, offset=0, num=limit), [])

    def _take(self, member: bytes, now: float) -> bool:
        def take(client: "redis.Redis") -> int:
            pipeline = client.pipeline()  # in one step: who is killed between two would have lost it
            pipeline.zrem(self._key, member)
            pipeline.zadd(self._claimed, {member: now})
            return cast(int, pipeline.execute()[0])

        return self._ask(take, 0) == 1

    def _return_claimed(self, until: float, limit: int) -> None:
        for member in self._list(self._claimed, until, limit):

            def put_back(client: "redis.Redis", member: bytes = member) -> None:
                pipeline = client.pipeline()
                pipeline.zadd(self._key, {member: until}, lt=True)
                pipeline.zrem(self._claimed, member)
                pipeline.execute()

            self._ask(put_back, None)


def _name(due: Due) -> str:
    kind, session, branch = due
    return f"{kind} {session} {branch or ''}"


def _parse(member: bytes) -> Due | None:
    kind, _, rest = member.decode(errors="replace").partition(" ")
    session, _, branch = rest.partition(" ")
    return (kind, session, branch or None) if kind in ("idle", "sweep") else None  # type: ignore[return-value]  # narrowed
