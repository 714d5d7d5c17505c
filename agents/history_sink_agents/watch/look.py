"""What a look at a file means: nothing new, more of the same, or something else in its place. Pure.

An inode alone is no identity: a deleted file's number comes back within seconds. The bytes that were archived are.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from history_sink import LogEnd

EDGE_BYTES = 4096
"""How many bytes at the beginning and before the archived end are hashed. The beginning has the session's id in it."""

Action: TypeAlias = Literal["nothing", "append", "attach"]
"""``append``: what is behind the mark goes behind the mark's end. ``attach``: the store is asked, and the file read."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was archived, and what it looked like then. It is a hint: without it, the store tells.

    `position` counts bytes of a file, or lines of a database's session. `end` is where the log is behind them; None:
    the file was found whole inside a longer log, so what comes next may or may not be there. `head` and `tail` are
    hashes of the first and of the last `EDGE_BYTES` before `position`. `size_bytes` and the times are of the file when
    it was looked at. `manifest` is the hash of the line in the session's manifest that tells of this file.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    position: int
    head: str
    tail: str
    end: LogEnd | None
    manifest: str = ""
    ctime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """A file as it is now. `head` and `tail` are hashes of what the mark's were of; None: it is shorter than that."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int = 0
    head: str | None = None
    tail: str | None = None


class Step(NamedTuple):
    """What to do, and why: one word for the log."""

    action: Action
    reason: str


def is_unchanged(mark: Mark | None, look: Look) -> bool:
    """Whether nothing has touched the file since the mark, as far as its inode tells."""
    return mark is not None and _tell(mark) == _tell(look) and mark.ctime_ns == look.ctime_ns


def _tell(each: Mark | Look) -> tuple[int, int, int, int]:
    return each.device, each.inode, each.size_bytes, each.mtime_ns


def decide(mark: Mark | None, look: Look) -> Step:
    """What a look at a file that is appended to means."""
    if mark is None:
        return Step("attach", "new")
    if (mark.device, mark.inode) != (look.device, look.inode):
        return Step("attach", "replaced")
    if look.size_bytes < mark.position:
        return Step("attach", "shrunk")
    if (mark.head, mark.tail) != (look.head, look.tail):
        return Step("attach", "rewritten")
    if look.size_bytes == mark.position:
        # Written to, and no longer than it was: perhaps rewritten between the edges. Only all of it can tell.
        return Step("nothing", "unchanged") if look.mtime_ns == mark.mtime_ns else Step("attach", "touched")
    return Step("append", "grown") if mark.end else Step("attach", "grown")


def decide_whole(mark: Mark | None, look: Look) -> Step:
    """The same for a file that is rewritten in place: each change is a new version.

    The time of its last change counts not: a link or other permissions change it, and each look reads all of the file.
    """
    if mark is not None and _tell(mark) == _tell(look):
        return Step("nothing", "unchanged")
    return Step("attach", "new" if mark is None else "rewritten")
