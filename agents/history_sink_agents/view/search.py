"""Search: what `sink.recall` finds, or why nobody can say."""

from dataclasses import dataclass
from typing import Any

from history_sink import Fault, HistorySink, Malformed, NoAnswer, Unavailable
from history_sink_agents.view.site import link_session
from history_sink_agents.view.texts import show_time

_LIMIT = 30


@dataclass(frozen=True, slots=True)
class ShownHit:
    """A message that fits: its excerpt in pieces, each with whether it matched."""

    session: str
    branch: str | None
    message: int
    role: str
    when: str
    link: str
    excerpt: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a question. `trouble` says why there is none, `notes` how complete it is."""

    hits: tuple[ShownHit, ...] = ()
    trouble: str = ""
    notes: tuple[str, ...] = ()


def ask(sink: HistorySink, query: str, session: str = "") -> Found:
    """Ask a search worker. Never raises for an answer that is none: it is told."""
    recall = getattr(sink, "recall", None)
    if recall is None:
        return Found(trouble="This version of history-sink has no search.")
    try:
        answer = recall(query, session=session or None, limit=_LIMIT)
    except NoAnswer:
        return Found(trouble="No search worker answers. One runs with: history-sink-worker, queue history.search.")
    except Unavailable as error:
        return Found(trouble=str(error))
    except Malformed as error:
        return Found(trouble=str(error))
    if isinstance(answer, Fault):
        return Found(trouble=str(answer))
    return Found(tuple(map(_show_hit, answer.hits)), notes=tuple(_describe(answer)))


def mark_excerpt(excerpt: str, marks: Any) -> tuple[tuple[str, bool], ...]:
    """An excerpt in pieces by the ranges that matched; ranges that cannot be are passed over."""
    pieces, at = [], 0
    for start, end in sorted(marks):
        if at <= start < end <= len(excerpt):
            pieces += [(excerpt[at:start], False), (excerpt[start:end], True)]
            at = end
    return tuple(each for each in (*pieces, (excerpt[at:], False)) if each[0])


def _show_hit(hit: Any) -> ShownHit:
    query = {"branch": hit.branch} if hit.branch else {}
    link = link_session(hit.session, query, turn=hit.message) + f"#t{hit.message}"
    return ShownHit(
        hit.session, hit.branch, hit.message, hit.role, show_time(hit.at), link, mark_excerpt(hit.excerpt, hit.marks)
    )


def _describe(answer: Any) -> list[str]:
    notes = []
    if answer.is_rebuilding:
        notes.append("The index is being built: there may be more.")
    if answer.behind:
        notes.append(f"The index lacks something of {answer.behind:,} logs: there may be more.")
    if answer.newest_write:
        notes.append(f"The newest save in the index is of {show_time(answer.newest_write)} UTC.")
    return notes
