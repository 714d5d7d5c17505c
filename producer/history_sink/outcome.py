"""What a save was answered: at once (`Receipt`) and by the worker (`Outcome`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from history_sink.errors import Malformed

OutcomeKind: TypeAlias = Literal["stored", "duplicate", "pending", "diverged", "deleted"]
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
    "parted",
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
    """What became of one upload: the task's result, and what Flower shows.

    ``stored``: on the log, by this task. ``duplicate``: it was there. ``pending``: durable, waiting for what
    comes before it. ``diverged``: kept whole at `key`, beside the log, which has gone another way. ``deleted``: an
    operator has deleted the session, and nothing is kept of this.
    """

    outcome: OutcomeKind
    session: str
    branch: str | None
    messages: int
    bytes: int
    key: str
    attempts: int = 1
    parted: Parted | None = None

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields."""
        return asdict(self)

    @classmethod
    def decode(cls, value: object) -> "Outcome":
        """Read the plain dict; unknown fields are ignored. Raises `Malformed`."""
        if not isinstance(value, Mapping):
            raise Malformed(f"an outcome is an object, not {type(value).__name__}")
        try:
            fields = {name: value[name] for name in cls.__slots__}
            parted = fields.pop("parted")
            known = Parted(int(parted["messages"]), int(parted["offset"])) if parted else None
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(f"an outcome without {error}") from None
        if fields["outcome"] not in get_args(OutcomeKind):
            raise Malformed(f"an outcome is one of {', '.join(get_args(OutcomeKind))}")
        return cls(**fields, parted=known)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `save` and `append` return, at once.

    ``enqueued``: the broker has accepted `messages` messages of `bytes` bytes, as the tasks `task_ids`.
    ``unchanged``: nothing new. ``disabled``: no broker is configured. ``unreachable``: the broker did not accept
    all of it; the next save carries the rest. ``refused``: the message at `index` cannot be a line (`reason`);
    of what came before it `messages` were handed over, and
    the rest, if the broker is away, goes with the next save. `replaced` counts values that JSON cannot carry, `raw`
    lines that are no JSON object: they are kept as they are. `clock_ahead_seconds` (negative: behind) is told where
    this machine's clock is known to differ from Redis's by 5 s or more.
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

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields."""
        return {**asdict(self), "task_ids": list(self.task_ids)}


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What `flush` found; true only when the store holds all of it, and `reason` says in words why it is not.

    ``unknown``: this sink has no such session. ``refused``: a message cannot be a line; those before it are stored.
    ``deleted``: an operator has deleted the session. ``disabled``: no broker is configured. ``unreachable``: the
    broker did not take all. ``no_answers``: there is no result store. When the time was up: ``no_worker``, none had
    answered; ``no_store``, one had, but not with what its store holds; ``clock``, workers took the question for too
    old, as a clock is wrong; ``time``, the store lacked something still. ``parted``: another writer's lines are on the
    log, and this history, whose beginning is let go of, is kept whole beside it. ``failed``: an error of ours.
    """

    state: FlushState
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.state == "stored"
