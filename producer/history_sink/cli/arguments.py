"""What the commands of `history-sink` take: variables, options that they share, and what is read from an argument."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from history_sink.client.checks import LONGEST_SECONDS, check_timeout
from history_sink.errors import ConfigurationError, Malformed
from history_sink.protocol.contract import MAX_OFFSET, check_branch, check_session
from history_sink.protocol.status import LATEST
from history_sink.settings import BROKER_URL, ProducerSettings

if TYPE_CHECKING:
    from history_sink.sink import HistorySink

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # older ones take no types when they run

PATIENCE_SECONDS = 5.0
"""How long the broker may take to answer a command. A Redis that waits for its disk is slow, and not away."""

_LEAST_SECONDS = 0.1


class Checked(_ParamType):
    """A text that is read by a function. What the function raises as `Malformed` is told as wrong usage."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):  # a default, or what was read before
            return value
        try:
            return self._read(value)
        except Malformed as error:
            self.fail(str(error), param, ctx)


def _read_span(text: str) -> tuple[int, int]:
    """``A:B``, half-open; either may be left out."""
    first, colon, last = text.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() for part in (first, last) if part):
        raise Malformed(f"{text!r} is no range such as 0:100, 100: or :100")
    start, stop = int(first or 0), int(last) if last else MAX_OFFSET
    if not start <= stop <= MAX_OFFSET:
        raise Malformed(f"{text!r} ends before it starts, or beyond 2^64 - 1")
    return start, stop


def _read_branch(text: str) -> str | None:
    try:
        return check_branch(text)
    except Malformed:
        hint = "`history-sink status SESSION` names them"
        if text == LATEST:
            hint = "--latest is the option for the log that was written last"
        raise Malformed(f"{text!r} is no branch; {hint}") from None


def _read_seconds(text: str) -> float:
    try:
        seconds = check_timeout(float(text))
    except (ValueError, Malformed):
        seconds = 0.0
    if seconds < _LEAST_SECONDS:
        raise Malformed(f"{text!r} is no number of seconds from {_LEAST_SECONDS} to {LONGEST_SECONDS:,.0f}")
    return seconds


SPAN = Checked("A:B", _read_span)
SESSION = Checked("session", check_session)
BRANCH = Checked("branch", _read_branch)
SECONDS = Checked("seconds", _read_seconds)

session_argument = click.argument("session", type=SESSION, metavar="SESSION")

branch_option = click.option("--branch", type=BRANCH, help="A branch, as `status` names it, not the main log.")

latest_option = click.option("--latest", is_flag=True, help="The log that was written last, branch or not.")

stored_option = click.option("--stored", is_flag=True, help="Sealed lines as they are stored, not opened.")

json_option = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line on stdout.")

timeout_option = click.option(
    "--timeout",
    "timeout_seconds",
    type=SECONDS,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for each answer.",
)


def read_settings() -> ProducerSettings:
    """From the environment. Raises `ConfigurationError` where a library would be disabled: a command has to work."""
    settings = ProducerSettings.from_env()
    if not settings.is_enabled:
        raise ConfigurationError(f"{BROKER_URL} is not set. It says where the queue is, such as redis://host:6379/0")
    return replace(settings, patience_seconds=PATIENCE_SECONDS)


@contextmanager
def open_sink() -> "Iterator[HistorySink]":
    """A sink by the environment, closed behind the block."""
    settings = read_settings()
    from history_sink.sink import HistorySink

    with HistorySink(settings) as sink:
        yield sink
