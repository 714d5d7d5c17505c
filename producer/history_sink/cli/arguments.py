"""What the command `history-sink` takes: its variables, sessions, branches, ranges, and options that commands share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from history_sink.client.checks import LONGEST_SECONDS, check_timeout
from history_sink.errors import ConfigurationError, Malformed
from history_sink.protocol.contract import MAX_OFFSET, check_branch, check_session
from history_sink.protocol.listing import check_beginning, check_fields
from history_sink.protocol.status import LATEST
from history_sink.settings import BROKER_URL, ProducerSettings

if TYPE_CHECKING:
    from history_sink.sink import HistorySink

    _SpanParam = click.ParamType[tuple[int, int]]
    _TextParam = click.ParamType[str]
    _FieldsParam = click.ParamType[tuple[str, ...]]
    _SecondsParam = click.ParamType[float]
else:
    _SpanParam = _TextParam = _FieldsParam = _SecondsParam = click.ParamType  # older ones take no types when they run


class SpanType(_SpanParam):
    """``A:B``, half-open; either may be left out."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        first, colon, last = str(value).partition(":")
        if not colon or not all(part.isascii() and part.isdigit() for part in (first, last) if part):
            self.fail(f"{value!r} is no range such as 0:100, 100: or :100", param, ctx)
        start, stop = int(first or 0), int(last) if last else MAX_OFFSET
        if not start <= stop <= MAX_OFFSET:
            self.fail(f"{value!r} ends before it starts, or beyond 2^64 - 1", param, ctx)
        return start, stop


class SessionType(_TextParam):
    """A session id."""

    name = "session"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_session(value)
        except Malformed as error:
            self.fail(str(error), param, ctx)


class BranchType(_TextParam):
    """A branch, as `status` names it."""

    name = "branch"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_branch(value) or ""
        except Malformed:
            found = (
                "--latest is the option for the log that was written last"
                if value == LATEST
                else ("`history-sink status SESSION` names them")
            )
            self.fail(f"{value!r} is no branch; {found}", param, ctx)


class BeginningType(_TextParam):
    """How session ids begin."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_beginning(value)
        except Malformed as error:
            self.fail(str(error), param, ctx)


class FieldsType(_FieldsParam):
    """Names of what is to be told of a session, with commas between."""

    name = "fields"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return check_fields(name.strip() for name in str(value).split(",") if name.strip()) or ()
        except Malformed as error:
            self.fail(str(error), param, ctx)


_LEAST_SECONDS = 0.1

PATIENCE_SECONDS = 5.0
"""How long the broker may take to answer a command. A Redis that waits for its disk is slow, and not away."""


class SecondsType(_SecondsParam):
    """How long to wait."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = check_timeout(float(value))
        except (ValueError, Malformed):
            seconds = 0.0
        if seconds < _LEAST_SECONDS:
            self.fail(f"{value!r} is no number of seconds from {_LEAST_SECONDS} to {LONGEST_SECONDS:,.0f}", param, ctx)
        return seconds


session_argument = click.argument("session", type=SessionType(), metavar="SESSION")

branch_option = click.option("--branch", type=BranchType(), help="A branch, as `status` names it, not the main log.")

latest_option = click.option("--latest", is_flag=True, help="The log that was written last, branch or not.")

stored_option = click.option("--stored", is_flag=True, help="Sealed lines as they are stored, not opened.")

json_option = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line on stdout.")

timeout_option = click.option(
    "--timeout",
    "timeout_seconds",
    type=SecondsType(),
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
