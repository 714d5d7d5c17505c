"""The commands `list` and `status`: which sessions the store has, and how far it is with one."""

import json
import sys
from dataclasses import asdict

import click

from history_sink.cli import output
from history_sink.cli.arguments import (
    Checked,
    json_option,
    open_sink,
    session_argument,
    timeout_option,
)
from history_sink.cli.terminal import FAULT, Failure
from history_sink.protocol.contract import MOST_SESSIONS
from history_sink.protocol.listing import BY_LOOK, FIELDS, SessionSummary, check_beginning, check_fields

_PAGE_SESSIONS = 50
"""So many are looked at in one answer, which has to come in time."""

_SHOWN_FIELDS = tuple(name for name in FIELDS if name != "chain")


def _read_fields(text: str) -> tuple[str, ...] | None:
    return check_fields(name.strip() for name in text.split(",") if name.strip())


@click.command("list")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="So many sessions at most. [default: all]")
@click.option("--after", default="", metavar="SESSION", help="Only sessions that come after this one by name.")
@click.option(
    "--prefix",
    type=Checked("text", check_beginning),
    default="",
    metavar="TEXT",
    help="Only sessions whose names begin with this.",
)
@click.option(
    "--fields", type=Checked("fields", _read_fields), default=",".join(_SHOWN_FIELDS), metavar="FIELD,…",
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


@click.command()
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
