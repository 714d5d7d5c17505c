"""How far the store is with a session: the answer of the task `status`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.log_end import LogEnd

LATEST = "latest"
"""In place of a branch: the log that was written last, be it the main one or a branch."""

_NUMBERS = frozenset({"messages", "bytes", "base_bytes", "common", "start", "end", "pending"})
_OPTIONAL = frozenset({"full_chain", "placed", "rules", "filtered"})  # older workers do not tell it


@dataclass(frozen=True, slots=True)
class LogStatus:
    """One log: its end (`messages`, `bytes`, `chain`, 16 hex digits) and what of it the base holds.

    `last_write` is when lines last came to it, a Unix time in seconds; strays beside it do not count. `common` is the
    offset of the last of the asked junctions that lies on this log, 0 when none does. `full_chain` is the chain in all
    its 64 digits; None where an older worker has answered. `placed` says how many bytes of each of the asked writers'
    streams are on this log (docs/adr/0013). `rules` are those of the filters that have made its first lines, as their
    writer has told; "" where there were none, or nobody has told.
    """

    branch: str | None
    key: str
    messages: int
    bytes: int
    chain: str
    base_bytes: int
    last_write: float
    common: int = 0
    full_chain: str | None = None
    placed: Mapping[str, int] = field(default_factory=dict)
    rules: str = ""

    @property
    def end(self) -> LogEnd | None:
        """Where it ends, for `extend`; None where an older worker has answered."""
        return LogEnd(self.messages, self.bytes, self.full_chain, self.branch) if self.full_chain else None


@dataclass(frozen=True, slots=True)
class StrayStatus:
    """Lines of a writer that parted from the log without knowing: bytes ``[start, end)`` of its own history.

    `messages` counts those of that history before `end`.
    """

    key: str
    start: int
    end: int
    messages: int


@dataclass(frozen=True, slots=True)
class Status:
    """All logs of a session, the main one (``branch`` None) first, and what lies beside them.

    `pending` counts objects that wait for what comes before them. `filtered` counts what the filters of the sink that
    asks have done to what it has handed over of the session, by rule; no worker tells it.
    """

    bucket: str
    prefix: str
    session: str
    logs: tuple[LogStatus, ...] = ()
    strays: tuple[StrayStatus, ...] = ()
    pending: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)

    @property
    def written_later(self) -> LogStatus | None:
        """The branch that was written last, if that was after the main log: after an undo the history goes on there."""
        main = max((log.last_write for log in self.logs if log.branch is None), default=0.0)
        newest = max(self.logs, key=lambda log: log.last_write, default=None)
        return newest if newest and newest.branch and newest.last_write > main else None

    @property
    def latest(self) -> LogStatus | None:
        """The log that was written last: `written_later`, else the main log; None where there is neither."""
        return self.written_later or next((log for log in self.logs if log.branch is None), None)

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields."""
        return asdict(self)

    @classmethod
    def decode(cls, value: object) -> "Status":
        """Read the plain dict; unknown fields are ignored. Raises `Malformed`."""
        try:
            fields = _pick(cls, value)
            fields["logs"] = tuple(_read_log(log) for log in fields["logs"])
            fields["strays"] = tuple(StrayStatus(**_pick(StrayStatus, stray)) for stray in fields["strays"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise Malformed(f"a status without {error}") from None


def _read_log(value: object) -> LogStatus:
    told = LogStatus(**_pick(LogStatus, value))
    if not isinstance(told.placed, Mapping) or not all(type(end) is int for end in told.placed.values()):
        raise TypeError("placed, integers by writer")
    if not isinstance(told.rules, str):
        raise TypeError("rules, a text")
    return told


def _pick(kind: type, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"an object for {kind.__name__}")
    names = [name for name in kind.__slots__ if name in value or name not in _OPTIONAL]  # type: ignore[attr-defined]  # a slotted dataclass
    picked = {name: value[name] for name in names}
    for name in _NUMBERS & picked.keys():
        if type(picked[name]) is not int:
            raise TypeError(f"{name}, an integer")
    return picked
