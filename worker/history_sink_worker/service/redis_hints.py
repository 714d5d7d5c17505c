"""Hints and the due list, kept in Redis. Neither is ever the truth: Redis may lose both, or be away."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from history_sink.protocol.chain import Junction
from history_sink_worker import log
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log

TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 5.0
"""After a failure Redis is left alone for so long: a save must not wait for it each time."""

ASK_AGAIN_MS = 5000
"""About what a fold takes, with its time in the queue."""

NOTED = 10_000
"""Of so many logs a process knows what it has put on the due list; then it begins anew."""

CLAIMED_SECONDS = 30.0
"""After so long another worker takes what one has claimed and not sent: that one was killed, or has no broker."""

NOTICES = "grown"
"""The stream that says which logs have grown: the newest `NOTICES_KEPT`, about. Whoever keeps an index makes it."""
NOTICES_KEPT = 20_000
LOST, UNTOLD_KEPT = "lost", 1_000
"""In the place of a log: some are not told of. It is said where more than so many could not be told of."""

DueKind = Literal["idle", "sweep"]
Due = tuple[DueKind, str, str | None]
"""What is due, of which session, on which branch."""

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


class RedisHints:
    """Hints of logs, each kept no longer than it may be used."""

    def __init__(self, shelf: RedisShelf, settle_seconds: float) -> None:
        self._shelf = shelf
        self._keep_ms = max(1, int(settle_seconds * 1000 / 2))
        self._lock = threading.Lock()
        self._untold: dict[str, int] = {}

    def get(self, root: str) -> Hint | None:
        """The hint of the log at `root`; None where there is none that can be read."""
        value: bytes | None = self._shelf.ask(lambda client: client.get(self._key(root)), None)
        return _decode(value) if value else None

    def get_all(self, roots: Sequence[str]) -> dict[str, Hint]:
        """Those of several logs that there are, for one round trip."""
        keys = [self._key(root) for root in roots]
        values: list[bytes | None] = self._shelf.ask(lambda client: client.mget(keys), []) if keys else []
        found = {root: _decode(value) for root, value in zip(roots, values, strict=False) if value}
        return {root: hint for root, hint in found.items() if hint is not None}

    def put(self, root: str, hint: Hint) -> None:
        """Remember it, and tell in the same step that the log has moved: a root and an offset, no more.

        Where no search worker has ever made the stream, nothing is told, and nothing kept.
        """

        def put(client: "redis.Redis") -> bool:
            pipeline = client.pipeline(transaction=False)
            self.add(pipeline, root, hint)
            kept, _ = pipeline.execute(raise_on_error=False)  # a user who may not tell may yet remember
            if isinstance(kept, Exception):
                raise kept
            return True

        if self._shelf.ask(put, False):
            self.tell_untold()
        else:
            self.tell_later(root, hint)

    def add(self, pipeline: Any, root: str, hint: Hint) -> int:
        """The same as commands of a pipeline; how many."""
        pipeline.set(self._key(root), _encode(hint), px=self._keep_ms)
        self._add_notice(pipeline, root, hint.offset)
        return 2

    def tell_later(self, root: str, hint: Hint) -> None:
        """Redis may not have taken it: that the log has moved is told when Redis takes something again."""
        with self._lock:
            self._untold[root] = max(hint.offset, self._untold.get(root, 0))
            if len(self._untold) > UNTOLD_KEPT:
                self._untold = {LOST: 0}

    def tell_untold(self) -> None:
        """Redis has just taken something: tell what it did not take before. Most often that is nothing."""
        if not self._untold:
            return
        with self._lock:
            told, self._untold = self._untold, {}

        def tell(client: "redis.Redis") -> bool:
            pipeline = client.pipeline(transaction=False)
            for root, offset in told.items():
                self._add_notice(pipeline, root, offset)
            pipeline.execute(raise_on_error=False)
            return True

        if not self._shelf.ask(tell, False):
            with self._lock:
                self._untold = {**told, **self._untold}

    def _add_notice(self, pipeline: Any, root: str, offset: int) -> None:
        notice: Any = {"root": root, "offset": offset}
        pipeline.xadd(f"{self._shelf.name}:{NOTICES}", notice, maxlen=NOTICES_KEPT, nomkstream=True)

    def _key(self, root: str) -> str:
        return f"{self._shelf.name}:hint:{root}"


def _encode(hint: Hint) -> str:
    known = f"{hint.offset} {hint.chain16} {hint.proved_at!r} {hint.extents} {hint.base_bytes} {hint.moved_at!r}"
    if hint.end is None:
        return known  # all that older workers can read
    listed = ",".join(f"{writer}:{size}" for writer, size in hint.placed)
    return f"{known} {hint.end.messages} {hint.end.chain.hex()} {listed}"


def _decode(value: bytes) -> Hint | None:
    try:
        offset, chain16, proved_at, extents, base_bytes, moved_at, *more = value.decode("ascii").split(" ")
        hint = Hint(int(offset), chain16, float(proved_at), int(extents), int(base_bytes), float(moved_at))
        if not more:
            return hint
        messages, chain, listed = more
        placed = [each.split(":") for each in filter(None, listed.split(","))]
        end = Junction(int(messages), hint.offset, bytes.fromhex(chain))
        return replace(hint, end=end, placed=tuple((writer, int(size)) for writer, size in placed))
    except ValueError:  # UnicodeDecodeError is one
        return None


class DueList(Protocol):
    """What a log will need later: a fold when it has been idle for a while, or a sweep."""

    def put(self, kind: DueKind, log: Log, due_at: float) -> bool: ...

    def claim(self, now: float, limit: int) -> list[Due]: ...

    def drop(self, sent: Sequence[Due]) -> None: ...

    def may_ask(self, log: Log) -> bool: ...


class NoDueList:
    """Without Redis: `history-sink-worker tidy` finds what is due."""

    def put(self, kind: DueKind, log: Log, due_at: float) -> bool:
        return False

    def claim(self, now: float, limit: int) -> list[Due]:
        return []

    def drop(self, sent: Sequence[Due]) -> None:
        pass

    def may_ask(self, log: Log) -> bool:
        return True


class RedisDueList:
    """A sorted set: the member is what is due of which log, the score when (Unix seconds).

    A log that will be idle is not moved by less than `grain_seconds`: else each save of a busy one would ask Redis.
    """

    def __init__(self, shelf: RedisShelf, prefix: str, grain_seconds: float = 0.0) -> None:
        self._shelf = shelf
        self._key = f"{shelf.name}:due:{prefix}"
        self._claimed = f"{shelf.name}:claimed:{prefix}"
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
        added: int | None = self._shelf.ask(
            lambda client: client.zadd(self._key, {member: due_at}, lt=kind == "sweep"), None
        )
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
            self._shelf.ask(lambda client: client.zrem(self._claimed, *map(_name, sent)), None)

    def may_ask(self, log: Log) -> bool:
        """Whether no other worker has asked for a fold of this log just now: of two at once, one would be in vain."""
        key = f"{self._shelf.name}:asked:{log.root}"
        return bool(self._shelf.ask(lambda client: client.set(key, 1, nx=True, px=ASK_AGAIN_MS), True))

    def _list(self, key: str, until: float, limit: int) -> list[bytes]:
        return self._shelf.ask(lambda client: client.zrange(key, "-inf", until, byscore=True, offset=0, num=limit), [])

    def _take(self, member: bytes, now: float) -> bool:
        def take(client: "redis.Redis") -> int:
            pipeline = client.pipeline()  # in one step: who is killed between two would have lost it
            pipeline.zrem(self._key, member)
            pipeline.zadd(self._claimed, {member: now})
            return cast(int, pipeline.execute()[0])

        return self._shelf.ask(take, 0) == 1

    def _return_claimed(self, until: float, limit: int) -> None:
        for member in self._list(self._claimed, until, limit):

            def put_back(client: "redis.Redis", member: bytes = member) -> None:
                pipeline = client.pipeline()
                pipeline.zadd(self._key, {member: until}, lt=True)
                pipeline.zrem(self._claimed, member)
                pipeline.execute()

            self._shelf.ask(put_back, None)


def _name(due: Due) -> str:
    kind, session, branch = due
    return f"{kind} {session} {branch or ''}"


def _parse(member: bytes) -> Due | None:
    kind, _, rest = member.decode(errors="replace").partition(" ")
    session, _, branch = rest.partition(" ")
    return (kind, session, branch or None) if kind in ("idle", "sweep") else None  # type: ignore[return-value]  # narrowed
