"""``history-sink-worker delete``."""

import json
from dataclasses import asdict

import click
from rich.filesize import decimal

from history_sink.protocol.dashes import Named
from history_sink_worker.cli.console import giving_up, open_service, read_session
from history_sink_worker.life.age import is_deleted, show_time
from history_sink_worker.life.deletion import Removed, has_letters, remove_letters
from history_sink_worker.life.deletion import delete as delete_session
from history_sink_worker.life.inventory import Folder, list_folders
from history_sink_worker.s3.retention import keeps_versions
from history_sink_worker.service.service import Service


@click.command("delete", cls=Named)
@click.argument("session", callback=read_session)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--missing-ok", is_flag=True, help="Of a session that never was, block the id, so that it never will be.")
@click.option("--json", "as_json", is_flag=True, help="What was done as one JSON object. Needs --yes.")
def delete(session: str, yes: bool, missing_ok: bool, as_json: bool) -> None:
    """Delete a session for good: all its logs, strays, dead letters.

    Asks first. A tombstone stays, so that nothing that arrives later brings it back; there is no undelete, and the id
    stays taken. Safe beside workers, and to be done again, which removes what has been left over. Where nothing is
    stored of SESSION, nothing is done, and the exit status is 1.
    """
    if as_json and not yes:
        raise click.UsageError("--json asks nothing: it needs --yes")
    work = open_service()
    with giving_up():
        folder = next(list_folders(work, session), Folder(session))
        if not (folder.objects or missing_ok or has_letters(work, session)):
            click.echo(
                f"history-sink-worker: nothing is stored of {session}, and nothing was done;"
                " --missing-ok blocks the id all the same",
                err=True,
            )
            raise click.exceptions.Exit(1)
        if not yes:
            click.confirm(_question(work, folder), abort=True)
        warn_of_versions(work)
        removed = delete_session(work, session)
        letters, unknown = remove_letters(work, {session})
    counts = {"letters": letters, "unknown_letters": unknown}
    click.echo(json.dumps({**asdict(removed), **counts}) if as_json else f"{tell(removed)}; {tell_letters(**counts)}")
    for key in removed.foreign:
        click.echo(f"left, as it is not ours: {key}", err=True)


def _question(work: Service, folder: Folder) -> str:
    if is_deleted(work, folder):
        return f"{folder.session} was deleted before. Remove what has been left over or has come since?"
    if not folder.objects:
        return f"Nothing is stored of {folder.session}. Block that id for good, so that nothing ever will be?"
    held = f"{folder.objects} objects, {decimal(folder.size_bytes)}, {len(folder.branches)} branches"
    return f"{folder.session}: {held}, last written {show_time(folder.last_write)}. Delete it for good?"


def tell(removed: Removed) -> str:
    """One sentence of it."""
    state = "deleted" if removed.is_new else "was deleted before"
    held = f"{removed.objects} objects ({decimal(removed.size_bytes)}) removed"
    sweeper = "a worker sweeps" if removed.is_noted else "no Redis has noted it: sweep (`tidy`, or this again)"
    return f"{removed.session}: {state}; {held}; {sweeper} once more at {show_time(removed.again_at)}"


def tell_letters(letters: int, unknown_letters: int) -> str:
    """What became of dead letters."""
    others = f", {unknown_letters} others do not say whose they are" if unknown_letters else ""
    return f"{letters} dead letters removed{others}"


def warn_of_versions(work: Service) -> None:
    """Say on stderr that the bucket keeps what is deleted, if it does."""
    keeps = keeps_versions(work.store)
    if keeps is None:
        click.echo("Whether the bucket keeps versions of what is deleted could not be found out.", err=True)
    elif keeps:
        click.echo(
            "The bucket keeps versions: what is deleted can no longer be read here, and stays in the store until its"
            " lifecycle rules remove it (docs/retention.md).",
            err=True,
        )
