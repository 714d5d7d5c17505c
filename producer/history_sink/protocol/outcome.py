"""The answers to a save: the sink's own (`Receipt`, `FlushResult`), and a worker's (`Outcome`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from history_sink.errors import Malformed
from history_sink.protocol.log_end import LogEnd, read_end

OutcomeKind: TypeAlias = Literal["stored", "duplicate", "pending", "diverged", "deleted", "conflict"]
NOT_ON_THE_LOG = frozenset({"conflict", "deleted", "diverged", "pending"})
"""Outcomes of lines that are not on the log."""

FlushState: TypeAlias = Literal[
    "stored",
    "unknown",
    "refused",
    "deleted",
    "disabled",
    "unreachable",
    "no_answers",
    "no_worker",
    "no_store",
    "clock",
    "time",
    "failed",
]
ReceiptState: TypeAlias = Literal["enqueued", "unchanged", "disabled", "unreachable", "refused"]


@dataclass(frozen=True, slots=True)
class Parted:
    """The last junction that a diverged history shares with its log."""

    messages: int
    offset: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker made of one upload. It is the task's result, and Flower shows it.

    `outcome` is one of:

    - ``stored``: the lines are on the log, and this task put at least one of them there.
    - ``duplicate``: all lines were on the log already.
    - ``pending``: the lines are in the store, and wait for the lines that come before them.
    - ``diverged``: the log has gone another way. The lines are kept whole beside it, at `key`.
    - ``deleted``: an operator has deleted the session. Nothing of this upload is kept.
    - ``conflict``: the log does not end where ``append(after=…)`` was told that it does. Nothing was written.

    `end` is where the log ends, of a ``conflict``; of an append, right behind its lines.
    """

    outcome: OutcomeKind
    session: str
    branch: str | None
    messages: int
    bytes: int
    key: str
    attempts: int = 1
    parted: Parted | None = None
    end: LogEnd | None = None

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields, `end` only where there is one."""
        fields = {name: getattr(self, name) for name in self.__slots__}  # `asdict` would copy each value, at some cost
        fields["parted"] = asdict(self.parted) if self.parted else None
        if self.end is None:
            del fields["end"]
        else:
            fields["end"] = asdict(self.end)
        return fields

    @classmethod
    def decode(cls, value: object) -> "Outcome":
        """Read the plain dict; unknown fields are ignored. Raises `Malformed`."""
        if not isinstance(value, Mapping):
            raise Malformed(f"an outcome is an object, not {type(value).__name__}")
        try:
            fields = {name: value[name] for name in cls.__slots__ if name != "end"}  # older workers tell none
            parted = fields.pop("parted")
            known = Parted(int(parted["messages"]), int(parted["offset"])) if parted else None
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(f"an outcome without {error}") from None
        if fields["outcome"] not in get_args(OutcomeKind):
            raise Malformed(f"an outcome is one of {', '.join(get_args(OutcomeKind))}")
        end = value.get("end")
        return cls(**fields, parted=known, end=None if end is None else read_end(end))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `save`, `append` and `extend` return, at once.

    `state` is one of:

    - ``enqueued``: the broker has accepted `messages` messages of `bytes` bytes, as the tasks `task_ids`.
    - ``unchanged``: there was nothing new.
    - ``disabled``: no broker is configured.
    - ``unreachable``: the broker did not accept all of it. The next call carries the rest: do not append it again.
    - ``refused``: the message at `index` cannot become a line; `reason` says why. The broker has accepted `messages` of
      the messages before it. If the broker is away, the next save carries the others.

    `replaced` counts the values that JSON cannot carry. `raw` counts the lines that are no JSON object, and that are
    kept as they are. `clock_ahead_seconds` is set if this machine's clock is known to differ from Redis's by 5 s or
    more; it is negative if this machine's clock is behind. `end` is where the history ends that was accepted; `extend`
    alone tells it. `filtered` counts what filters have done to the messages, by the names that they give it.
    """

    state: ReceiptState
    session: str
    branch: str | None = None
    messages: int = 0
    bytes: int = 0
    task_ids: tuple[str, ...] = ()
    reason: str | None = None
    index: int | None = None
    replaced: int = 0
    raw: int = 0
    clock_ahead_seconds: float | None = None
    end: LogEnd | None = None
    filtered: Mapping[str, int] = field(default_factory=dict)

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields."""
        return {**asdict(self), "task_ids": list(self.task_ids)}


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What `flush` found. It is true only if the store holds all of the session; else `reason` says why it is false.

    `state` is one of:

    - ``stored``: the store holds all of it.
    - ``unknown``: this sink has no such session.
    - ``refused``: a message cannot become a line. The messages before it are stored.
    - ``deleted``: an operator has deleted the session.
    - ``disabled``: no broker is configured.
    - ``unreachable``: the broker did not accept all of it.
    - ``no_answers``: there is no result store, so nobody can tell.
    - ``no_worker``: the time was up, and no worker had answered.
    - ``no_store``: the time was up. A worker had answered, but could not say what its store holds.
    - ``clock``: the time was up. Workers took the question for too old, because a clock is wrong.
    - ``time``: the time was up, and the store still lacked something.
    - ``failed``: an error of the library.
    """

    state: FlushState
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.state == "stored"
