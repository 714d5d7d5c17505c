"""What two programs must share: names of tasks and queues, limits, and who may be a session."""

import re

from history_sink.errors import Malformed

UPLOAD = "history_sink.upload_history"
RESOLVE = "history_sink.resolve_pointer"
STATUS = "history_sink.status"
LIST_SESSIONS = "history_sink.list_sessions"
COMPACT = "history_sink.compact"
RECALL = "history_sink.session_recall"

UPLOAD_QUEUE = "history.upload"
READ_QUEUE = "history.read"
SEARCH_QUEUE = "history.search"
MAINTENANCE_QUEUE = "history.maintenance"

QUEUE_OF_TASK = {
    UPLOAD: UPLOAD_QUEUE,
    RESOLVE: READ_QUEUE,
    STATUS: READ_QUEUE,
    LIST_SESSIONS: READ_QUEUE,
    COMPACT: MAINTENANCE_QUEUE,
    RECALL: SEARCH_QUEUE,
}

WIRE_VERSION = 1
"""The `v` of the payload of a save."""

APPEND_VERSION = 2
"""The `v` of the payload of an append."""

LATEST_VERSION = APPEND_VERSION
"""A worker leaves a payload with a greater `v` in the queue, for one that knows it."""

SENT_AT = "x-sent-at"
"""Header: when the library sent a task, in Unix seconds by Redis's clock, else its machine's.

For metrics only; it may be missing.
"""

LISTED = "x-listed"
"""Header of a question for a list of sessions: ``{"prefix": …, "fields": […]}``, what is wanted of it.

No arguments: a worker of an older version refuses those that it does not know. It does not see the header, and tells
more than was asked for.
"""

PACKED = "x-packed"
"""Header of a question for bytes: ``zlib``, if the answer may be packed by it.

A worker of an older version does not see the header, and answers with the bytes.
"""

SAVE_BYTES = 256 * 1024
"""Where the library cuts a save, in bytes of lines; never inside a line."""

LINE_BYTES = 32 * 1024 * 1024
"""The longest line, newline included. A longer one is refused."""

MAX_OFFSET = 2**64 - 1
"""The greatest number in a byte range."""

MOST_SESSIONS = 1000
"""On one page of a list of sessions."""

CLOCKS_DIFFER_SECONDS = 900.0
"""So much may the clocks of two machines differ."""

CLOCK_TOLD_SECONDS, CLOCK_PROBLEM_SECONDS = 5.0, 60.0
"""From where on a clock that differs is told, and from where on it is called a problem."""

PREFIX_BYTES = 700
"""The longest key prefix: a key has 1,024 bytes, and what follows the prefix takes up to 300 of them."""

SESSION_CHARACTERS = 200
"""The longest session id."""

_SESSION = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{SESSION_CHARACTERS - 1}}}")
_BRANCH = re.compile(r"[0-9]{12}-[0-9a-f]{16}")


def check_session(session: object) -> str:
    """Return `session`, or raise `Malformed`: 1 to 200 of ``A-Z a-z 0-9 . _ -``, no dot in front."""
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        shown = repr(session)[:80] if isinstance(session, str) else type(session).__name__
        raise Malformed(f"a session id is 1 to 200 of A-Z a-z 0-9 . _ -, not starting with a dot, not {shown}")
    return session


def check_prefix(prefix: str) -> str:
    """Return `prefix`, which ends in ``/``, or raise `Malformed`: servers do not take every key as it is.

    MinIO stores what begins with ``/`` under another name than it lists, and refuses an empty, ``.`` or ``..`` part.
    """
    parts = prefix.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Malformed("a key prefix has no slash in front, and no part that is empty, . or ..")
    if len(prefix.encode(errors="replace")) > PREFIX_BYTES or any(len(part.encode()) > 255 for part in parts):
        raise Malformed(f"a key prefix has at most {PREFIX_BYTES} bytes, and each part of it 255")
    return prefix


def check_branch(branch: object) -> str | None:
    """Return `branch`, a junction as `branch_name` writes it, or None for the main log; or raise `Malformed`."""
    if branch is None or (isinstance(branch, str) and _BRANCH.fullmatch(branch)):
        return branch
    raise Malformed("a branch is null or <offset, 12 digits>-<chain, 16 hex digits>")


def branch_name(offset: int, chain16: str) -> str:
    """The branch that opens where the line before (offset, chain16) is the first not on the log it leaves."""
    return f"{offset:012d}-{chain16}"
