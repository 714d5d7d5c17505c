"""What the operator's commands have in common."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from history_sink.errors import ConfigurationError, Malformed
from history_sink.protocol.contract import check_session
from history_sink.protocol.dashes import INTERRUPTED
from history_sink.protocol.tenants import TENANT, read_tenant
from history_sink_worker import log
from history_sink_worker.foreign_environment import forget, refuse_talkative
from history_sink_worker.service.service import Service, make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import StoreError

UNFINISHED = 2
"""The exit status where the store ended a pass over what is stored."""


def open_service(is_for_all: bool = False) -> Service:
    """As a worker would; ends the process if it is not configured, or does not say for which of several tenants."""
    log.configure(logging.WARNING)
    forget(os.environ)
    try:
        refuse_talkative(os.environ)
        settings = WorkerSettings.from_env()
        return make_service(settings if is_for_all else choose_tenant(settings))
    except ConfigurationError as error:
        sys.exit(f"history-sink-worker: {error}")


def choose_tenant(settings: WorkerSettings) -> WorkerSettings:
    """The settings for the tenant that the environment names. Raises ConfigurationError where it names none of them."""
    tenants, named = settings.broker.tenants, read_tenant(os.environ.get(TENANT))
    if named is not None and named not in tenants:
        raise ConfigurationError(f"{TENANT} is none of this deployment's tenants")
    if not tenants or settings.tenant is not None:
        return settings
    if named is None:
        raise ConfigurationError(f"there are {len(tenants)} tenants: set {TENANT} to one of them")
    return settings.for_tenant(named)


def read_session(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """A session's id as an argument, checked."""
    try:
        return None if name is None else check_session(name)
    except Malformed as error:
        raise click.BadParameter(str(error)) from None


def open_progress(quiet: bool = False) -> Progress:
    """One line on stderr that changes, and only on a terminal: stdout is for programs."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    return Progress(
        *columns,
        console=console,
        transient=True,
        # Above the line, where both are one terminal. A file's output would otherwise go to stderr, too.
        redirect_stdout=sys.stdout.isatty(),
        disable=quiet or not console.is_terminal,
    )


@contextmanager
def looking_over(sum_up: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    """Show how far a pass over what is stored is. Yields what takes the text to show.

    Ends the process with `UNFINISHED` where the store is in the way. Ctrl-C ends it with what `sum_up` says.
    """
    with open_progress() as progress:
        task = progress.add_task("", total=None)
        try:
            with giving_up(UNFINISHED):
                yield lambda text: progress.update(task, description=text)
        except KeyboardInterrupt:
            progress.stop()
            click.echo(f"interrupted after {sum_up()}", err=True)
            sys.exit(INTERRUPTED)


@contextmanager
def giving_up(status: int = 1) -> Iterator[None]:
    """End the process with `status`, and say why, where the store is in the way."""
    try:
        yield
    except StoreError as error:
        print(f"history-sink-worker: {error}", file=sys.stderr)
        sys.exit(status)
