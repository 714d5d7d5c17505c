"""Which logs have grown just now, as workers tell it in a stream of Redis. For speed alone: all of it may be lost.

A notice is written with each hint, in the same step (`service.redis_hints`). It names a log and an offset.
"""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from history_sink_worker.archive.names import BASE, Log, parse_key
from history_sink_worker.service.redis_hints import LOST, NOTICES
from history_sink_worker.service.redis_shelf import RedisShelf

_CHECK_SECONDS = 5.0
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Notice:
    """A log reaches `offset`; 0: nobody says how far."""

    log: Log
    offset: int


class Notices:
    """A reader of the stream with a position of its own; any number of them get all of it."""

    def __init__(self, shelf: RedisShelf, prefix: str) -> None:
        self._shelf = shelf
        self._stream = f"{shelf.name}:{NOTICES}"
        self._prefix = prefix
        self._position: bytes | None = None
        self._checked_at = 0.0

    def read(self, now: float) -> list[Notice] | None:
        """All that has come since the last call; None where some may be lost, and only a LIST can tell. Never waits.

        A log may be in it several times, and not in the order in which it has grown: two workers tell of it.
        """
        if self._position is None:
            # An entry of our own, which makes the stream: should it be gone while none has come, Redis has forgotten.
            self._position = self._shelf.ask(lambda client: client.xadd(self._stream, {b"root": b""}), None)
            self._checked_at = now
            return None
        position = self._position
        if now - self._checked_at >= _CHECK_SECONDS:
            has_position = self._shelf.ask(lambda client: self._has(client, position), None)
            if not has_position:
                self._position = position if has_position is None else None
                return None
            self._checked_at = now
        answer: Any = self._shelf.ask(lambda client: client.xread({self._stream: position}, count=_AT_ONCE), None)
        if answer is None:
            self._checked_at = -_CHECK_SECONDS  # the position holds if Redis still has it when it is back
            return None
        return self._decode(answer)

    def _has(self, client: Any, position: bytes) -> bool:
        try:
            return bool(client.xrange(self._stream, position, position))
        except ResponseError:
            return False

    def _decode(self, answer: Any) -> list[Notice] | None:
        found, is_lost = [], False
        streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer]
        for entries in streams:
            for entry_id, fields in _flatten(entries):
                self._position = entry_id
                root, offset = fields.get(b"root", b"").decode("utf-8", "replace"), fields.get(b"offset", b"0")
                is_lost = is_lost or root == LOST
                place = parse_key(self._prefix, root + BASE)
                if place is not None:
                    found.append(Notice(place[0], int(offset) if offset.isdigit() else 0))
        return None if is_lost else found


def _flatten(entries: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Redis-py nests entries one level deeper where it speaks RESP 3."""
    return entries[0] if entries and isinstance(entries[0], list) else entries
