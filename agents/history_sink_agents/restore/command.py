"""The command ``history-sink restore SESSION --into AGENT``."""

import json
import os
from pathlib import Path

import click

from history_sink_agents.command_line import (
    FAULT,
    Failure,
    find_user_home,
    json_option,
    open_reader,
    show_progress,
    timeout_option,
)
from history_sink_agents.formats import FORMATS, Format
from history_sink_agents.formats.format import Misplaced
from history_sink_agents.formats.names import name_session
from history_sink_agents.formats.patterns import PatternFormat
from history_sink_agents.restore.archive import Choice, SinkArchive
from history_sink_agents.restore.errors import Absent, Refused
from history_sink_agents.restore.opencode import restore_export
from history_sink_agents.restore.restoring import Plan, Wish, carry_out, plan_restore
from history_sink_agents.restored import find_own_state_folder, recall


@click.command("restore")
@click.argument("session", metavar="SESSION")
@click.option("--into", "agent", type=click.Choice(sorted(FORMATS)), required=True, help="The agent that wrote it.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    help="The agent's own folder.  [default: where the agent looks, such as ~/.claude]",
)
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="The folder to go on in.  [default: the one it was written in]",
)
@click.option("--branch", help="A branch, as `history-sink status` names it.  [default: the log written last]")
@click.option("--main", "is_main", is_flag=True, help="The main logs, and not those written last.")
@click.option("--as-new", is_flag=True, help="Under a new id, beside the session that there is. Claude Code only.")
@click.option("--partial", is_flag=True, help="What there is, where the archive lacks a part. Not for Codex.")
@click.option("--rewrite-cwd", is_flag=True, help="qwen-code and codetether: write --project into the session itself.")
@click.option("--dry-run", is_flag=True, help="Say what would be written where, and write nothing.")
@timeout_option
@json_option
def into(
    session: str,
    agent: str,
    home: Path | None,
    project: str | None,
    branch: str | None,
    is_main: bool,
    as_new: bool,
    partial: bool,
    rewrite_cwd: bool,
    dry_run: bool,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Put SESSION back where AGENT looks for it, so that its own resume goes on with it.

    SESSION is the agent's id or `<agent>.<id>`, as `history-sink watch` archives it. With it come the files that it
    stands on: subagents and tool results, or what a fork or a rewound thread goes on from. Files come into being whole
    and proven, all of them or none, readable by you alone. A file that is there with other bytes is never overwritten,
    and nothing is written while the agent is at work on the session, or where a part of it is not in the archive.

    OpenCode takes a document: it is written into the project's folder, for `opencode import`.
    """
    if branch and is_main:
        raise click.UsageError("--branch or --main, not both")
    asked, form = _name(session, agent), FORMATS[agent]
    where = home or _find_home(form, project)
    wish = Wish(asked, where, project, as_new, partial, rewrite_cwd)
    with open_reader() as sink:
        archive = SinkArchive(sink, Choice(branch, is_main), timeout_seconds)
        try:
            if not isinstance(form, PatternFormat):
                restore_export(archive, wish, is_dry=dry_run, tell=click.echo)
                return
            state_folder = find_own_state_folder(os.environ)
            plan = plan_restore(archive, form, wish, recall(state_folder))
            _tell_plan(plan, wish, dry_run, as_json)
            if not dry_run:
                with show_progress(f"restoring {asked}") as advance:
                    carry_out(archive, wish, plan, state_folder, advance)
        except Absent as error:
            raise Failure(str(error), FAULT) from None
        except (Refused, Misplaced) as error:
            raise click.ClickException(f"nothing was written: {error}") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or where} cannot be written: {error.strerror}") from None
    if not as_json and not dry_run and plan.items:
        click.echo(f"Restored {len(plan.items)} {'file' if len(plan.items) == 1 else 'files'}.", err=True)


def _name(session: str, agent: str) -> str:
    """The session's id in the archive. Raises click's error for a session of another agent."""
    if not session:
        raise click.UsageError("SESSION is empty")
    writer = session.partition(".")[0]
    if writer in FORMATS and writer != agent:
        raise click.UsageError(f"{session} is a session of {writer}: --into {writer}")
    return session if session.startswith(f"{agent}.") else name_session(agent, session)


def _find_home(form: Format, project: str | None) -> Path:
    if isinstance(form, PatternFormat):
        return form.find_home(os.environ, find_user_home(), project)
    return form.home(os.environ, find_user_home())


def _tell_plan(plan: Plan, wish: Wish, is_dry: bool, as_json: bool) -> None:
    """Before anything is written: each file, and what the user should know."""
    for items, done in ((plan.there, "there"), (plan.items, "would write" if is_dry else "write")):
        for item in items:
            path = str(wish.home / item.relative)
            if as_json:
                facts = {"done": done, "path": path, "session": item.session, "bytes": item.size_bytes}
                click.echo(json.dumps({**facts, "branch": item.log.branch if item.log else None}))
            else:
                click.echo(f"{done:<11}  {path}  {item.size_bytes:,} bytes of {item.session}")
    for note in plan.notes:
        click.echo(f"note: {note}", err=True)
