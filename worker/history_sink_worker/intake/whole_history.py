"""A plain client's history, decoded only where it is new.

Such a client sends all its messages each time. JSON is read from left to right: the same text up to the end of a
message is the same messages, whatever follows. So of what was read before the SHA-256 of its text is enough, and the
junction behind the lines that it became.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any

from history_sink.protocol.chain import START, Junction
from history_sink.protocol.contract import UPLOAD

SESSIONS_KEPT = 2000
"""With about 500 bytes each."""

_GAP = rb"[ \t\n\r]{0,9}"
_OPENING = re.compile(_GAP.join((b"", rb"\[", rb"\[", rb'"[A-Za-z0-9._-]{1,200}"', b",", rb"(?=\[)")))
"""What stands before the list of messages in a task's body, `[args, kwargs, embed]`."""
_STANDS_IN = "[{}"
"""For the beginning of that list. Behind it the decoder is where it was: in a list, behind a value that has ended."""
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `size_bytes` of a body, up to the end of a message: their SHA-256; and the junction behind its line."""

    size_bytes: int
    digest: bytes
    end: Junction


_NOTHING = Prefix(0, sha256().digest(), START)


class Prefixes:
    """The newest prefix of each of so many sessions, by how their bodies open. For any thread."""

    def __init__(self, kept: int = SESSIONS_KEPT) -> None:
        self._kept = kept
        self._found: OrderedDict[bytes, Prefix] = OrderedDict()
        self._lock = Lock()

    def put(self, opening: bytes, prefix: Prefix) -> None:
        """Remember it in place of an older one."""
        with self._lock:
            self._found[opening] = prefix
            self._found.move_to_end(opening)
            if len(self._found) > self._kept:
                self._found.popitem(last=False)

    def find(self, opening: bytes, body: bytes) -> tuple[Prefix, Any]:
        """The prefix that `body` begins with, of no bytes where none is known, and the hash of that beginning."""
        with self._lock:
            prefix = self._found.get(opening, _NOTHING)
        hashed = sha256(memoryview(body)[: prefix.size_bytes])
        return (prefix, hashed) if hashed.digest() == prefix.digest else (_NOTHING, sha256())


_known = Prefixes()


@dataclass(eq=False, repr=False)
class WholeHistory:
    """The messages of one task, of which `rest` are those behind the junction `start`."""

    start: Junction
    rest: list[Any]
    _body: bytes
    _opening: bytes
    _prefix: Prefix
    _hashed: Any
    _size_bytes: int

    def __len__(self) -> int:
        return self.start.messages + len(self.rest)

    def __repr__(self) -> str:
        return f"<{len(self)} messages>"

    def __iter__(self) -> Iterator[Any]:
        """All messages."""
        return iter(json.loads(self._body)[0][1] if self.start.messages else self.rest)

    def __json__(self) -> list[Any]:
        """What kombu's encoder writes where the task is sent again."""
        return [*self]

    def remember(self, end: Junction) -> None:
        """That `end` is the junction behind the lines of all messages."""
        hashed = self._hashed.copy()
        hashed.update(memoryview(self._body)[self._prefix.size_bytes : self._size_bytes])
        _known.put(self._opening, Prefix(self._size_bytes, hashed.digest(), end))


def take_in(message: Any) -> None:
    """Decode a message of kombu's that is an upload of messages alone; it remembers that. Leaves others as they are.

    Only for a worker whose pool shares its memory: only there what a task learns is known to who decodes the next.
    """
    is_upload = isinstance(message.headers, dict) and message.headers.get("task") == UPLOAD
    if is_upload and message.content_type == "application/json" and isinstance(message.body, bytes):
        message._decoded_cache = decode(message.body)  # kombu offers no other place for it


def decode(body: bytes) -> list[Any] | None:
    """What `json.loads` makes of an upload's body, but with a `WholeHistory` for its list of messages.

    None where something is said beside them, and for what is no JSON.
    """
    opening = _OPENING.match(body)
    if opening is None:
        return None
    try:
        return _decode(body, opening[0], *_known.find(opening[0], body))
    except (ValueError, RecursionError):
        return None


def _decode(body: bytes, opening: bytes, prefix: Prefix, hashed: Any) -> list[Any] | None:
    unknown = body[prefix.size_bytes or len(opening) :].decode("utf-8", "surrogatepass")  # as `json.loads` does
    text = _STANDS_IN + unknown if prefix.size_bytes else unknown
    messages, end = _DECODER.raw_decode(text)
    outer: list[Any] = json.loads(opening.decode() + "[]" + text[end:])
    if len(outer) != 3 or len(outer[0]) != 2 or outer[1] != {} or not messages:
        return None
    behind = end - 1  # its bracket; and before that may be spaces
    while text[behind - 1] in " \t\n\r":
        behind -= 1
    size_bytes = len(body) - len(text[behind:].encode("utf-8", "surrogatepass"))
    rest = messages[1:] if prefix.size_bytes else messages
    outer[0][1] = WholeHistory(prefix.end, rest, body, opening, prefix, hashed, size_bytes)
    return outer
