"""A search worker's folder on this machine: is somebody at work in it, how far is its index, who can read it."""

import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from history_sink_worker.doctor.findings import Finding
from history_sink_worker.search.state import State

LATE_SECONDS = 60.0
FREE_SHARE = 0.1
_NAME = "search"


@dataclass(frozen=True, slots=True)
class SearchFacts:
    """`state` None: no index was begun here. `mode`: the folder's permissions; `free_share`: what its disk has free."""

    has_extra: bool
    state: State | None = None
    mode: int = 0
    free_share: float = 1.0


def examine_search(home: str | None) -> Iterator[Finding]:
    """Nothing where no folder for an index is configured here."""
    if home is not None:
        yield from judge_search(look_at(Path(home)), time.time())


def look_at(home: Path) -> SearchFacts:
    """Reads what the writer says of itself; asks nobody."""
    has_extra = find_spec("tantivy") is not None
    if not home.is_dir():
        return SearchFacts(has_extra)
    disk = shutil.disk_usage(home)
    return SearchFacts(has_extra, State.read(home), stat.S_IMODE(home.stat().st_mode), disk.free / disk.total)


def judge_search(facts: SearchFacts, now: float) -> Iterator[Finding]:
    """What is to be said of it. Pure."""
    if not facts.has_extra:
        yield Finding("problem", _NAME, "tantivy is not installed", "pip install 'history-sink[search]'")
    state = facts.state
    if state is None:
        advice = "start one: history-sink-worker run -P threads -Q history.search"
        yield Finding("warning", _NAME, "no search worker has begun an index here", advice)
        return
    if facts.mode & 0o077:
        text = f"others can look into the index (mode {facts.mode:04o}), which is as secret as the transcripts"
        yield Finding("problem", _NAME, text, "chmod 0700, and look who could")
    if facts.free_share < FREE_SHARE:
        text = f"its disk has {facts.free_share:.0%} free"
        yield Finding("warning", _NAME, text, "give it more: a rebuild needs as much again as the index has")
    yield from _judge_state(state, now)


def _judge_state(state: State, now: float) -> Iterator[Finding]:
    silent_seconds = now - state.beat_at
    what = f"{state.messages:,} messages, {state.index_bytes / 2**20:.0f} MiB"
    if silent_seconds > LATE_SECONDS:
        text = f"its worker has said nothing for {silent_seconds:.0f} s"
        yield Finding("problem", _NAME, text, "is it running, and what does its log say?")
    elif state.is_rebuilding:
        yield Finding("note", _NAME, f"the index is being built: {what} so far")
    elif state.behind_since is not None and now - state.behind_since > LATE_SECONDS:
        text = f"{state.behind:,} logs have been missing something for {now - state.behind_since:.0f} s"
        yield Finding("warning", _NAME, text, "what does its log say: is the store slow, or away?")
    else:
        yield Finding("ok", _NAME, f"level: {what}")
    if state.sealed:
        yield Finding("note", _NAME, f"{state.sealed:,} lines are sealed, and are not indexed")
