"""A run of lines that continue one junction: what a save brings, and what an extent holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from history_sink.protocol.chain import START, Junction, shorten, split_lines, walk
from history_sink.protocol.filtering import is_rules
from history_sink.protocol.outcome import Parted
from history_sink_worker.archive.context import Fact
from history_sink_worker.archive.names import TailName
from history_sink_worker.store import Blob, Corrupt

_RULES = "hs-rules"


@dataclass(frozen=True)
class Piece:
    """`lines` (each with its newline) follow `start`. `points` are the junctions around them, the first `start`.

    Of an append also its `writer`, and the `position` in that writer's stream, if it is part of one.
    `rules` are those of the filters that have made the lines, which the base of a log keeps that begins with them.
    """

    start: Junction
    lines: tuple[bytes, ...]
    writer: str = ""
    position: int | None = None
    rules: str = ""

    @cached_property
    def points(self) -> tuple[Junction, ...]:
        return (self.start, *walk(self.start, self.lines))

    @property
    def end(self) -> Junction:
        return self.points[-1]

    @property
    def size_bytes(self) -> int:
        return self.end.offset - self.start.offset

    @property
    def body(self) -> bytes:
        return b"".join(self.lines)

    def drop(self, count: int) -> "Piece":
        """What is left without the first `count` lines."""
        dropped = self.points[count].offset - self.start.offset
        position = None if self.position is None else self.position + dropped
        return Piece(self.points[count], self.lines[count:], self.writer, position, self.rules)

    @property
    def parted(self) -> Parted:
        """Its start, told as the place where two histories part."""
        return Parted(self.start.messages, self.start.offset)

    @property
    def extent(self) -> TailName:
        return TailName(self.start.offset, shorten(self.start.chain))

    @property
    def stray(self) -> TailName:
        return TailName(self.start.offset, shorten(self.start.chain), shorten(self.end.chain), "stray")

    @property
    def undecided(self) -> TailName:
        return TailName(self.start.offset, shorten(self.start.chain), shorten(self.end.chain), "undecided")

    @property
    def fact(self) -> Fact:
        return Fact(self.end.messages, self.start.chain, self.end.chain, self.writer, self.position)


def cut_piece(body: bytes, offset: int, fact: Fact) -> Piece:
    """The piece that an object of the tail holds."""
    lines = tuple(split_lines(body))
    start = Junction(max(fact.messages - len(lines), 0), offset, fact.before)
    return Piece(start, lines, fact.writer, fact.position)


def read_piece(blob: Blob, name: TailName) -> Piece:
    """The piece that the object `name` of the tail holds. Raises `Corrupt` where its lines are not what it promises.

    The metadata that comes with the bytes decides. Since the look, a sweep may have freed the name, and another writer
    may have taken it for other lines.
    """
    fact = read_tail_meta(blob.info.meta, name)
    piece = cut_piece(blob.body, name.start, fact) if fact else None
    if not (piece and fact and piece.lines and piece.end.chain == fact.after):
        raise Corrupt(f"{name} does not hold the lines that its metadata promises: overwritten by a foreign writer")
    return piece


def whole_piece(lines: tuple[bytes, ...]) -> Piece:
    """A history from its first message."""
    return Piece(START, lines)


def write_meta(fact: Fact) -> dict[str, str]:
    """The user metadata of an object of the tail."""
    meta = {"hs-messages": str(fact.messages), "hs-before": fact.before.hex(), "hs-after": fact.after.hex()}
    if fact.writer:
        meta["hs-writer"] = fact.writer
    if fact.position is not None:
        meta["hs-position"] = str(fact.position)
    return meta


A_STREAM = "."
"""No writer's name."""


def read_beginner(meta: Mapping[str, str]) -> str:
    """Whose `append(after=…)` began the log, by the metadata of its base; `A_STREAM` where a stream did.

    "" where no append did, or it is not known.
    """
    return meta.get("hs-began") or (A_STREAM if "hs-position" in meta else meta.get("hs-writer", ""))


def write_beginner(meta: Mapping[str, str]) -> dict[str, str]:
    """What the metadata of the base that replaces this one must say of that."""
    beginner = read_beginner(meta)
    return {"hs-began": beginner} if beginner else {}


def write_rules(rules: str) -> dict[str, str]:
    """What a base says of the filters by which its first lines were made."""
    return {_RULES: rules} if rules else {}


def read_rules(meta: Mapping[str, str]) -> str:
    """What it says; "" where it says nothing, or what is no such text."""
    rules = meta.get(_RULES, "")
    return rules if is_rules(rules) else ""


def read_meta(meta: Mapping[str, str]) -> Fact | None:
    """What an object's metadata says; None for an object that this project did not write."""
    try:
        position = int(meta["hs-position"]) if "hs-position" in meta else None
        before, after = bytes.fromhex(meta["hs-before"]), bytes.fromhex(meta["hs-after"])
        fact = Fact(int(meta["hs-messages"]), before, after, meta.get("hs-writer", ""), position)
    except (KeyError, ValueError):
        return None
    return fact if len(fact.before) == len(fact.after) == 32 and fact.messages >= 0 else None


def read_tail_meta(meta: Mapping[str, str], name: TailName) -> Fact | None:
    """What the metadata of the object `name` says; None where it is not what the name promises."""
    fact = read_meta(meta)
    if fact is None or shorten(fact.before) != name.before or name.after not in ("", shorten(fact.after)):
        return None
    return fact
