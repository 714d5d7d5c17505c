"""The queue, the results and the hints, as a Redis may have them."""

from dataclasses import dataclass, field
from typing import Any

from history_sink.transport.results import Answer
from history_sink_worker.archive.hint import Hint

NEVER = float("inf")


@dataclass(frozen=True, eq=False)
class Message:
    """One task on its way. `name` is its id."""

    name: str
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    expires_at: float = NEVER


@dataclass
class Queue:
    """`late` were published, the publisher was told that they were not, and they have not arrived yet."""

    waiting: list[Message] = field(default_factory=list)
    late: list[Message] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    names: int = 0

    def make(self, task: str, args: Any, kwargs: Any, expires_at: float = NEVER) -> Message:
        self.names += 1
        return Message(f"#{self.names}", task, tuple(args), dict(kwargs), expires_at)


class MovedHints:
    """Hints that moves lose, roll back, or keep from being written."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Hint]] = {}
        self.refused = 0

    def get(self, root: str) -> Hint | None:
        hints = self.kept.get(root)
        return hints[-1] if hints else None

    def put(self, root: str, hint: Hint) -> None:
        if self.refused:
            self.refused -= 1
            return
        self.kept.setdefault(root, []).append(hint)

    def spoil(self, how: int) -> str:
        """Do one of these; what was done."""
        if how == 0:
            self.kept.clear()
            return "all hints are lost"
        if how == 1:
            for hints in self.kept.values():
                del hints[-2:-1]
                hints.reverse()
            return "hints are rolled back"
        self.refused = 1
        return "the next hint is not kept"
