"""`history-sink-worker tidy`: fold and sweep what the due list has lost."""

import json
import sys
from collections import Counter
from dataclasses import asdict

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
    totals: Counter[str] = Counter()
    with open_progress(quiet=as_json) as progress, giving_up():
        task = progress.add_task("", total=None)
        for totals["logs"], each in enumerate(find_logs(work), 1):
            done = tidy(work, each, idle_seconds, everything)
            if done is not None:
                _report(done, as_json, progress.console)
                totals["compacted"] += 1
                totals["folded_bytes"] += done.folded_bytes
                totals["swept"] += done.swept
                totals["problems"] += done.problem is not None
            progress.update(task, description=f"{totals['logs']} logs seen, {totals['compacted']} compacted")
    names = ("logs", "compacted", "folded_bytes", "swept", "problems")
    click.echo(json.dumps({name: totals[name] for name in names}) if as_json else _sentence(totals))
    sys.exit(1 if totals["problems"] else 0)


def _report(done: Tidied, as_json: bool, console: Console) -> None:
    if as_json:
        facts = asdict(done)
        del facts["log"]
        click.echo(json.dumps({"session": done.log.session, "branch": done.log.branch, **facts}))
    elif done.problem:
        console.print(f"{done.log.root}: {done.problem}", markup=False, highlight=False)


def _sentence(totals: Counter[str]) -> str:
    parts = [
        f"{totals['logs']} logs",
        f"{totals['compacted']} with a tail",
        f"{totals['folded_bytes']} bytes folded",
        f"{totals['swept']} objects swept away",
    ]
    if totals["problems"]:
        parts.append(f"{totals['problems']} left as they are, see above")
    return "; ".join(parts)
