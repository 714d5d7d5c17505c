"""The promises: what an answer may say of the log as it is, and what there must be at the end."""

from collections.abc import Iterable
from typing import Any

from history_sink.protocol.chain import shorten
from history_sink.protocol.pointer import Fault
from history_sink.protocol.status import LogStatus, Status
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.verdict import Verdict

from .jobs import Job, Read, Save
from .oracle import LOG, Objects, Place, Violation, chain_of, places, readable, tails

Histories = list[list[bytes]]


def lines_of(body: bytes) -> list[bytes]:
    """Its whole lines: without an end that the older sink has left open."""
    return [text + b"\n" for text in body.split(b"\n")[:-1]]


def check_verdict(objects: Objects, main: bytes, save: Save, verdict: Verdict) -> None:
    mine, line = places(save.lines), places(lines_of(main))
    parted = verdict.parted and (verdict.parted.messages, verdict.parted.offset)
    if parted and parted != (len(mine & line) - 1, max(mine & line)[0]):
        raise Violation(f"not where they parted: {save} {verdict} {main!r}")
    if verdict.outcome in ("stored", "duplicate") and not mine <= line:
        raise Violation(f"{verdict.outcome}, but not on the main line: {save} {main!r}")
    if verdict.outcome == "diverged":
        if mine <= line or b"".join(save.history).startswith(main):
            raise Violation(f"diverged, but it has not parted: {save} {main!r}")
        if verdict.key not in objects:
            raise Violation(f"diverged, but {verdict.key} is not there")


def check_read(main: bytes, what: Read, main_bytes: int, result: Any) -> None:
    """At least what there was when it began (`main_bytes`), and nothing else."""
    start, end = what.start, what.end or len(main)
    there = min(end, len(b"".join(lines_of(main[:main_bytes])))) - start
    if isinstance(result, bytes):
        if main[start : start + len(result)] != result or len(result) < there:
            raise Violation(f"read {what} gave {result!r} of {main!r}")
    elif there > 0 or result.kind != "no_match":
        raise Violation(f"read {what} gave {result} where there are {there} bytes")


def check_stray(objects: Objects, histories: Histories, what: Read, result: bytes | Fault) -> None:
    held = objects[what.stray or ""].body
    if not isinstance(result, bytes) or not result.endswith(held):
        raise Violation(f"stray {what.stray} reads as {result!r}")
    if not any(b"".join(history).startswith(result) for history in histories):
        raise Violation(f"stray {what.stray} reads as no history: {result!r}")


def check_survey(main: bytes, job: Job, status: Status) -> None:
    if not job.strays <= {stray.key for stray in status.strays}:
        raise Violation(f"{status} leaves out strays: {job.strays}")
    check_log(main, job.main_bytes, job.what.asked, status.logs[0] if status.logs else None)


def check_log(main: bytes, main_bytes: int, asked: Iterable[Place], found: LogStatus | None) -> None:
    """A log in a status: at least what there was when it began (`main_bytes`), and true of a prefix of it."""
    size = found.bytes if found else 0
    if size < len(b"".join(lines_of(main[:main_bytes]))):
        raise Violation(f"{found} leaves out what there was: {main!r}, {main_bytes}")
    line = places(lines_of(main[:size]))
    common = max((point[0] for point in line & set(asked)), default=0)
    if found and (found.bytes, found.chain, found.messages, found.common) != (*max(line), len(line) - 1, common):
        raise Violation(f"{found} is not {main!r}, {asked} {common}")


def check_end(objects: Objects, main: bytes, histories: Histories, answered: list[tuple[Save, Verdict]]) -> None:
    """When all is compacted: nothing is lost, nothing left over, and nothing beside the log without need."""
    beside = tails(objects)
    if len(histories) == 1 and answered and (main != b"".join(histories[0]) or beside):
        raise Violation(f"not just its history: {main!r}, {histories[0]}, {beside}")
    found, legal = readable(objects), set().union(*map(places, histories))
    for save, verdict in answered:
        if (len(b"".join(save.lines)), shorten(chain_of(save.lines))) not in found:
            raise Violation(f"lost, or waiting for ever: {save} {verdict}")
    check_tidy(objects, main, legal)


def check_tidy(objects: Objects, main: bytes, legal: set[Place], log: Log = LOG) -> None:
    """When all is compacted: no object that need not be there. `legal` are the junctions of all histories."""
    on_main = places(lines_of(main))
    for name, held in tails(objects, log):
        end = (name.start + len(held), name.after)
        if name.kind == "stray" and (end in on_main or end not in legal):
            raise Violation(f"a false stray: {name}")
        if name.kind != "stray" and log.base in objects and name.start < len(objects[log.base].body):
            raise Violation(f"left over below the base: {name}")
    if log.base in objects and objects[log.base].body != main:
        raise Violation("the main line is not folded")
