"""Where a log ends, as callers see it: a junction, and the log that it is on."""

from collections.abc import Mapping
from dataclasses import dataclass

from history_sink.errors import Malformed
from history_sink.protocol.chain import ORIGIN, Junction, shorten
from history_sink.protocol.contract import branch_name, check_branch


@dataclass(frozen=True, slots=True)
class LogEnd:
    """A place on a log, mostly its end: `messages` and `bytes` before it, and the `chain` there in 64 hex digits.

    The chain names all that comes before: two histories that share it are the same up to there, byte for byte. `branch`
    is the log; None is the main one. ``LogEnd()`` is the beginning of the main log.
    """

    messages: int = 0
    bytes: int = 0
    chain: str = ORIGIN.hex()
    branch: str | None = None

    @property
    def as_branch(self) -> str:
        """The branch to open for a history if this is the place behind its first line that is on no log."""
        return branch_name(self.bytes, self.chain16)

    @property
    def chain16(self) -> str:
        """The chain's first 16 hex digits, as in `LogStatus.chain`."""
        return self.chain[:16]


def make_end(junction: Junction, branch: str | None) -> LogEnd:
    """The end of `branch` that lies at `junction`."""
    return LogEnd(junction.messages, junction.offset, junction.chain.hex(), branch)


def take_end(end: object) -> Junction:
    """The junction that a caller means. Raises `Malformed`."""
    if not isinstance(end, LogEnd):
        raise Malformed(f"after is a LogEnd, not {type(end).__name__}")
    check_branch(end.branch)
    try:
        chain = bytes.fromhex(end.chain)
    except (TypeError, ValueError):
        chain = b""
    is_natural = all(type(each) is int and each >= 0 for each in (end.messages, end.bytes))
    if len(chain) != len(ORIGIN) or not is_natural or (end.bytes == 0) != (chain == ORIGIN):
        raise Malformed("a LogEnd has counts from 0 and a chain of 64 hex digits, all 0 at byte 0 and nowhere else")
    return Junction(end.messages, end.bytes, chain)


def point_at(end: LogEnd) -> tuple[int, str]:
    """What the task `status` asks about: offset and chain16. Raises `Malformed`."""
    junction = take_end(end)
    return junction.offset, shorten(junction.chain)


def read_end(value: object) -> LogEnd:
    """The end in a plain dict, as `asdict` writes it. Raises `Malformed`."""
    if not isinstance(value, Mapping):
        raise Malformed(f"an end is an object, not {type(value).__name__}")
    end = LogEnd(**{name: value[name] for name in LogEnd.__slots__ if name in value})
    take_end(end)
    return end
