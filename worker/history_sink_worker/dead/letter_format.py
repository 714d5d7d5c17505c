"""A dead letter: a message that can never succeed, whole, with why. How it is named and written. Pure.

    <prefix>.dead/<time>-<task id>        20261123T041500.123Z, UTC, so that LIST sorts

The object is one line of JSON that says all that is known of the message, headers and properties included; behind its
newline comes the body, byte for byte. Not base64 in JSON: a body of 32 MiB would be held, sent and read four thirds as
large, and several times. Not the object's metadata: S3 allows 2 KB, and a task's headers may well be more.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from kombu.utils.json import dumps, loads

from history_sink.errors import Malformed
from history_sink_worker.archive.names import DEAD
from history_sink_worker.headers import ABANDONED, FIRST_TRIED, REPLAYED

Form: TypeAlias = Literal["message", "raw"]
"""``message``: the body as received, the rest in the first line. ``raw``: a whole record of the broker's (Redis), as
it lay there, because it is no message or its body is not made of bytes."""

# What the transports note on a message that is delivered once more: it is the same message all the same.
_MARKS = {FIRST_TRIED, ABANDONED, "redelivered", "x-delivery-count", "x-death"}
_KEPT_PROPERTIES = ("correlation_id", "reply_to", "priority", "delivery_mode")
_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)-([A-Za-z0-9._-]{1,100})", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
_TASK = re.compile(r"[A-Za-z0-9_.:-]{1,200}", re.ASCII)
_ARGUMENTS = re.compile(r"\('([A-Za-z0-9_-][A-Za-z0-9._-]{0,199})',(?: None)?\)", re.ASCII)
_LATEST = 253_402_300_799.0  # the year 9999


@dataclass(frozen=True, slots=True)
class Letter:
    """`first` and `last`: when the first and the last attempt was, Unix seconds. `size_bytes`: of the body.

    `task_id` and `task` are what the message says, "" where that is nothing; `session` where it is known.
    """

    task_id: str
    task: str
    session: str | None
    reason: str
    attempts: int
    first: float
    last: float
    queue: str
    body: bytes = field(repr=False)
    size_bytes: int
    form: Form = "message"
    content_type: Any = None
    content_encoding: Any = None
    headers: Any = field(default=None, repr=False)
    properties: Any = field(default=None, repr=False)

    def summary(self) -> dict[str, Any]:
        """What may be shown to anybody: no content."""
        return {
            "time": format_time(self.last),
            "task_id": self.task_id,
            "task": self.task,
            "session": self.session,
            "reason": self.reason,
            "attempts": self.attempts,
            "first": format_time(self.first),
            "queue": self.queue,
            "bytes": self.size_bytes,
        }


def format_time(at: float) -> str:
    """Unix seconds as ``20261123T041500.123Z``."""
    moment = datetime.fromtimestamp(min(max(at, 0.0), _LATEST), UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"


def name_letter(prefix: str, at: float, task_id: str) -> str:
    """The key of a letter."""
    return f"{prefix}{DEAD}{format_time(at)}-{safe_id(task_id)}"


def parse_name(prefix: str, key: str) -> tuple[str, str] | None:
    """Time and task id of a letter's key; None for what no worker has written."""
    found = _NAME.fullmatch(key.removeprefix(prefix + DEAD)) if key.startswith(prefix + DEAD) else None
    return (found[1], found[2]) if found else None


def safe_id(task_id: str) -> str:
    """As it may stand in a key: anybody makes up task ids."""
    return _UNSAFE.sub("_", task_id)[:100] or "unknown"


def show_task(value: object) -> str:
    """A task's name, if it looks like one: anything may have been put there."""
    return value if isinstance(value, str) and _TASK.fullmatch(value) else ""


def guess_session(headers: object) -> str | None:
    """The session of an upload that no worker could decode, from the library's description of its arguments."""
    shown = headers.get("argsrepr") if isinstance(headers, Mapping) else None
    found = _ARGUMENTS.fullmatch(shown) if isinstance(shown, str) else None
    return found[1] if found else None


def identify(letter: Letter) -> str:
    """The same for every delivery of one message, another one for each time that it is sent."""
    headers = letter.headers
    if isinstance(headers, dict):
        headers = {name: value for name, value in headers.items() if name not in _MARKS}
    said = [letter.task_id, letter.form, letter.content_type, letter.content_encoding, headers]
    return hashlib.sha256(_dump(said) + b"\n" + letter.body).hexdigest()[:32]


def is_second_delivery(letter: Letter) -> bool:
    """Whether somebody may have buried the very same message before."""
    headers = letter.headers if isinstance(letter.headers, Mapping) else {}
    properties = letter.properties if isinstance(letter.properties, Mapping) else {}
    info = properties.get("delivery_info")
    marked = isinstance(info, Mapping) and info.get("redelivered")
    return bool(marked or letter.form == "raw" or any(headers.get(name) for name in (*_MARKS, REPLAYED)))


def count_attempts(headers: object) -> tuple[int, int]:
    """How often a message has been tried again, and how many workers it has taken down."""
    given = headers if isinstance(headers, Mapping) else {}
    counts = [given.get(name) for name in ("retries", ABANDONED)]
    retries, abandoned = (count if type(count) is int and 0 <= count < 2**31 else 0 for count in counts)
    return retries, abandoned


def read_first_tried(headers: object, otherwise: float) -> float:
    """When the first attempt was, as far as the message says."""
    value = headers.get(FIRST_TRIED) if isinstance(headers, Mapping) else None
    if isinstance(value, (int, float)) and 0 < value <= otherwise:  # not NaN, that is
        return float(value)
    return otherwise


def headers_to_replay(letter: Letter, name: str) -> Any:
    """The headers to send a letter with: its own, without the traces of deliveries and without what has ended it."""
    if not isinstance(letter.headers, Mapping):
        return letter.headers
    kept = {key: value for key, value in letter.headers.items() if key not in _MARKS}
    return {**kept, **({"expires": None} if "expires" in kept else {}), REPLAYED: name}


def properties_to_replay(letter: Letter) -> dict[str, Any]:
    """The properties to send a letter with; what the transport adds by itself is left to it."""
    given = letter.properties if isinstance(letter.properties, Mapping) else {}
    return {name: given[name] for name in _KEPT_PROPERTIES if given.get(name) is not None}


def encode(letter: Letter) -> bytes:
    """The object's bytes."""
    fields = {name: getattr(letter, name) for name in Letter.__slots__ if name != "body"}
    return _dump({"version": 1, **fields}) + b"\n" + letter.body


def decode(data: bytes) -> Letter:
    """Read a letter, or the beginning of one that has its first line. Raises `Malformed`."""
    head, newline, body = data.partition(b"\n")
    try:
        fields = loads(head)
        if not newline or fields.pop("version") != 1:
            raise ValueError
        letter = Letter(body=body, **fields)
        sound = letter.form in ("message", "raw") and type(letter.size_bytes) is int and isinstance(letter.queue, str)
        letter.summary()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        sound = False
    if not sound:
        raise Malformed("not a dead letter that this worker knows how to read")
    return letter


def _dump(value: Any) -> bytes:
    # kombu's JSON carries all that kombu's messages may hold (RabbitMQ: times and bytes in headers).
    text: str = dumps(value, separators=(",", ":"))
    return text.encode("ascii")
