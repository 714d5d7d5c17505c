"""``history-sink-worker verify``."""

import json
import sys
from collections import Counter
from dataclasses import asdict

import click
from rich.filesize import decimal
from rich.progress import Progress

from history_sink.protocol.dashes import Named
from history_sink_worker.cli.console import giving_up, open_progress, open_service, read_session
from history_sink_worker.life.inspection import Inspection, Verified

UNFINISHED, INTERRUPTED = 2, 130


@click.command("verify", cls=Named)
@click.argument("session", required=False, callback=read_session)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding on stdout, and one with the totals.")
def verify(session: str | None, as_json: bool) -> None:
    """Read what is stored, all of it or of one SESSION, and say what is not as it must be.

    Chains, gaps, strays, sizes, keys that are not ours, dead letters. Changes nothing; safe beside workers. Exit
    status: 0 with nothing but notes, 1 with problems, 2 when it could not be finished.
    """
    work = open_service()
    totals: Counter[str] = Counter()
    with open_progress() as progress:
        watch = _Watch(progress)
        try:
            with giving_up(UNFINISHED):
                for verified in Inspection(work, watch.advance).verify(session):
                    _report(verified, as_json)
                    _add(totals, verified)
                    watch.pass_by(verified)
        except KeyboardInterrupt:
            progress.stop()
            click.echo(f"interrupted after {_sentence(totals, watch.read_bytes)}", err=True)
            sys.exit(INTERRUPTED)
    if session is not None and not totals["objects"]:
        click.echo(f"history-sink-worker: nothing is stored of {session}", err=True)
        sys.exit(UNFINISHED)
    if not totals["objects"]:
        where = f'under "{work.settings.prefix}" in bucket "{work.settings.bucket}"'
        click.echo(f"history-sink-worker: nothing is stored {where}: is it the right one?", err=True)
    click.echo(json.dumps(_encode(totals, watch.read_bytes)) if as_json else _sentence(totals, watch.read_bytes))
    sys.exit(1 if totals["problems"] else 0)


class _Watch:
    """What the line on stderr says."""

    def __init__(self, progress: Progress) -> None:
        self.read_bytes = 0
        self._sessions, self._last = 0, ""
        self._progress, self._task = progress, progress.add_task("", total=None)

    def advance(self, size_bytes: int) -> None:
        self.read_bytes += size_bytes
        text = f"{self._sessions} sessions, {decimal(self.read_bytes)} read, behind {self._last or 'the beginning'}"
        self._progress.update(self._task, description=text)

    def pass_by(self, verified: Verified) -> None:
        self._sessions, self._last = self._sessions + bool(verified.session), verified.session


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


def _encode(totals: Counter[str], read_bytes: int) -> dict[str, int]:
    names = ("sessions", "logs", "objects", "messages", "bytes", "problems", "notes")
    return {**{name: totals[name] for name in names}, "read_bytes": read_bytes}


def _sentence(totals: Counter[str], read_bytes: int) -> str:
    held = f"{totals['sessions']} sessions, {totals['logs']} logs, {totals['objects']} objects"
    return f"{held}, {decimal(read_bytes)} read: {totals['problems']} problems, {totals['notes']} notes"
