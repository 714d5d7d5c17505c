"""What the commands that plug in share: a sink by the environment, options, a progress bar."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from history_sink import ConfigurationError, HistorySink, ProducerSettings

FAULT = 3
"""The exit status for a fault: no such session, denied, the store away."""

_PATIENCE_SECONDS = 5.0

branch_option = click.option("--branch", help="A branch, as `history-sink status` names it, not the main log.")
latest_option = click.option("--latest", is_flag=True, help="The log that was written last, branch or not.")
json_option = click.option("--json", "as_json", is_flag=True, help="For programs: JSON on stdout.")
timeout_option = click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(0.1, 86_400),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for each answer.",
)


class Failure(click.ClickException):
    """Ends the command with a text on stderr and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.__dict__["exit_code"] = status


def choose_branch(branch: str | None, is_latest: bool) -> str | None:
    """What the two options mean together. Raises click's error where both are given."""
    if branch and is_latest:
        raise click.UsageError("--branch or --latest, not both")
    return "latest" if is_latest else branch


@contextmanager
def open_sink() -> Iterator[HistorySink]:
    """A sink by the environment, closed behind the block. Raises `ConfigurationError` where there is no broker."""
    with HistorySink(read_settings()) as sink:
        yield sink


@contextmanager
def open_reader() -> Iterator[HistorySink]:
    """The same for what reads and measures bytes as they are: no filter. It must save nothing."""
    with HistorySink(replace(read_settings(), filters=())) as sink:
        yield sink


def read_settings() -> ProducerSettings:
    """What the environment says, with little patience. Raises `ConfigurationError` where there is no broker."""
    settings = ProducerSettings.from_env()
    if not settings.is_enabled:
        raise ConfigurationError(
            "CODETETHER_HISTORY_BROKER_URL is not set. It says where the queue is, such as redis://host:6379/0"
        )
    return replace(settings, patience_seconds=_PATIENCE_SECONDS)


def find_user_home() -> Path:
    """Where the user's agents keep their files. Raises `ConfigurationError` where the user has no home."""
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigurationError("this user has no home folder; set HOME to that of the agents' user") from None


def describe_os_error(error: OSError) -> str:
    """In one line, with the file that it is about."""
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int], None]]:
    """How many bytes are done, on stderr where that is a terminal. Yields what is told of bytes more."""
    if not sys.stderr.isatty():
        yield lambda size_bytes: None
        return
    from rich.console import Console  # here: a command without a bar should not wait for its import
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda size_bytes: progress.advance(task, size_bytes)
