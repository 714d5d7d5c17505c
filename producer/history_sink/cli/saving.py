"""The command `save`: transcripts, new or grown, into the archive."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from history_sink.cli import output
from history_sink.cli.arguments import (
    SECONDS,
    SESSION,
    json_option,
    open_sink,
)
from history_sink.cli.terminal import FAILED, UNAVAILABLE, show_progress

if TYPE_CHECKING:
    from history_sink.cli.backfill import Backfill
    from history_sink.cli.files import NameFrom


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@click.option("--session", type=SESSION, help="Save as this session.  [default: the file's name without its ending]")
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
    "--timeout", "timeout_seconds", type=SECONDS, default=60.0, show_default=True, metavar="SECONDS",
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
        tell = partial(output.tell_saved, as_json=as_json, has_waited=not no_wait, is_dry=dry_run)
        work = Backfill(sink, None if no_wait else timeout_seconds, tell, advance, is_dry=dry_run)
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
