"""The command ``history-sink prune``."""

import json
import os

import click

from history_sink import HistorySinkError
from history_sink_agents.command_line import find_user_home, json_option, open_reader, show_progress, timeout_option
from history_sink_agents.disk.pruning import Verdict, delete, find_old, prove_all
from history_sink_agents.disk.survey import find_homes
from history_sink_agents.formats import FORMATS
from history_sink_agents.formats.patterns import PatternFormat

_DAY_SECONDS = 86_400.0
_PRUNABLE = sorted(name for name, form in FORMATS.items() if isinstance(form, PatternFormat))


@click.command()
@click.argument("agents", type=click.Choice(_PRUNABLE), nargs=-1, metavar="[AGENT]...")
@click.option("--verified", is_flag=True, help="Needed: delete what the store is proven to hold, and nothing else.")
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="DAYS",
    help="Only sessions of which no file was written for so long.",
)
@click.option("--dry-run", is_flag=True, help="Prove and tell all of it, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@timeout_option
@json_option
def prune(
    agents: tuple[str, ...],
    verified: bool,
    days: float,
    dry_run: bool,
    yes: bool,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Delete agents' old session files that the store holds.

    It deletes from this machine what the store holds byte for byte. Each file is read from the store and compared with
    the local one, all of it; that takes as long as a download. A session goes whole or stays whole: while one of its
    files is young, being written, not archived to its last byte, or not named by a manifest, all of them stay, and so
    does a thread of Codex that a younger fork stands on. `restore --into` brings a session back. Databases (OpenCode's)
    are never touched, nor is anything else but sessions.
    """
    if not verified:
        raise click.UsageError("prune deletes only what the store is proven to hold: say so with --verified")
    is_whole = True
    with open_reader() as sink:
        for agent, home in find_homes(os.environ, find_user_home(), agents or _PRUNABLE).items():
            form = FORMATS[agent]
            assert isinstance(form, PatternFormat)
            old = find_old(form, home, days * _DAY_SECONDS)
            if not old:
                click.echo(f"{agent}: no session that nobody has written to for {days:g} days", err=True)
            with show_progress(f"comparing {agent}") as advance:
                verdicts = [*prove_all(sink, form, home, old, timeout_seconds, advance)]
            for verdict in verdicts:
                _tell(verdict, dry_run, as_json)
            going = [verdict for verdict in verdicts if not verdict.reason]
            is_whole &= len(going) == len(verdicts)
            if going and not dry_run and (yes or _ask(agent, going)):
                is_whole &= _delete_all(going)
    if not is_whole:
        raise click.exceptions.Exit(1)


def _ask(agent: str, going: list[Verdict]) -> bool:
    files, size = sum(len(each.looks) for each in going), sum(each.size_bytes for each in going)
    return click.confirm(f"Delete {files} files of {len(going)} sessions of {agent}, {size:,} bytes?", err=True)


def _delete_all(going: list[Verdict]) -> bool:
    done, is_whole = 0, True
    for verdict in going:
        try:
            done += delete(verdict)
        except HistorySinkError as error:
            is_whole = False
            click.echo(str(error), err=True)
        except OSError as error:
            is_whole = False
            click.echo(f"{error.filename} cannot be deleted: {error.strerror}", err=True)
    click.echo(f"Deleted {done:,} bytes.", err=True)
    return is_whole


def _tell(verdict: Verdict, is_dry: bool, as_json: bool) -> None:
    done = "stays" if verdict.reason else "would go" if is_dry else "goes"
    if as_json:
        paths = [str(look.found.path) for look in verdict.looks]
        facts = {"session": verdict.session, "done": done, "bytes": verdict.size_bytes, "files": paths}
        click.echo(json.dumps({**facts, "reason": verdict.reason}))
    else:
        told = f"{done:<9} {verdict.session}  {len(verdict.looks)} files, {verdict.size_bytes:,} bytes"
        click.echo(told + (f": {verdict.reason}" if verdict.reason else ""))
