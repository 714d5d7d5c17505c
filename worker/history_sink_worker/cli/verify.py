"""``history-sink-worker verify``."""

import json
import sys
from collections import Counter
from dataclasses import asdict

import click
from rich.filesize import decimal

from history_sink.protocol.dashes import Named
from history_sink_worker.cli.console import UNFINISHED, looking_over, open_service, read_session
from history_sink_worker.life.inspection import Inspection, Verified

_TOTALS = ("sessions", "logs", "objects", "messages", "bytes", "problems", "notes", "read_bytes")


@click.command("verify", cls=Named)
@click.argument("session", required=False, callback=read_session)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding on stdout, and one with the totals.")
def verify(session: str | None, as_json: bool) -> None:
    """Read what is stored, and say what is not as it must be.

    It reads all, or one SESSION: chains, gaps, strays, sizes, keys that are not ours, dead letters. Changes nothing;
    safe beside workers. Exit status: 0 with nothing but notes, 1 with problems, 2 when it could not be finished.
    """
    work = open_service()
    totals: Counter[str] = Counter()
    last = ""
    with looking_over(lambda: _sentence(totals)) as show:

        def advance(size_bytes: int) -> None:
            totals["read_bytes"] += size_bytes
            read = f"{totals['sessions']} sessions, {decimal(totals['read_bytes'])} read"
            show(f"{read}, behind {last or 'the beginning'}")

        for verified in Inspection(work, advance).verify(session):
            _report(verified, as_json)
            _add(totals, verified)
            last = verified.session
    if session is not None and not totals["objects"]:
        click.echo(f"history-sink-worker: nothing is stored of {session}", err=True)
        sys.exit(UNFINISHED)
    if not totals["objects"]:
        where = f'under "{work.settings.prefix}" in bucket "{work.settings.bucket}"'
        click.echo(f"history-sink-worker: nothing is stored {where}: is it the right one?", err=True)
    click.echo(json.dumps({name: totals[name] for name in _TOTALS}) if as_json else _sentence(totals))
    sys.exit(1 if totals["problems"] else 0)


def _report(verified: Verified, as_json: bool) -> None:
    for finding in verified.findings:
        if as_json:
            print(json.dumps({"session": verified.session or None, **asdict(finding)}), flush=True)
        else:  # not click's `echo`, which gets past the progress line, and into it
            print(f"{finding.level:7}  {finding.kind:11}  {finding.key}: {finding.text}")


def _add(totals: Counter[str], verified: Verified) -> None:
    totals["sessions"] += bool(verified.session)
    for name in ("logs", "objects", "messages"):
        totals[name] += getattr(verified, name)
    totals["bytes"] += verified.size_bytes
    for finding in verified.findings:
        totals[f"{finding.level}s"] += 1


def _sentence(totals: Counter[str]) -> str:
    held = f"{totals['sessions']} sessions, {totals['logs']} logs, {totals['objects']} objects"
    read = f"{held}, {decimal(totals['read_bytes'])} read"
    return f"{read}: {totals['problems']} problems, {totals['notes']} notes"
