"""Names of the objects of one log, written and read in one place.

    <prefix><session>/history.jsonl                               the base
    <prefix><session>/tail/<start>-<before>.jsonl                 an extent
    <prefix><session>/tail/<start>-<before>~<after>.jsonl         a stray
    <prefix><session>/tail/<start>-<before>_<after>.jsonl         undecided
    <prefix><session>/branches/<offset>-<chain>/...               a log of its own, laid out in the same way
    <prefix><session>/tail/waits-<writer>-<position>-<end>.jsonl  an append that waits for what its writer sent before
    <prefix><session>/appends/<writer>                            a mark: how far a writer's appends are placed

`start` is a byte offset in 12 digits, so that LIST sorts; `before` and `after` are 16 hex digits of the chains
before and behind the lines.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from history_sink.errors import Malformed
from history_sink.protocol.contract import check_branch, check_session

BASE = "history.jsonl"
DEAD = ".dead/"
PROBE = ".probe/"
"""Folders under the prefix that are no session's: no session's name begins with a dot."""
DELETED = "~deleted"
"""An object there: no session's name has a tilde. With a dot first its GET would cost twice as much: see `lean`."""

TailKind: TypeAlias = Literal["extent", "stray", "undecided"]
_KIND_OF_SIGN: dict[str, TailKind] = {"": "extent", "~": "stray", "_": "undecided"}
_SIGN_OF_KIND = {kind: sign for sign, kind in _KIND_OF_SIGN.items()}
_TAIL = re.compile(r"tail/(\d{12})-([0-9a-f]{16})(?:([~_])([0-9a-f]{16}))?\.jsonl", re.ASCII)
_KEY = re.compile(r"([^/]+)/(?:branches/([^/]+)/)?(history\.jsonl|tail/[^/]+)")
_WAITING = re.compile(r"tail/waits-([A-Za-z0-9_-]{1,64})-(\d{12})-(\d{12})\.jsonl", re.ASCII)
_BESIDE = re.compile(r"([^/]+)/(?:branches/([^/]+)/)?(?:appends/([A-Za-z0-9_-]{1,64})|(tail/waits-[^/]+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class TailName:
    """What the name of an object in the tail says; `after` is empty for an extent."""

    start: int
    before: str
    after: str = ""
    kind: TailKind = "extent"

    def __str__(self) -> str:
        return f"tail/{self.start:012d}-{self.before}{_SIGN_OF_KIND[self.kind]}{self.after}.jsonl"


def parse_tail(name: str) -> TailName | None:
    """Read a name below the log's prefix; None for what is not of the tail."""
    found = _TAIL.fullmatch(name)
    if not found:
        return None
    start, before, sign, after = found.groups()
    return TailName(int(start), before, after or "", _KIND_OF_SIGN[sign or ""])


@dataclass(frozen=True, slots=True)
class WaitingName:
    """Bytes ``[position, end)`` of a writer's stream."""

    writer: str
    position: int
    end: int

    def __str__(self) -> str:
        return f"tail/waits-{self.writer}-{self.position:012d}-{self.end:012d}.jsonl"


def parse_waiting(name: str) -> WaitingName | None:
    """Read a name below the log's prefix; None for what is no append that waits."""
    found = _WAITING.fullmatch(name)
    return WaitingName(found[1], int(found[2]), int(found[3])) if found else None


@dataclass(frozen=True, slots=True)
class Log:
    """Where one log lives: the main line of a session, or one of its branches."""

    prefix: str
    session: str
    branch: str | None = None

    @property
    def root(self) -> str:
        """The key prefix of all objects of this log; for the main log, of its branches too."""
        home = f"{self.prefix}{self.session}/"
        return home if self.branch is None else f"{home}branches/{self.branch}/"

    @property
    def base(self) -> str:
        """The key of the base, which is also the key that a pointer to this log names."""
        return self.root + BASE

    @property
    def list_after(self) -> str:
        """Where this log's LIST starts: behind all branches, so that they do not fill its pages."""
        return f"{self.root}branches0"

    def key(self, tail: TailName | WaitingName) -> str:
        return f"{self.root}{tail}"

    def mark(self, writer: str) -> str:
        """The key of a writer's mark. It sorts before `list_after`: no look at the log meets it."""
        return f"{self.root}appends/{writer}"


def parse_key(prefix: str, key: str) -> tuple[Log, TailName | None] | None:
    """The log that `key` belongs to, and which object of its tail it is (None: the base).

    None for every key that this project would not have written: no `..`, no empty segment gets through.
    """
    if not key.startswith(prefix):
        return None
    found = _KEY.fullmatch(key.removeprefix(prefix))
    if not found:
        return None
    session, branch, name = found.groups()
    tail = parse_tail(name)
    if name != BASE and tail is None:
        return None
    try:
        return Log(prefix, check_session(session), check_branch(branch)), tail
    except Malformed:
        return None


def owner_of(prefix: str, key: str) -> str:
    """The session in whose folder `key` lies, whatever it is; "" where it lies in no session's."""
    name, slash, _ = key.removeprefix(prefix).partition("/")
    try:
        return check_session(name) if slash else ""
    except Malformed:
        return ""


def parse_beside(prefix: str, key: str) -> Log | None:
    """The log that `key` is a writer's mark of, or an append that waits; None where it is neither."""
    found = _BESIDE.fullmatch(key.removeprefix(prefix)) if key.startswith(prefix) else None
    if not found or (found[4] and parse_waiting(found[4]) is None):
        return None
    try:
        return Log(prefix, check_session(found[1]), check_branch(found[2]))
    except Malformed:
        return None
