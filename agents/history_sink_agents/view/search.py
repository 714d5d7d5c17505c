"""Search: what `sink.recall` finds, or why nobody can say."""

from collections.abc import Iterable
from dataclasses import dataclass

from history_sink import Fault, HistorySink, HistorySinkError, Hit, NoAnswer, Recalled
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
    try:
        answer = sink.recall(query, session=session or None, limit=_LIMIT)
    except NoAnswer:
        return Found(trouble="No search worker answers, so nobody can say what there is.")
    except HistorySinkError as error:
        return Found(trouble=str(error))
    if isinstance(answer, Fault):
        return Found(trouble=str(answer))
    return Found(tuple(map(_show_hit, answer.hits)), notes=tuple(_describe(answer)))


def mark_excerpt(excerpt: str, marks: Iterable[tuple[int, int]]) -> tuple[tuple[str, bool], ...]:
    """An excerpt in pieces by the ranges that matched; ranges that cannot be are passed over."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for start, end in sorted(marks):
        if at <= start < end <= len(excerpt):
            pieces += [(excerpt[at:start], False), (excerpt[start:end], True)]
            at = end
    return tuple(each for each in (*pieces, (excerpt[at:], False)) if each[0])


def _show_hit(hit: Hit) -> ShownHit:
    query = {"branch": hit.branch} if hit.branch else {}
    start = hit.handle.byte_range[0] if hit.handle.byte_range else 0
    link = link_session(hit.session, query, turn=hit.message, offset=start) + f"#t{hit.message}"
    return ShownHit(
        hit.session, hit.branch, hit.message, hit.role, show_time(hit.at), link, mark_excerpt(hit.excerpt, hit.marks)
    )


def _describe(answer: Recalled) -> list[str]:
    """How complete the answer is: where it is not, what was not found may be there all the same."""
    notes = []
    if not answer.is_complete:
        why = f"it lacks something of {answer.behind:,} logs" if answer.behind else "it is being built"
        notes.append(f"The index is not complete ({why}): there may be more.")
    if answer.sealed:
        notes.append(f"{answer.sealed:,} sealed lines are not searched.")
    if answer.newest_write:
        notes.append(f"The newest save in the index is of {show_time(answer.newest_write)} UTC.")
    return notes
