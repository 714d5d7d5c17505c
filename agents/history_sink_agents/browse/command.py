"""The commands `history-sink export` and `history-sink browse`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from history_sink_agents.command_line import (
    FAULT,
    Failure,
    branch_option,
    choose_branch,
    json_option,
    latest_option,
    open_sink,
    show_progress,
    timeout_option,
)

if TYPE_CHECKING:
    from history_sink_agents.browse.export import Exported


@click.command()
@click.argument("session")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@branch_option
@latest_option
@timeout_option
@json_option
def export(
    session: str, directory: Path, branch: str | None, latest: bool, timeout_seconds: float, as_json: bool
) -> None:
    """Write each turn of SESSION into a file of its own in DIR.

    The files are turn-0007-user.md and the like, for grep and for reading; manifest.jsonl says which bytes of the log
    each of them is. The same command again writes only what is new, and what was deleted or changed. Other files in DIR
    stay as they are. DIR is for one log: take another for a branch.
    """
    from history_sink import Faulted, Malformed, NotFound
    from history_sink_agents.browse.export import export as write_turns

    choice = choose_branch(branch, latest)
    with open_sink() as sink, show_progress(f"exporting {session}") as advance:
        try:
            done = write_turns(
                sink, session, directory, branch=choice, timeout_seconds=timeout_seconds, advance=advance
            )
        except Malformed as error:
            raise click.UsageError(str(error)) from None
        except (NotFound, Faulted) as error:
            raise Failure(str(error), FAULT) from None
        except OSError as error:
            raise click.ClickException(f"{directory} cannot be written: {error.strerror}") from None
    click.echo(json.dumps(_encode(done)) if as_json else _describe(done))


@click.command()
@click.argument("session")
@click.argument("turn", type=click.IntRange(min=0), required=False)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder of the files.  [default: history/SESSION in the project's data directory]",
)
@branch_option
@latest_option
@timeout_option
def browse(
    session: str, turn: int | None, directory: Path | None, branch: str | None, latest: bool, timeout_seconds: float
) -> None:
    """List the files of SESSION's turns, or show TURN, counted from 0.

    Brings the files up to date first, as `history-sink export` does. The data directory is CODETETHER_DATA_DIR, else
    .codetether-agent in the nearest folder upwards that has a .git, else in this one. Where there is nothing to show,
    stderr has the fault as a JSON object, such as {"kind": "no_match"}, and the exit status is 3.
    """
    from history_sink import Fault, Malformed
    from history_sink_agents.browse.context import context_browse

    choice, action = choose_branch(branch, latest), "list" if turn is None else "show"
    with open_sink() as sink:
        try:
            answer = context_browse(
                sink, session, action, turn, branch=choice, directory=directory, timeout_seconds=timeout_seconds
            )
        except Malformed as error:
            raise click.UsageError(str(error)) from None
    if isinstance(answer, Fault):
        click.echo(json.dumps(answer.encode()), err=True)
        raise click.exceptions.Exit(FAULT)
    click.echo(answer.text)


def _encode(done: "Exported") -> dict[str, object]:
    names = ("session", "branch", "key", "turns", "written", "bytes")
    return {**{name: getattr(done, name) for name in names}, "directory": str(done.directory)}


def _describe(done: "Exported") -> str:
    log = f"branch {done.branch} of {done.session}" if done.branch else done.session
    return f"{done.directory}: {done.turns:,} turns of {log}, {done.written:,} of them written now"
