"""A page: what is known of one message of a history beside the message itself. And a fault that concerns one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from history_sink import Fault, PointerHandle
from history_sink_agents.pages.kinds import Level, PageKind, degradation_path, min_fidelity


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of one message.

    `key` names its content. `text` stands in for it at the levels ``compressed`` and ``structured``, where somebody has
    given one. `handle` says where the archive has it. `shown` has the keys of messages that have stood in for it, each
    with its level.
    """

    key: str
    kind: PageKind
    level: Level = "full"
    is_pinned: bool = False
    text: str | None = field(default=None, repr=False)
    handle: PointerHandle | None = None
    shown: Mapping[str, Level] = field(default_factory=dict)

    @property
    def rule(self) -> PageKind:
        """The kind whose rules hold for it: a pinned page is a constraint, whatever else it is."""
        return "constraint" if self.is_pinned else self.kind

    @property
    def path(self) -> tuple[Level, ...]:
        """The levels that it may have, the richest first."""
        return degradation_path(self.rule)

    @property
    def minimum(self) -> Level:
        """The least level that it may have."""
        return min_fidelity(self.rule)

    @property
    def is_invariant(self) -> bool:
        """Whether each context must have it."""
        return self.rule in ("bootstrap", "constraint")

    @property
    def is_plain(self) -> bool:
        """Whether nothing is known of it that its message does not tell."""
        is_given = self.kind in ("constraint", "plan", "preference") or self.is_pinned
        return not is_given and self.level == "full" and self.text is None and self.handle is None


@dataclass(frozen=True, slots=True)
class PageFault:
    """Something that went wrong with the page of message `number`, counted from 0.

    `fault` has the field's kind and wire form, `detail` says more in words that hold no content. `handle` is where the
    archive has what is missed, and `size_bytes` how much was fetched again.
    """

    fault: Fault
    number: int
    detail: str = ""
    handle: PointerHandle | None = None
    size_bytes: int = 0

    @property
    def kind(self) -> str:
        """The fault's kind."""
        return self.fault.kind

    def encode(self) -> dict[str, Any]:
        """A plain dict for JSON: the fault's wire form, and what is known of the page."""
        handle = self.handle.encode() if self.handle else None
        beside = {"number": self.number, "detail": self.detail, "handle": handle, "size_bytes": self.size_bytes}
        return {**self.fault.encode(), **beside}


class Fetched(NamedTuple):
    """What `Pages.fetch` returns: the line, and a fault ``refetch`` with its bytes; or no line, and why not."""

    line: bytes | None
    fault: PageFault
