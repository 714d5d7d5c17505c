"""``history-sink-worker dead``: what has become of messages that could never succeed."""

import base64
import json
import sys
from contextlib import closing
from typing import Any

import click

from history_sink.errors import Malformed
from history_sink.protocol.dashes import NamedGroup
from history_sink_worker.cli.console import giving_up, open_service
from history_sink_worker.dead.letter_format import Letter
from history_sink_worker.dead.letter_store import list_names, read_head, read_whole, remove
from history_sink_worker.dead.replay import NotSent, Sender
from history_sink_worker.service.service import Service

_ROW = "{time:20} {task_id:36} {attempts:>8} {bytes:>10} {session:24} {task:28} {reason}"
_COLUMNS = ("time", "task_id", "attempts", "bytes", "session", "task", "reason")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a letter.")
_ALL = click.option("--all", "everything", is_flag=True, help="All there are.")
_NAMES = click.argument("names", nargs=-1, metavar="[LETTER]...")


@click.group(cls=NamedGroup)
def dead() -> None:
    """Look at dead letters, send them again, or drop them.

    A dead letter is a message that can never succeed: unreadable, refused for ever, revoked, or one that kills its
    worker. It lies in the store, whole. LETTER is its name, or the id of its task.
    """


@dead.command("list")
@_JSON
def list_command(as_json: bool) -> None:
    """List all dead letters, the oldest first. Shows no content."""
    work = open_service()
    if not as_json:
        click.echo(_ROW.format(**{column: column.replace("_", " ") for column in _COLUMNS}))
    with giving_up():
        for name in list_names(work):
            fields = _summarize(work, name)
            if fields is not None:
                row = {column: str(fields.get(column) or "") for column in _COLUMNS}
                click.echo(json.dumps(fields) if as_json else _ROW.format(**row))


@dead.command("show")
@_NAMES
@click.option("--content", is_flag=True, help="Headers, properties and body, too: words of a transcript.")
def show_command(names: tuple[str, ...], content: bool) -> None:
    """Say all that is known of a letter, as JSON; its content only if asked for."""
    work = open_service()
    with giving_up():
        for name in _choose(work, names, everything=False):
            fields = _summarize(work, name, content)
            if fields is not None:
                click.echo(json.dumps(fields, indent=2, default=repr))


@dead.command("replay")
@_NAMES
@_ALL
def replay_command(names: tuple[str, ...], everything: bool) -> None:
    """Send letters again, each to the queue that it was on, and remove them from the store.

    Safe to repeat: a letter is removed only when the broker has the message, and what is stored twice is stored once.
    What still can't succeed comes back as a dead letter.
    """
    work, problems = open_service(), 0
    with giving_up(), closing(Sender(work.settings.broker.broker_url or "")) as sender:
        for name in _choose(work, names, everything):
            problem = _replay(work, sender, name)
            click.echo(f"{name}: {problem or 'sent again'}", err=problem is not None)
            problems += problem is not None
    sys.exit(1 if problems else 0)


def _replay(work: Service, sender: Sender, name: str) -> str | None:
    """Why it could not be done; None if it is done."""
    try:
        letter = read_whole(work, name)
        if letter is None:
            return "gone meanwhile"
        sender.send(letter, name)
    except (Malformed, NotSent) as error:
        return str(error)
    remove(work, name)
    return None


@dead.command("drop")
@_NAMES
@_ALL
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop_command(names: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete letters for good, with their content. Asks first."""
    work = open_service()
    with giving_up():
        chosen = _choose(work, names, everything)
        if chosen and not yes:
            click.confirm(f"Delete {len(chosen)} dead letters for good?", abort=True)
        for name in chosen:
            remove(work, name)
            click.echo(f"{name}: dropped")


def _choose(work: Service, wanted: tuple[str, ...], everything: bool) -> list[str]:
    if everything == bool(wanted):
        raise click.UsageError("which letters? Their names, or the ids of their tasks (or --all, where there is one)")
    names = list(list_names(work))
    if everything:
        return names
    found = [name for name in names if name in wanted or _task_id(name) in wanted]
    unknown = set(wanted) - set(found) - set(map(_task_id, found))
    for each in sorted(unknown):
        click.echo(f"{each}: there is no such letter", err=True)
    if unknown and not found:
        sys.exit(1)
    return found


def _task_id(name: str) -> str:
    return name.partition("-")[2]


def _summarize(work: Service, name: str, content: bool = False) -> dict[str, Any] | None:
    """What is known of a letter, without `content` what may be shown to anybody; None: it is gone meanwhile."""
    try:
        letter = (read_whole if content else read_head)(work, name)
    except Malformed as error:
        return {"name": name, "reason": str(error)}
    if letter is None:
        return None
    return {"name": name, **letter.summary(), **(_show_content(letter) if content else {})}


def _show_content(letter: Letter) -> dict[str, Any]:
    shown = {
        "content_type": letter.content_type,
        "content_encoding": letter.content_encoding,
        "headers": letter.headers,
        "properties": letter.properties,
    }
    try:
        return {**shown, "body": letter.body.decode()}
    except UnicodeDecodeError:
        return {**shown, "body_base64": base64.b64encode(letter.body).decode()}
