"""What the command `history-sink` tells: results in words, for people, and as JSON, for programs."""

import json
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from history_sink.protocol.listing import SessionSummary
from history_sink.protocol.status import LogStatus, Status
from history_sink.transport.clock import describe_skew

if TYPE_CHECKING:
    from history_sink.cli.backfill import Backfill, Saved
    from history_sink.cli.check import CheckResult
    from history_sink.client.ranges import ChainMeter, Source
    from history_sink.openers import Opening

_COLUMNS = {"last_write": "<20", "messages": ">9", "bytes": ">15", "chain": "<16"}
"""The fields that `list` shows before a session's name, and their columns' widths."""


def tell_saved(saved: "Saved", as_json: bool, has_waited: bool, is_dry: bool = False) -> None:
    """One file is done with: what was saved on stdout, what was not on stderr."""
    if as_json:
        click.echo(json.dumps(asdict(saved)))
    elif saved.messages or not saved.problem:
        click.echo(_describe_saved(saved, has_waited, is_dry))
    for note in saved.notes:
        click.echo(f"{saved.file}: note: {note}", err=True)
    if saved.unfinished_bytes and not saved.problem:
        left = count(saved.unfinished_bytes, "byte")
        click.echo(f"{saved.file}: {left} behind the last newline left for later: still being written", err=True)
    if saved.problem:
        line = f", line {saved.line}" if saved.line else ""
        click.echo(f"{saved.file}{line}: {saved.problem}", err=True)


def _describe_saved(saved: "Saved", has_waited: bool, is_dry: bool) -> str:
    if not saved.messages:
        return f"{saved.file}: no messages"
    log = f"session {saved.session}" + (f", branch {saved.branch}" if saved.branch else "")
    if is_dry:
        return f"{saved.file}: {log}: {_size(saved.messages, saved.bytes)}, {saved.sent_messages:,} would be sent"
    state = "stored" if saved.stored else "not confirmed" if has_waited else "handed over"
    raw = f" ({saved.raw_lines:,} no JSON object, kept as they are)" if saved.raw_lines else ""
    done = ", ".join(f"{number:,} {name}" for name, number in sorted(saved.filtered.items()))
    raw += f" (filtered: {done})" if done else ""
    return f"{saved.file}: {log}: {_size(saved.messages, saved.bytes)}, {saved.sent_messages:,} sent{raw}; {state}"


def tell_end(work: "Backfill", files: int, is_dry: bool = False) -> None:
    """How it went with many files, on stderr."""
    done = work.results
    troubled = sum(saved.problem is not None for saved in done)
    if files > 1:
        sent = sum(saved.sent_messages for saved in done)
        verbs = ("looked at", "would be sent") if is_dry else ("saved", "sent")
        parts = [f"{count(len(done) - troubled, 'file')} {verbs[0]}, {count(sent, 'message')} {verbs[1]}"]
        parts += [f"{troubled} with a problem"] if troubled else []
        parts += [f"{files - len(done)} not tried"] if len(done) < files else []
        click.echo("; ".join(parts), err=True)


def tell_clock(ahead_seconds: float | None) -> None:
    """That this machine's clock is wrong, where it is, on stderr."""
    if skew := describe_skew(ahead_seconds):
        click.echo(f"note: {skew}; set it (NTP)", err=True)


def tell_interrupted(work: "Backfill", files: int) -> None:
    """What is done, and what is on its way, when Ctrl-C comes; on stderr."""
    click.echo(f"Done with {len(work.results)} of {count(files, 'file')}.", err=True)
    for saved in work.waiting:
        click.echo(
            f"{saved.file}: {count(saved.messages, 'message')} handed over or there before, not confirmed", err=True
        )
    click.echo("The same command goes on from there.", err=True)


def session_header(fields: Collection[str]) -> str:
    """What stands above the lines of `list`."""
    cells = [f"{name.replace('_', ' ').upper():{width}}" for name, width in _COLUMNS.items() if name in fields]
    return "  ".join([*cells, "SESSION"])


def describe_session(summary: SessionSummary, fields: Collection[str]) -> str:
    """A line of `list`."""
    later = f", written later: {summary.later_branch}" if summary.later_branch else ""
    branches = f"  (+ {count(summary.branches, 'branch', 'branches')}{later})" if summary.branches else ""
    cells = [f"{_show_field(summary, name):{width}}" for name, width in _COLUMNS.items() if name in fields]
    return "  ".join([*cells, f"{summary.session}{branches}"])


def _show_field(summary: SessionSummary, name: str) -> str:
    value = getattr(summary, name)
    if value is None:
        return "?"  # a worker of an older version
    return show_time(value) if name == "last_write" else f"{value:,}" if isinstance(value, int) else str(value)


def describe_status(status: Status) -> str:
    """All of a status, a few lines."""
    lines = [f"session {status.session} in bucket {status.bucket}"]
    for log in status.logs:
        lines += _describe_log(log)
    for stray in status.strays:
        lines += [f"stray: bytes {stray.start:,} to {stray.end:,} of a history of its own", f"  {stray.key}"]
    if note := describe_later(status):
        lines.append(note)
    if status.pending:
        lines += [f"pending: {count(status.pending, 'object')} waiting for what comes before"]
    return "\n".join(lines)


def describe_later(status: Status) -> str | None:
    """The note that a branch is newer than the main log: a reader that names no branch gets the main log."""
    later = status.written_later
    if later is None:
        return None
    return f"note: branch {later.branch} was written later than the main log: {show_time(later.last_write)}"


def _describe_log(log: LogStatus) -> list[str]:
    name = f"branch {log.branch}" if log.branch else "main log"
    size = _size(log.messages, log.bytes)
    rules = [f"  begun by the rules {log.rules}"] if log.rules else []
    return [f"{name}: {size}, chain {log.chain}, last write {show_time(log.last_write)}", f"  {log.key}", *rules]


def describe_restored(
    session: str, file: str, source: "Source", meter: "ChainMeter", opening: "Opening", as_json: bool
) -> str:
    """What `restore` has written."""
    if as_json:
        sizes = {"messages": meter.messages, "bytes": meter.size_bytes, "chain": meter.chain16}
        lines = {"opened": opening.opened, "sealed": opening.sealed}
        return json.dumps({"session": session, "file": file, "key": source.key, **sizes, **lines})
    opened = f"; {count(opening.opened, 'sealed line')} opened" if opening.opened else ""
    return f"{file}: {_size(meter.messages, meter.size_bytes)}, as in the store (chain {meter.chain16}){opened}"


def describe_finding(finding: "CheckResult") -> str:
    """A line of `check`."""
    return f"{'ok' if finding.ok else 'FAILED':<6}  {finding.part:<10}  {finding.text} ({finding.seconds:.2f} s)"


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``1,000 files``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _size(messages: int, size_bytes: int) -> str:
    return f"{count(messages, 'message')}, {count(size_bytes, 'byte')}"


def show_time(seconds: float) -> str:
    """Unix seconds as a date and time, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
