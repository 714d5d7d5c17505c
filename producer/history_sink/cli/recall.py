"""The command `recall`: find where something was said, in all sessions of the archive."""

import json
import sys
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from history_sink.cli.arguments import BRANCH, SESSION, Checked, json_option, open_sink, timeout_option
from history_sink.cli.output import show_time
from history_sink.cli.terminal import FAULT, UNAVAILABLE, Failure
from history_sink.errors import Malformed

if TYPE_CHECKING:
    from history_sink.protocol.search import Hit, Recalled

_HEADER = f"{'WHEN':<20}  {'ROLE':<9}  {'MESSAGE':>7}  SESSION"


def _read_time(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"{text!r} is no day or time such as 2026-11-29 or 2026-11-29T12:00:00Z") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="WORDS...")
@click.option("--session", type=SESSION, help="Only in this session.")
@click.option("--branch", type=BRANCH, help="Only in this branch of it, as `status` names it.")
@click.option(
    "--role", type=click.Choice(["user", "assistant", "tool", "system"]), help="Only what these have said or done."
)
@click.option("--project", help="Only of agents that worked in this folder; the last part of its path will do.")
@click.option(
    "--since", type=Checked("time", _read_time), metavar="DAY", help="Only messages of this day (UTC) or later."
)
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, metavar="N", help="So many hits.")
@timeout_option
@json_option
def recall(words: tuple[str, ...], timeout_seconds: float, as_json: bool, **narrow: Any) -> None:
    """Find where WORDS were said, in all sessions of the archive.

    The more of the words a message has, the further in front it is; what people and agents said goes before what tools
    put out. Words in double quotes must occur, side by side:

        history-sink recall 'flaky test "connection reset by peer"'

    Needs a search worker. Ends with status 3 where there is nothing, and with 4 where nothing was found and the index
    does not have all of the archive yet.
    """
    with open_sink() as sink:
        from history_sink.protocol.pointer import Fault

        try:
            found = sink.recall(" ".join(words), timeout_seconds=timeout_seconds, **narrow)
        except Malformed as error:
            raise click.UsageError(str(error)) from None
    if isinstance(found, Fault):
        raise Failure(str(found), UNAVAILABLE if found.kind == "backend_error" else FAULT)
    if as_json:
        click.echo(json.dumps(found.encode()))
    else:
        _print(found)
    if not found.hits:
        if not found.is_complete:
            raise Failure(f"Not found yet: {describe_completeness(found)}", UNAVAILABLE)
        raise Failure(f"Nothing found in {found.messages:,} messages.{_sealed(found)}", FAULT)


def _print(found: "Recalled") -> None:
    if found.hits and sys.stdout.isatty():
        click.echo(_HEADER)
    for hit in found.hits:
        when = "" if hit.at is None else show_time(hit.at)
        branch = f" (branch {hit.branch})" if hit.branch else ""
        click.echo(f"{when:<20}  {hit.role:<9}  {hit.message:>7}  {hit.session}{branch}")
        click.echo(f"    {mark_excerpt(hit, is_styled=sys.stdout.isatty())}")
    if found.hits and not found.is_complete:
        click.echo(f"There may be more: {describe_completeness(found)}", err=True)


def describe_completeness(found: "Recalled") -> str:
    """What the index is known to lack, in words."""
    if found.is_rebuilding:
        return f"the index is being built, and has {found.messages:,} messages so far."
    if found.behind:
        return f"{found.behind:,} logs have what the index lacks."
    return "the index was not compared with the bucket yet, or its worker is not at work."


def _sealed(found: "Recalled") -> str:
    return f" {found.sealed:,} lines are sealed, and cannot be searched." if found.sealed else ""


def mark_excerpt(hit: "Hit", is_styled: bool) -> str:
    """The excerpt on one line, matches in bold, or between « and ». Nothing in it reaches the terminal as an order."""
    parts, at = [], 0
    for start, end in hit.marks:
        match = _tame(hit.excerpt[start:end])
        parts += [_tame(hit.excerpt[at:start]), click.style(match, bold=True) if is_styled else f"«{match}»"]
        at = end
    return "".join([*parts, _tame(hit.excerpt[at:])]).strip()


def _tame(text: str) -> str:
    return "".join(" " if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") else each for each in text)
