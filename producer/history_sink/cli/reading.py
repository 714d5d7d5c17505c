"""The commands `restore` and `resolve`: a whole log as a file, and any bytes of it."""

import json
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from history_sink.cli import output
from history_sink.cli.arguments import (
    SPAN,
    branch_option,
    json_option,
    latest_option,
    open_sink,
    session_argument,
    stored_option,
    timeout_option,
)
from history_sink.cli.terminal import FAILED, FAULT, Failure, show_progress
from history_sink.client.guard import UNOPENED
from history_sink.openers import Opening
from history_sink.protocol.pointer import Fault
from history_sink.protocol.status import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from history_sink.protocol.status import Status


@click.command()
@session_argument
@click.argument("file", metavar="FILE | --into AGENT", type=click.Path(dir_okay=False, allow_dash=True))
@branch_option
@latest_option
@click.option("--stray", metavar="KEY", help="The history that ends in this stray, as `status` names it.")
@click.option("--force", is_flag=True, help="Take the place of FILE if it exists.")
@stored_option
@timeout_option
@json_option
def restore(
    session: str,
    file: str,
    branch: str | None,
    latest: bool,
    stray: str | None,
    force: bool,
    stored: bool,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Write the log of SESSION to FILE, whole.

    Byte for byte, whatever its size; sealed lines are opened where the key is. FILE comes into being complete and on
    disk or not at all, and only if its chain of hashes is the one that the store names. It is
    readable by you alone. Of a session that is being written to, it has what was there at the start. - is stdout: there
    the bytes go as they come, what is said goes to stderr, and bytes that are not those of the store are told by the
    exit status.

    \b
    Back into the agent that wrote it, with all that it stands on, so that the agent's own resume finds it:
      history-sink restore SESSION --into AGENT
      history-sink restore --into AGENT --help
    """
    from history_sink.client import ranges as restoring

    if sum(map(bool, (branch, latest, stray))) > 1:
        raise click.UsageError("one of --branch, --latest and --stray")
    is_piped = file == "-"
    with open_sink() as sink:
        opening = Opening(sink.filters)
        try:
            status = sink.status(session, timeout_seconds)
            source = restoring.find_source(status, LATEST if latest else branch, stray)
            _tell_later(status, branch or stray, latest)
            whole = nullcontext(sys.stdout.buffer) if is_piped else restoring.create_whole(Path(file), force)
            with whole as out, show_progress(f"restoring {session}", source.end) as advance:
                ask = partial(sink.resolve, timeout_seconds=timeout_seconds, stored=True)
                begin = partial(sink._reading.begin, timeout_seconds=timeout_seconds)
                change = _keep if stored else partial(opening.open_log, session)
                meter = restoring.write_out(ask, source, out, advance, change, begin)
        except (restoring.NotFound, restoring.Faulted) as error:
            raise Failure(str(error), FAULT) from None
        except FileExistsError as error:
            raise Failure(f"{error}; --force takes its place", FAILED) from None
        except OSError as error:
            if is_piped:
                raise
            raise Failure(f"{file} cannot be written: {error.strerror}", FAILED) from None
    click.echo(output.describe_restored(session, file, source, meter, opening, as_json), err=is_piped)
    _tell_sealed(session, opening)


def _keep(pieces: "Iterator[bytes]") -> "Iterator[bytes]":
    return pieces


def _tell_sealed(session: str, opening: Opening) -> None:
    if opening.sealed:
        click.echo(f"session {session} {UNOPENED} ({output.count(opening.sealed, 'line')})", err=True)


def _tell_later(status: "Status", chosen: str | None, latest: bool) -> None:
    note = output.describe_later(status)
    if note and not chosen:
        click.echo(f"{note}; this is {'it' if latest else 'the main log, --latest reads the branch'}", err=True)


@click.command()
@session_argument
@click.option("--bytes", "byte_range", type=SPAN, help="Only these bytes, counted from 0; A: is all from A on.")
@click.option("--messages", type=SPAN, help="Only these messages, counted from 0.")
@branch_option
@latest_option
@stored_option
@timeout_option
def resolve(
    session: str,
    byte_range: tuple[int, int] | None,
    messages: tuple[int, int] | None,
    branch: str | None,
    latest: bool,
    stored: bool,
    timeout_seconds: float,
) -> None:
    """Write bytes of SESSION's log to stdout.

    All of it, or a range A:B, half-open; one that goes past the end stops there. Sealed lines that are whole in it are
    opened where the key is; offsets are those of the stored bytes. If there is nothing to write, stderr
    has the fault as a JSON object, such as {"kind": "no_match"}, and the exit status is 3. One answer is at most 8 MiB,
    or as the worker is set; `restore` gets logs of any size.
    """
    from history_sink.client.ranges import Faulted, NotFound

    if byte_range and messages:
        raise click.UsageError("--bytes or --messages, not both")
    if branch and latest:
        raise click.UsageError("--branch or --latest, not both")
    with open_sink() as sink:
        try:
            choice = LATEST if latest else branch
            handle = sink.pointer(session, messages, byte_range, timeout_seconds, choice)
            answer = sink.resolve(handle, timeout_seconds, stored=True)
            if not branch and not isinstance(answer, Fault):
                _tell_later(sink.status(session, timeout_seconds), branch, latest)
        except NotFound:
            answer = Fault("no_match")
        except Faulted as error:
            answer = error.fault
    if isinstance(answer, Fault):
        click.echo(json.dumps(answer.encode()), err=True)
        raise click.exceptions.Exit(FAULT)
    opening = Opening(sink.filters)
    click.echo(answer if stored else opening.open_range(handle.key, answer, (handle.byte_range or (0, 0))[0]), nl=False)
    _tell_sealed(session, opening)
