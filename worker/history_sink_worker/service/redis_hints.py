"""Hints, kept in Redis, and notices of logs that have grown. Neither is the truth: Redis may lose both, or be away."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from history_sink.protocol.chain import Junction
from history_sink_worker.archive.hint import Hint
from history_sink_worker.service.redis_shelf import RedisShelf

if TYPE_CHECKING:
    import redis

NOTICES = "grown"
"""The stream that says which logs have grown: the newest `NOTICES_KEPT`, about. Whoever keeps an index makes it."""
NOTICES_KEPT = 20_000
LOOK_SECONDS = 0.5
"""A process that knows of nobody who keeps an index looks so soon after a save, for all that it has saved meanwhile."""
LOST, UNTOLD_KEPT = "lost", 1_000
"""In the place of a log: some are not told of. It is said where more than so many could not be told of."""


class RedisHints:
    """Hints of logs, each kept no longer than it may be used."""

    def __init__(self, shelf: RedisShelf, settle_seconds: float) -> None:
        self._shelf = shelf
        self._keep_ms = max(1, int(settle_seconds * 1000 / 2))
        self._lock = threading.Lock()
        self._untold: dict[str, int] = {}
        self._is_heard: bool | None = None
        self._is_looking = False

    def get(self, root: str) -> Hint | None:
        """The hint of the log at `root`; None where there is none that can be read."""
        value = self._shelf.get(self._key(root))
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
            self._add_hint(pipeline, root, hint)
            self._add_notice(pipeline, root, hint.offset)
            kept, _ = pipeline.execute(raise_on_error=False)  # a user who may not tell may yet remember
            if isinstance(kept, Exception):
                raise kept
            return True

        if self._shelf.ask(put, False):
            self.tell_untold()
        else:
            self.tell_later(root, hint)

    def add(self, pipeline: Any, root: str, hint: Hint) -> int:
        """The same as commands of a pipeline; how many. Until somebody is known to keep an index, none tells of it."""
        self._add_hint(pipeline, root, hint)
        if self._is_heard is None:
            self._look()  # at once: a process may end before it would look later
        if self._is_heard:
            self._add_notice(pipeline, root, hint.offset)
            return 2
        self.tell_later(root, hint)
        with self._lock:
            is_looking, self._is_looking = self._is_looking, True
        if not is_looking:
            self._look_later()
        return 1

    def _look_later(self) -> None:
        look = threading.Timer(LOOK_SECONDS, self._look)
        look.daemon = True
        try:
            look.start()
        except RuntimeError:  # too many threads, or the process is ending: with a later save, if there is one
            self._is_looking = False

    def _look(self) -> None:
        """Whether there is a stream. If not, nobody needs to know what was saved until now."""
        with self._lock:
            told, self._untold, self._is_looking = self._untold, {}, False
        replies = self._shelf.ask(self._ask_for_stream, None)
        self._is_heard = replies == [1]
        if self._is_heard or replies is None:
            with self._lock:
                self._untold = {**told, **self._untold}
            self.tell_untold()

    def _ask_for_stream(self, client: "redis.Redis") -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        pipeline.exists(f"{self._shelf.name}:{NOTICES}")
        return pipeline.execute(raise_on_error=False)  # this user may not be let ask

    def tell_later(self, root: str, hint: Hint) -> None:
        """Redis may not have taken it: that the log has moved is told when Redis takes something again."""
        with self._lock:
            self._untold[root] = max(hint.offset, self._untold.get(root, 0))
            if len(self._untold) > UNTOLD_KEPT:
                self._untold = {LOST: 0}

    def tell_untold(self) -> None:
        """Redis has just taken something: tell what it did not take before. Most often that is nothing."""
        if not self._untold or self._is_looking:
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

    def _add_hint(self, pipeline: Any, root: str, hint: Hint) -> None:
        # By the command itself: redis-py's method for it takes as long as all the rest of a pipeline.
        pipeline.execute_command("SET", self._key(root), _encode(hint), "PX", self._keep_ms)

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
