"""The terminal's side of the command `history-sink`: exit statuses, errors in words, a progress bar."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

import click

from history_sink.errors import ConfigurationError, HistorySinkError, Unavailable
from history_sink.protocol.dashes import NamedGroup, take_names

FAILED, MISUSED, FAULT, UNAVAILABLE, TERMINATED = 1, 2, 3, 4, 143


PLUGINS = "history_sink.commands"
"""The group of entry points whose commands stand beside ours: watching, rendering, whatever else is installed."""

VARIANTS = "history_sink.variants"
"""The group of those that stand in for one of ours where an option is given: ``restore.into`` is ``restore --into``."""


class Failure(click.ClickException):
    """Ends the command with a text on stderr and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.__dict__["exit_code"] = status


class Commands(NamedGroup):
    """Errors of ours end as a text and an exit status. Anything else is a defect, and keeps its traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are written: the one that is needed first comes first."""
        return [*self.commands, *sorted(entry.name for entry in entry_points(group=PLUGINS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of ours, else one that plugs in."""
        own = super().get_command(ctx, cmd_name)
        return own or next((take_names(entry.load()) for entry in entry_points(group=PLUGINS, name=cmd_name)), None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named, or the one that its option makes of it."""
        name, command, left = super().resolve_command(ctx, args)
        options = {word.partition("=")[0] for word in (left[: left.index("--")] if "--" in left else left)}
        for entry in entry_points(group=VARIANTS):
            base, _, option = entry.name.partition(".")
            if base == name and f"--{option}" in options:
                command = entry.load()
        return name, command, left

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            raise Failure(str(error), MISUSED) from None
        except Unavailable as error:
            raise Failure(f"{end_sentence(error)} `history-sink check` looks for the reason", UNAVAILABLE) from None
        except HistorySinkError as error:
            raise Failure(str(error), FAILED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends it quietly: nobody reads on
                raise
            raise Failure(f"stdout cannot be written: {error.strerror}", FAILED) from None


def end_sentence(text: object) -> str:
    """With one full stop, or a question mark: texts from below come with and without."""
    sentence = str(text).rstrip(".")
    return sentence if sentence.endswith("?") else sentence + "."


@contextmanager
def show_progress(what: str, size_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr where that is a terminal, and else nothing.

    Yields a function to be told how many bytes more are done; `size_bytes` None: nobody knows how many there are.
    """
    if not sys.stderr.isatty():
        yield lambda done_bytes: None
        return
    # Here: a command without a bar should not wait for its import.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    progress = Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else what a program reads would end up on the terminal
    )
    with progress:
        task = progress.add_task(what, total=size_bytes)
        yield lambda done_bytes: progress.advance(task, done_bytes)
