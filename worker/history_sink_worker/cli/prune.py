"""``history-sink-worker prune``."""

import json
import sys
import time
from dataclasses import asdict

import click
from rich.filesize import decimal

from history_sink_worker.archive.erasure import second_sweep_seconds
from history_sink_worker.cli.console import giving_up, open_progress, open_service
from history_sink_worker.cli.delete import tell, tell_letters, warn_of_versions
from history_sink_worker.life.age import count_waiting, find_old, is_deleted, is_old, parse_duration, show_time
from history_sink_worker.life.deletion import announce_all, remove_letters
from history_sink_worker.life.deletion import delete as delete_session
from history_sink_worker.life.inventory import Folder, list_folders
from history_sink_worker.service.service import Service


def _read_age(_: click.Context, __: click.Parameter, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not {error}") from None


@click.command("prune")
@click.option(
    "--older-than", "age_seconds", callback=_read_age, required=True, metavar="AGE", help="Such as 90d or 12h."
)
@click.option("--dry-run", is_flag=True, help="List what would go, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--although-uploads-wait", is_flag=True, help="Begin though the queue is not empty.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a session. Needs --yes or --dry-run.")
def prune(age_seconds: float, dry_run: bool, yes: bool, although_uploads_wait: bool, as_json: bool) -> None:
    """Delete the sessions that nobody has written to for AGE.

    Deletes each as `delete` does. Lists them with their sizes, and asks. One that is resumed later is refused: its id
    stays taken.
    """
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json asks nothing: it needs --yes or --dry-run")
    work = open_service()
    least_seconds = second_sweep_seconds(work.context)
    if age_seconds < least_seconds:
        raise click.UsageError(f"--older-than: at least {least_seconds:g} s, as a younger session may be at work")
    written_before = max(0.0, time.time() - age_seconds)
    with giving_up():
        found = _find(work, written_before, shows=not as_json or dry_run, as_json=as_json)
        if dry_run or not found:
            return
        if not although_uploads_wait:
            _check_queue(work)
        if not yes:
            click.confirm(f"Delete these {len(found)} sessions for good?", abort=True)
        warn_of_versions(work)
        _delete(work, found, written_before, as_json)


def _find(work: Service, written_before: float, shows: bool, as_json: bool) -> list[Folder]:
    found: list[Folder] = []
    with open_progress(quiet=as_json) as progress:
        task = progress.add_task("", total=None)
        for folder in find_old(work, written_before):
            found.append(folder)
            progress.update(task, description=f"{len(found)} old sessions found, now at {folder.session}")
    for folder in found if shows else ():
        click.echo(_show(folder, as_json))
    if not as_json:
        size = decimal(sum(folder.size_bytes for folder in found))
        click.echo(f"{len(found)} sessions not written to since {show_time(written_before)}; {size}")
    return found


def _show(folder: Folder, as_json: bool) -> str:
    if as_json:
        names = ("session", "objects", "size_bytes", "last_write")
        return json.dumps({name: getattr(folder, name) for name in names})
    row = f"{folder.session:40} {folder.objects:8} objects {decimal(folder.size_bytes):>10}"
    return f"{row}  last written {show_time(folder.last_write)}"


def _check_queue(work: Service) -> None:
    try:
        waiting = count_waiting(work.settings.broker.broker_url or "", work.settings.tenant)
    except Exception as error:  # noqa: BLE001  # each transport raises errors of its own
        sys.exit(f"history-sink-worker: nobody knows whether uploads wait: {type(error).__name__} from the broker")
    if waiting:
        sys.exit(
            f"history-sink-worker: {waiting} uploads wait in the queue, perhaps for one of these sessions:"
            " try again when they are done (or --although-uploads-wait)"
        )


def _delete(work: Service, found: list[Folder], written_before: float, as_json: bool) -> None:
    done: set[str] = set()
    announce_all(work, [folder.session for folder in found])
    for folder in found:
        now = next(list_folders(work, folder.session), None)
        if now is None or not is_old(now, written_before) or is_deleted(work, now):
            click.echo(f"{folder.session}: left, as it has changed meanwhile", err=True)
            continue
        removed = delete_session(work, folder.session, is_announced=True)
        done.add(folder.session)
        click.echo(json.dumps(asdict(removed)) if as_json else tell(removed))
    letters, unknown = remove_letters(work, done)
    counts = {"letters": letters, "unknown_letters": unknown}
    click.echo(json.dumps(counts) if as_json else tell_letters(**counts))
