"""The command `history-sink`: save transcripts, find them, get them back, and see whether all of it works."""

import json
import logging
import signal
import sys
from dataclasses import asdict
from types import FrameType

import click

from history_sink.cli import output
from history_sink.cli.arguments import (
    json_option,
    read_settings,
    timeout_option,
)
from history_sink.cli.reading import resolve, restore
from history_sink.cli.recall import recall
from history_sink.cli.saving import save
from history_sink.cli.sessions import list_command, status
from history_sink.cli.terminal import FAILED, FAULT, TERMINATED, UNAVAILABLE, Commands
from history_sink.protocol.dashes import take_names


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(package_name="history-sink")
def main() -> None:
    """Keep agents' transcripts in an append-only archive, and get any byte of them back.

    Talks to the workers through the queue that CODETETHER_HISTORY_BROKER_URL names (such as redis://host:6379/0), and
    needs no credential of the store. If something does not work, `history-sink check` says what.

    \b
    Exit status:
      0    all of it is done
      1    some of it is not (a line, a file, a check); stderr says what
      2    wrong usage, or a variable that is unset or malformed
      3    a fault: no such session, nothing in that range, denied, the store away
      4    the broker is away, or no worker answered in time; try again later
      130  ended by Ctrl-C
    """
    signal.signal(signal.SIGTERM, _terminate)  # so that a file half restored does not stay behind
    logging.getLogger("history_sink").setLevel(logging.ERROR)  # warnings: the command says the same in its own words


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


@click.command()
@click.option("--read-only", is_flag=True, help="Leave out the round trip, which stores one message.")
@timeout_option
@json_option
def check(read_only: bool, timeout_seconds: float, as_json: bool) -> None:
    """Find out whether all of it works, or why not.

    The broker, this machine's clock (60 s off Redis's is a failure, 5 s are told), a worker's answer, its store, and a
    message's way there and back. Ends at the first of them that does not work, but for the clock, and says what is
    wrong. The message goes into a session of its own, history-sink-check-<date>.
    """
    settings = read_settings()
    from history_sink.cli.check import check as run_check

    failed = None
    for finding in run_check(settings, timeout_seconds, read_only):
        click.echo(json.dumps(asdict(finding)) if as_json else output.describe_finding(finding))
        failed = failed if finding.ok else finding.part
    if failed in ("broker", "worker"):
        raise click.exceptions.Exit(UNAVAILABLE)
    if failed:
        raise click.exceptions.Exit(FAULT if failed == "store" else FAILED)


for _command in (save, list_command, status, restore, resolve, check):
    main.add_command(take_names(_command))
main.add_command(recall)


if __name__ == "__main__":
    main()
