"""The command `history-sink watch`."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from history_sink_agents.watch.units import System

_FAILED = 1
_OTHER_STATE = "; --state says where else the watch may keep its state"


@click.command()
@click.option("--once", is_flag=True, help="Archive what is new, wait until the store has it, and end: for cron.")
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="Only this agent's sessions; may be repeated.")
@click.option(
    "--state", "state_folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Where to remember how far each file is archived.  [default: ~/.local/state/history-sink]",
)  # fmt: skip
@click.option(
    "--print-unit",
    type=click.Choice(["systemd", "launchd"]),
    help="Print what has the system start the watch, and end.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say each file that is archived.")
def watch(
    once: bool, agents: tuple[str, ...], state_folder: Path | None, print_unit: "System | None", verbose: bool
) -> None:
    """Archive coding agents' session files as they grow.

    Those of Claude Code, Codex, Gemini CLI, OpenCode, Copilot CLI, qwen-code, pi and codetether, where each keeps them.
    Only session files are read: never settings, keys or logins. Each file is a session of its own in the archive, byte
    for byte up to its last newline; what an agent deletes or rewrites stays there.

    The newest files come first. Where the queue, the workers or the store are away, the watch waits, and goes on where
    it was; so it does when it was ended, however it was. Ctrl-C ends it.
    """
    from history_sink_agents.command_line import describe_os_error, find_user_home, read_settings

    if print_unit:
        from history_sink_agents.watch.units import find_command, write_unit

        click.echo(write_unit(print_unit, find_command(), find_user_home()), nl=False)
        return
    from history_sink_agents.formats import FORMATS
    from history_sink_agents.watch.follow import is_installed
    from history_sink_agents.watch.program import Program

    settings = read_settings()
    unknown = [name for name in agents if name not in FORMATS]
    if unknown:
        raise click.UsageError(f"no agent {unknown[0]!r}; there are {', '.join(FORMATS)}")
    if not once and not is_installed():
        raise click.UsageError("watch needs the extra: pip install 'history-sink[watch]'; --once does not")
    program = Program(settings, agents, os.environ, find_user_home(), state_folder, _say, is_verbose=verbose)
    try:
        problems = program.run_once() if once else program.run()
    except OSError as error:
        raise click.ClickException(f"{describe_os_error(error)}{_OTHER_STATE if error.filename else ''}") from None
    if problems:
        sys.exit(_FAILED)


def _say(text: str) -> None:
    """On stderr. The watch goes on where nobody reads that any more: the terminal is gone, or the pipe is closed."""
    with suppress(OSError, ValueError):
        click.echo(text, err=True)
