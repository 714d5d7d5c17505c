"""The command `history-sink`: save transcripts, find them, get them back, and see whether all of it works."""

import json
import logging
import signal
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from history_sink.cli import output
from history_sink.cli.arguments import (
    BeginningType,
    FieldsType,
    SecondsType,
    SessionType,
    SpanType,
    branch_option,
    json_option,
    latest_option,
    open_sink,
    read_settings,
    session_argument,
    stored_option,
    timeout_option,
)
from history_sink.cli.recall import recall
from history_sink.cli.terminal import FAILED, FAULT, TERMINATED, UNAVAILABLE, Commands, Failure, show_progress
from history_sink.client.guard import UNOPENED
from history_sink.openers import Opening
from history_sink.protocol.contract import MOST_SESSIONS
from history_sink.protocol.listing import BY_LOOK, FIELDS, SessionSummary
from history_sink.protocol.pointer import Fault
from history_sink.protocol.status import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from history_sink.cli.backfill import Backfill
    from history_sink.cli.files import NameFrom
    from history_sink.protocol.status import Status

_PAGE_SESSIONS = 50
"""So many are looked at in one answer, which has to come in time."""

_SHOWN_FIELDS = tuple(name for name in FIELDS if name != "chain")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(package_name="history-sink")
def main() -> None:
    """Keep agents' transcripts in an append-only archive, and get any byte of them back.

    Talks to the workers through the queue that CODETETHER_HISTORY_BROKER_URL names (such as redis://host:6379/0), and
    needs no credential of the store. If something does not work, `history-sink check` says what.

    \b
    Exit status:
      0    all of it is done
      1    some of it is not (a line, a file, a check); stderr says what
      2    wrong usage, or a variable that is unset or malformed
      3    a fault: no such session, nothing in that range, denied, the store away
      4    the broker is away, or no worker answered in time; try again later
      130  ended by Ctrl-C
    """
    signal.signal(signal.SIGTERM, _terminate)  # so that a file half restored does not stay behind
    logging.getLogger("history_sink").setLevel(logging.ERROR)  # warnings: the command says the same in its own words


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


@main.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--session", type=SessionType(), help="Save as this session.  [default: the file's name without its ending]"
)
@click.option(
    "--name-from",
    type=click.Choice(["name", "path"]),
    default="name",
    show_default=True,
    help="What each session is named after; path: files of one name in different folders are different sessions.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent to which sessions, and send nothing.")
@click.option("--no-wait", is_flag=True, help="End when the broker has it all, without waiting for the store.")
@click.option(
    "--timeout", "timeout_seconds", type=SecondsType(), default=60.0, show_default=True, metavar="SECONDS",
    help="How long the store may take for each file, and for each 8 MiB of one.",
)  # fmt: skip
@json_option
def save(
    files: tuple[Path, ...],
    session: str | None,
    name_from: "NameFrom",
    dry_run: bool,
    no_wait: bool,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Save transcripts, new or grown, into the archive.

    A FILE is JSONL, one message a line; - is stdin, read to its end. In place of a directory its *.jsonl files at any
    depth are saved, each as the session that its name says; a folder of old transcripts is archived by

        history-sink save ~/.agent/sessions

    Only what the store lacks is sent: the same command again goes on where it was interrupted, or adds what has been
    written since. Where no worker says in time what that is, nothing is sent (with --no-wait: all of it). A history
    that is not the one in the store goes into a branch beside it.

    Lines are kept byte for byte, also those that are blank or no JSON object. What follows the last newline is still
    being written: it is left for the next time. At a line of more than 32 MiB a file ends: the line is named, all
    before it is saved, nothing behind it.
    """
    from history_sink.cli.backfill import Backfill
    from history_sink.cli.files import STDIN, find_files, measure, name_sessions

    if mistyped := [str(file) for file in files if str(file).startswith("-") and file != STDIN and not file.exists()]:
        raise click.UsageError(f"there is no option {mistyped[0]}, and no such file")
    found = find_files(files)
    if session is not None and len(found) != 1:
        raise click.UsageError(f"--session names one session, and there are {len(found)} files")
    if session is None and (STDIN, None) in found:
        raise click.UsageError("stdin has no name: give one with --session")
    todo = name_sessions(found, session, name_from)
    size_bytes = measure(file for file, trouble in found if not trouble)
    with open_sink() as sink, show_progress("saving", size_bytes) as advance:
        work = Backfill(
            sink,
            None if no_wait else timeout_seconds,
            lambda saved: output.tell_saved(saved, as_json, has_waited=not no_wait, is_dry=dry_run),
            advance,
            is_dry=dry_run,
        )
        try:
            for file, name in todo:
                work.save(file, name)
                if any(saved.is_away for saved in work.results):
                    break
            work.finish()
            output.tell_clock(sink.clock_ahead_seconds)
        except KeyboardInterrupt:
            work.abandon()
            output.tell_interrupted(work, len(todo))
            raise
    _end_save(work, len(todo), dry_run)


def _end_save(work: "Backfill", count: int, is_dry: bool) -> None:
    output.tell_end(work, count, is_dry)
    if any(saved.is_away for saved in work.results):
        raise click.exceptions.Exit(UNAVAILABLE)
    if any(saved.problem for saved in work.results):
        raise click.exceptions.Exit(FAILED)


@main.command("list")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="So many sessions at most. [default: all]")
@click.option("--after", default="", metavar="SESSION", help="Only sessions that come after this one by name.")
@click.option(
    "--prefix", type=BeginningType(), default="", metavar="TEXT", help="Only sessions whose names begin with this."
)
@click.option(
    "--fields", type=FieldsType(), default=",".join(_SHOWN_FIELDS), metavar="FIELD,…",
    help=f"Only these of {', '.join(FIELDS)}. The names alone (session), last_write and branches are found without a"
    " look at each session.  [default: all but chain]",
)  # fmt: skip
@timeout_option
@json_option
def list_command(
    limit: int | None, after: str, prefix: str, fields: tuple[str, ...], timeout_seconds: float, as_json: bool
) -> None:
    """List the sessions in the store.

    By name, with last write (UTC), the main log's messages and bytes, and how many branches there are; one that was
    written later than the main log is named. By date: history-sink list | sort

    Of 10,000 sessions, quickly: history-sink list --fields last_write
    """
    if sys.stdout.isatty() and not as_json:
        click.echo(output.session_header(fields))
    size = _PAGE_SESSIONS if BY_LOOK.intersection(fields) else MOST_SESSIONS
    with open_sink() as sink:
        left, position = limit, after
        while True:
            count = size if left is None else min(left, size)
            page = sink.list_sessions(position, count, timeout_seconds, prefix=prefix, fields=fields)
            for summary in page.sessions:
                click.echo(_show_session(summary, fields, as_json))
            left = None if left is None else left - len(page.sessions)
            if page.next_after is None or left == 0:
                return
            position = page.next_after


def _show_session(summary: SessionSummary, fields: tuple[str, ...], as_json: bool) -> str:
    if not as_json:
        return output.describe_session(summary, fields)
    shown = {"session", "problem", *fields}
    return json.dumps({name: value for name, value in asdict(summary).items() if name in shown})


@main.command()
@session_argument
@timeout_option
@json_option
def status(session: str, timeout_seconds: float, as_json: bool) -> None:
    """Show how far the store is with SESSION.

    Its log, its branches, and strays: what writers sent that knew nothing of each other.
    """
    with open_sink() as sink:
        found = sink.status(session, timeout_seconds)
        output.tell_clock(sink.clock_ahead_seconds)
    is_known = bool(found.logs or found.strays or found.pending)
    if as_json:
        click.echo(json.dumps(found.encode()))
    elif is_known:
        click.echo(output.describe_status(found))
    if not is_known:
        raise Failure(f"no session {session} in the store", FAULT)


@main.command()
@session_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
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
            with show_progress(f"restoring {session}", source.end) as advance:
                ask = partial(sink.resolve, timeout_seconds=timeout_seconds, stored=True)
                change = _keep if stored else partial(opening.open_log, session)
                if is_piped:
                    meter = restoring.write_out(ask, source, sys.stdout.buffer, advance, change)
                else:
                    meter = restoring.restore(ask, source, Path(file), force=force, advance=advance, change=change)
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


@main.command()
@session_argument
@click.option("--bytes", "byte_range", type=SpanType(), help="Only these bytes, counted from 0; A: is all from A on.")
@click.option("--messages", type=SpanType(), help="Only these messages, counted from 0.")
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


@main.command()
@click.option("--read-only", is_flag=True, help="Leave out the round trip, which stores one message.")
@timeout_option
@json_option
def check(read_only: bool, timeout_seconds: float, as_json: bool) -> None:
    """Find out whether all of it works, or why not.

    The broker, this machine's clock (60 s off Redis's is a failure, 5 s are told), a worker's answer, its store, and a
    message's way there and back. Ends at the first of them that does not work, but for the clock, and says what is
    wrong. The message goes into a session of its own, history-sink-check-<date>.
    """
    settings = read_settings()
    from history_sink.cli.check import check as run_check

    failed = None
    for finding in run_check(settings, timeout_seconds, read_only):
        click.echo(json.dumps(asdict(finding)) if as_json else output.describe_finding(finding))
        failed = failed if finding.ok else finding.part
    if failed in ("broker", "worker"):
        raise click.exceptions.Exit(UNAVAILABLE)
    if failed:
        raise click.exceptions.Exit(FAULT if failed == "store" else FAILED)


main.add_command(recall)


if __name__ == "__main__":
    main()
