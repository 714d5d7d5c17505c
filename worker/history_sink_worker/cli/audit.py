"""``history-sink-worker audit``."""

import json
import sys
from collections import Counter
from importlib import import_module

import click
from rich.filesize import decimal

from history_sink.protocol.dashes import Named
from history_sink_worker.cli.console import UNFINISHED, looking_over, open_service, read_session
from history_sink_worker.life.audit import Audit, Audited, Scan

FOUND = 1


@click.command("audit", cls=Named)
@click.argument("session", required=False, callback=read_session)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding on stdout, and one with the totals.")
def audit(session: str | None, as_json: bool) -> None:
    """Look for secrets in what is stored.

    Looks at all of it or at one SESSION, with another scanner than redaction has. Says which rule applies where, as a
    pointer; never the value. Sealed lines cannot be looked at, and are counted. What is found stays in the log: rotate
    the secret, or delete the session. Reads all, and changes nothing. Exit status: 0 with nothing found, 1 with
    findings, 2 when it could not be finished.
    """
    scan = make_scan()
    work = open_service()
    totals: Counter[str] = Counter()
    with looking_over(lambda: _sentence(totals)) as show:

        def advance(size_bytes: int) -> None:
            totals["bytes"] += size_bytes
            show(f"{decimal(totals['bytes'])} read, {totals['findings']} findings")

        for audited in Audit(work, scan, advance).run(session):
            _report(audited, as_json)
            totals["logs"] += bool(audited.lines)
            totals["lines"] += audited.lines
            totals["sealed"] += audited.sealed
            totals["findings"] += len(audited.suspicions)
            totals["problems"] += audited.problem is not None
    names = ("logs", "lines", "sealed", "findings", "problems", "bytes")
    click.echo(json.dumps({name: totals[name] for name in names}) if as_json else _sentence(totals))
    sys.exit(UNFINISHED if totals["problems"] else FOUND if totals["findings"] else 0)


def make_scan() -> Scan:
    """kingfisher, without a network. Ends the process where it is missing."""
    try:
        kingfisher = import_module("kingfisher_sdk")
    except ImportError:
        sys.exit("history-sink-worker: audit needs the extra: pip install 'history-sink[worker,scan]'")
    scanner = kingfisher.Scanner(redact=True)
    return lambda text: [str(finding.rule_id) for finding in scanner.scan(text) if finding.visible]


def _report(audited: Audited, as_json: bool) -> None:
    if audited.problem:
        click.echo(f"{audited.key}: not read: {audited.problem}", err=True)
    for each in audited.suspicions:
        handle = each.handle.encode()
        if as_json:
            told = {"session": each.session, "branch": each.branch, "rule": each.rule, "pointer": handle}
            print(json.dumps(told), flush=True)
        else:  # not click's `echo`, which gets past the progress line, and into it
            start, end = each.handle.byte_range or (0, 0)
            print(f"{each.rule:40}  {each.handle.key}  bytes {start} to {end}")


def _sentence(totals: Counter[str]) -> str:
    read = f"{totals['logs']} logs, {totals['lines']} lines, {decimal(totals['bytes'])} read"
    return f"{read}: {totals['findings']} findings; {totals['sealed']} sealed lines not looked at"
