"""`history-sink-worker tidy`: fold and sweep what the due list has lost."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console

from history_sink.protocol.dashes import Named
from history_sink_worker.cli.console import giving_up, open_progress, open_service
from history_sink_worker.life.tidy import Tidied, find_logs, tidy


@click.command("tidy", cls=Named)
@click.option(
    "--idle-for",
    "idle_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    show_default=True,
    default=3600.0,
    help="Fold the tails of logs that nobody has written to for so long.",
)
@click.option("--all", "everything", is_flag=True, help="Fold every tail, however short, whoever writes to it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a log on stdout, and one with the totals.")
def tidy_command(idle_seconds: float, everything: bool, as_json: bool) -> None:
    """Compact all logs that have a tail.

    Workers do this by themselves, from a list in Redis. What that list has lost (Redis was emptied, or there is
    none) is found here, by listing the bucket. Safe to run at any time and as often as you like.
    """
    work = open_service()
    found, totals = 0, {"logs": 0, "compacted": 0, "folded_bytes": 0, "swept": 0, "problems": 0}
    with open_progress(quiet=as_json) as progress, giving_up():
        task = progress.add_task("", total=None)
        for found, each in enumerate(find_logs(work), 1):
            done = tidy(work, each, idle_seconds, everything)
            if done is not None:
                _add(totals, done)
                _report(done, as_json, progress.console)
            progress.update(task, description=f"{found} logs seen, {totals['compacted']} compacted")
    totals["logs"] = found
    click.echo(json.dumps(totals) if as_json else _sentence(totals))
    sys.exit(1 if totals["problems"] else 0)


def _add(totals: dict[str, int], done: Tidied) -> None:
    totals["compacted"] += 1
    totals["folded_bytes"] += done.folded_bytes
    totals["swept"] += done.swept
    totals["problems"] += done.problem is not None


def _report(done: Tidied, as_json: bool, console: Console) -> None:
    fields: dict[str, Any] = {
        "session": done.log.session,
        "branch": done.log.branch,
        "folded_bytes": done.folded_bytes,
        "swept": done.swept,
        "left": done.left,
        "again_in_seconds": done.again_in_seconds,
        "problem": done.problem,
    }
    if as_json:
        click.echo(json.dumps(fields))
    elif done.problem:
        console.print(f"{done.log.root}: {done.problem}", markup=False, highlight=False)


def _sentence(totals: dict[str, int]) -> str:
    parts: Iterable[str] = (
        f"{totals['logs']} logs",
        f"{totals['compacted']} with a tail",
        f"{totals['folded_bytes']} bytes folded",
        f"{totals['swept']} objects swept away",
        *([f"{totals['problems']} left as they are, see above"] if totals["problems"] else []),
    )
    return "; ".join(parts)
