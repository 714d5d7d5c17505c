"""The command ``history-sink agents``."""

import json
import os

import click

from history_sink import HistorySink, ProducerSettings, Unavailable
from history_sink_agents.command_line import find_user_home, json_option, open_reader, show_progress, timeout_option
from history_sink_agents.disk.survey import (
    Holding,
    Measured,
    ask_archive,
    find_homes,
    measure_files,
    sum_up,
)
from history_sink_agents.formats import FORMATS, Unreadable

_HEADER = f"{'AGENT':<11}{'SESSIONS':>9}{'FILES':>8}{'BYTES':>17}{'ARCHIVED':>10}{'BEHIND':>8}  HOME"


@click.command("agents")
@click.argument("agents", type=click.Choice(sorted(FORMATS)), nargs=-1, metavar="[AGENT]...")
@click.option("--files", "shows_files", is_flag=True, help="Each file, with its session in the archive.")
@click.option("--local", is_flag=True, help="Do not ask the archive.")
@timeout_option
@json_option
def agents_command(
    agents: tuple[str, ...], shows_files: bool, local: bool, timeout_seconds: float, as_json: bool
) -> None:
    """Show which agents' sessions are here, and how far archived.

    ARCHIVED is told by sizes, and no byte is read for it; BEHIND counts files that the archive has not whole. What an
    agent writes at this moment is behind until `history-sink watch` has sent it. Without a broker, or with --local,
    only this machine is looked at; so it is where the archive does not answer, which is said behind it.
    """
    if local or not ProducerSettings.from_env().is_enabled:
        if not local:
            click.echo("the archive was not asked: CODETETHER_HISTORY_BROKER_URL is not set", err=True)
        _show(None, agents, shows_files, timeout_seconds, as_json)
        return
    with open_reader() as sink:
        _show(sink, agents, shows_files, timeout_seconds, as_json)


def _show(
    sink: HistorySink | None, agents: tuple[str, ...], shows_files: bool, timeout_seconds: float, as_json: bool
) -> None:
    homes = find_homes(os.environ, find_user_home(), agents)
    if not homes:
        click.echo(f"no sessions of {', '.join(agents or sorted(FORMATS))} are here", err=True)
    elif not as_json and not shows_files:
        click.echo(_HEADER)
    is_whole, away = True, None
    for agent, home in homes.items():
        files, problem = list[Measured](), None
        try:
            files = measure_files(agent, home)
            if sink and not away:
                with show_progress(f"asking for {agent}") as advance:
                    files = [*ask_archive(sink, files, timeout_seconds, advance)]
        except Unreadable as error:
            problem, is_whole = str(error), False
        except Unavailable as error:  # what is on this machine is shown all the same
            away = error
        if shows_files:
            for file in files:
                click.echo(_describe_file(file, as_json))
        else:
            click.echo(_describe(sum_up(agent, home, files, problem), as_json))
        if problem:
            click.echo(f"{agent}: {problem}", err=True)
    if away:
        raise away
    if not is_whole:
        raise click.exceptions.Exit(1)


def _describe(holding: Holding, as_json: bool) -> str:
    if as_json:
        return json.dumps(holding.encode())
    archived, behind = "?", "?"
    if holding.archived_bytes is not None:
        part = holding.archived_bytes / holding.bytes if holding.bytes else 1.0
        archived, behind = f"{int(part * 1000) / 10:.1f} %", str(holding.behind)
    numbers = f"{holding.sessions:>9,}{holding.files:>8,}{holding.bytes:>17,}{archived:>10}{behind:>8}"
    return f"{holding.agent:<11}{numbers}  {holding.home}"


def _describe_file(file: Measured, as_json: bool) -> str:
    facts = {"session": file.found.session, "path": str(file.found.path), "bytes": file.size_bytes}
    if as_json:
        return json.dumps({**facts, "archived_bytes": file.archived_bytes})
    archived = "?" if file.archived_bytes is None else f"{file.archived_bytes:,}"
    return f"{file.found.session}  {archived} of {file.size_bytes:,} bytes  {file.found.path}"
