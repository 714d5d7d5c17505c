"""The payload of an append: lines that go to wherever the log ends. See docs/adr/0013."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.chain import Junction
from history_sink.protocol.contract import APPEND_VERSION, check_branch
from history_sink.protocol.filtering import read_rules
from history_sink.protocol.log_end import read_end, take_end
from history_sink.protocol.packing import pack_lines, read_natural, unpack_lines
from history_sink.protocol.upload import check_junction, decode_chain

_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A batch's `place` in its writer's own history, which has saves that the store has not confirmed.

    `is_first`: the batch is the stream's first since those saves, so `place` is where they end.
    """

    place: Junction
    is_first: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Bytes of one writer's stream to one log: `lines` (each with its newline), from its byte `position` on.

    `anchor` is set while the writer's history up to here has saves that the store has not confirmed: the lines wait for
    those, and go where those go. `fence` is the log's end as the writer learned it from the store
    before its stream began. `after` is for a batch of its own, whose `position` is None: it goes there or nowhere.
    `rules` are those of the filters that have made the lines, for a log that begins with them.
    """

    branch: str | None
    writer: str
    position: int | None
    lines: tuple[bytes, ...] = field(repr=False)  # a repr ends up in somebody's log
    anchor: Anchor | None = None
    fence: Junction | None = None
    after: Junction | None = None
    rules: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.lines))

    def encode(self) -> dict[str, Any]:
        """The keyword arguments of the task, behind ``(session_id, None)``."""
        places = {"anchor": self.anchor.place if self.anchor else None, "fence": self.fence, "after": self.after}
        known = {name: _encode_place(place) for name, place in places.items() if place is not None}
        if self.position is not None:
            known["position"] = self.position
        if self.anchor is not None and self.anchor.is_first:
            known["is_first"] = True
        return {"v": APPEND_VERSION, "branch": self.branch, "writer": self.writer, **known, **pack_lines(self.lines)}

    @classmethod
    def decode(cls, fields: Mapping[str, Any]) -> "Batch":
        """Read the keyword arguments; unpacks at most `size_bytes`. Raises `Malformed`."""
        position, after = fields.get("position"), _decode_place(fields, "after")
        anchor, is_first = _decode_place(fields, "anchor"), fields.get("is_first", False)
        if (position is None) == (after is None):
            raise Malformed("an append has either position or after")
        if type(is_first) is not bool or (is_first and anchor is None):
            raise Malformed("is_first is true or false, and comes with an anchor")
        lines = unpack_lines(fields)
        if position is not None and read_natural(fields, "position") + sum(map(len, lines)) >= 10**12:
            raise Malformed("position is beyond the 12 digits of an object's name")
        return cls(
            branch=check_branch(fields.get("branch")),
            writer=check_writer(fields.get("writer")),
            position=position,
            lines=lines,
            anchor=Anchor(anchor, is_first) if anchor else None,
            fence=_decode_place(fields, "fence"),
            after=after,
            rules=read_rules(fields),
        )


def _encode_place(place: Junction) -> Any:
    return [place.messages, place.offset, place.chain.hex()]


def _decode_place(fields: Mapping[str, Any], name: str) -> Junction | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, Mapping):  # as an outcome's `end` has it
        return check_junction(take_end(read_end(value)))
    if not isinstance(value, (list, tuple)) or [type(part) for part in value] != [int, int, str]:
        raise Malformed(f"{name} is a place: messages, bytes and the chain there, in 64 hex digits")
    messages, offset, chain = value
    return check_junction(Junction(messages, offset, decode_chain(chain)))


def check_writer(writer: object) -> str:
    """Return `writer`, or raise `Malformed`: 1 to 64 of ``A-Z a-z 0-9 _ -``."""
    if not isinstance(writer, str) or not _WRITER.fullmatch(writer):
        raise Malformed("a writer is 1 to 64 of A-Z a-z 0-9 _ -")
    return writer
