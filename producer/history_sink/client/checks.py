"""Checks of what the calls of a sink are given, before anybody is asked. Otherwise a worker or the broker is blamed."""

from collections.abc import Iterable, Mapping

from history_sink.errors import BadMessage, Malformed
from history_sink.protocol.contract import MAX_OFFSET, MOST_SESSIONS, check_branch
from history_sink.protocol.lines import Message
from history_sink.protocol.status import LATEST

LONGEST_SECONDS = 1_000_000.0
"""The longest wait: nobody means more, and clocks of the broker's and of threads have an end."""


def check_timeout(timeout_seconds: object) -> float:
    """How long to wait. Raises `Malformed`."""
    if isinstance(timeout_seconds, (int, float)) and 0 <= timeout_seconds <= LONGEST_SECONDS:  # NaN is not
        return float(timeout_seconds)
    raise Malformed(f"timeout_seconds is a number of seconds from 0 to {LONGEST_SECONDS:,.0f}")


def check_range(name: str, given: object) -> tuple[int, int] | None:
    """A half-open range, or None for all. Raises `Malformed`."""
    if given is None:
        return None
    if isinstance(given, (tuple, list)) and [type(each) for each in given] == [int, int]:
        start, end = given
        if 0 <= start <= end <= MAX_OFFSET:
            return start, end
    raise Malformed(f"{name} is a range of two integers, 0 <= start <= end < 2^64")


def check_limit(limit: object) -> int:
    """How many sessions a page may have. Raises `Malformed`."""
    if type(limit) is not int or not 1 <= limit <= MOST_SESSIONS:
        raise Malformed(f"limit is an integer from 1 to {MOST_SESSIONS:,}")
    return limit


def check_choice(branch: str | None) -> str | None:
    """A branch, None for the main log, or `LATEST`. Raises `Malformed`."""
    return branch if branch == LATEST else check_branch(branch)


def check_list(messages: Iterable[Message]) -> list[Message]:
    """The messages as a list.

    Raises `BadMessage` if it is one message in place of a list: a dict's keys, or a text's letters, would become lines.
    """
    if isinstance(messages, list):
        return messages
    is_one = isinstance(messages, (str, bytes, bytearray, memoryview, Mapping)) or hasattr(messages, "model_dump")
    if is_one or not isinstance(messages, Iterable):
        raise BadMessage(f"messages is a list of messages, not {type(messages).__name__}")
    return [*messages]
