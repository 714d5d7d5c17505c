"""When lines last came to a log, which a fold leaves as it is; and which log of a session that makes the latest."""

from collections.abc import Mapping

import pytest

from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.listing import Listing, SessionSummary
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.sessions import list_sessions
from history_sink_worker.archive.written import read_written
from history_sink_worker.store import Blob, Entry, Info, Put
from logbook import Logbook, some_lines
from protocol.model_store import ModelStore

HISTORY = some_lines(6)
OTHER = [*HISTORY[:3], *some_lines(3, "x")]
_BEHIND = [START, *walk(START, OTHER)][4]
BRANCH = f"{_BEHIND.offset:012d}-{shorten(_BEHIND.chain)}"


class Session:
    """Two logs of one session on one store."""

    def __init__(self) -> None:
        self.store = ModelStore()
        self.main, self.branch = self._open(None), self._open(BRANCH)

    def _open(self, branch: str | None) -> Logbook:
        return Logbook(self.store.perform, lambda: self.store.now, Log("history/", "s", branch))

    def latest(self) -> tuple[str | None, str | None]:
        """The branch that was written after the main log, by a status and by the list."""
        later = self.main.survey().written_later
        return later.branch if later else None, self.summary().later_branch

    def summary(self) -> SessionSummary:
        page: Listing = self.main.run(list_sessions(self.main.context, "history/", "", 10))
        return page.sessions[0]

    def change_meta(self, book: Logbook, change: Mapping[str, str | None]) -> None:
        """As another worker would have left it; None takes a name away."""
        blob = self.store.objects[book.log.base]
        meta = {name: text for name, text in {**blob.info.meta, **change}.items() if text is not None}
        info = Info(blob.info.size_bytes, blob.info.etag, meta, blob.info.modified)
        self.store.objects[book.log.base] = Blob(blob.body, info)


@pytest.fixture
def session() -> Session:
    return Session()


def test_a_fold_is_no_write(session: Session) -> None:
    session.main.save_each(HISTORY)
    before = session.main.survey().logs[0].last_write
    for _ in range(2):
        session.main.compact()
        session.store.now += 10_000
        assert session.main.survey().logs[0].last_write == before
    assert session.main.survey().logs[0].base_bytes == len(b"".join(HISTORY))
    assert session.summary().last_write == before
    session.main.save([*HISTORY, *some_lines(1, "new")], 6, 7)
    assert session.main.survey().logs[0].last_write > before + 10_000


def test_a_later_branch_stays_later_when_the_main_log_is_folded(session: Session) -> None:
    session.main.save_each(HISTORY)
    session.branch.save_each(OTHER)
    assert session.latest() == (BRANCH, BRANCH)
    session.main.compact()
    assert session.latest() == (BRANCH, BRANCH)
    session.branch.compact()
    assert session.latest() == (BRANCH, BRANCH)


def test_an_older_branch_stays_older_when_it_is_folded(session: Session) -> None:
    session.branch.save_each(OTHER)
    session.main.save_each(HISTORY)
    assert session.latest() == (None, None)
    session.branch.compact()
    session.store.now += 10_000  # past which the folded objects go
    session.branch.compact()
    assert session.latest() == (None, None)


def test_a_base_of_the_older_sink_keeps_its_time_when_it_is_adopted(session: Session) -> None:
    session.store.perform(Put(session.main.log.base, b"".join(HISTORY[:3]), {}))
    at = session.store.objects[session.main.log.base].info.modified
    assert session.main.survey().logs[0].last_write == at
    session.store.now += 1000
    session.main.compact()
    assert session.store.objects[session.main.log.base].info.modified > at
    assert session.main.survey().logs[0].last_write == at


def test_a_base_that_an_older_worker_folded_has_the_time_of_that_fold(session: Session) -> None:
    session.main.save_each(HISTORY)
    session.main.compact()
    session.change_meta(session.main, {"hs-written": None})
    folded_at = session.store.objects[session.main.log.base].info.modified
    assert session.main.survey().logs[0].last_write == folded_at
    more = [*HISTORY, *some_lines(1, "new")]
    session.main.save(more, 6, 7)
    written_at = session.main.survey().logs[0].last_write
    session.store.now += 1000
    session.main.compact()
    assert session.main.survey().logs[0].last_write == written_at > folded_at


def test_strays_beside_a_log_do_not_make_it_the_later_one(session: Session) -> None:
    session.main.save_each(HISTORY)
    session.branch.save_each(OTHER)
    at = session.summary().last_write or 0
    apart = [*HISTORY[:4], *some_lines(2, "apart")]
    assert session.main.save(apart, 4, 6).outcome == "diverged"
    assert session.latest() == (BRANCH, BRANCH)
    assert (session.summary().last_write or 0) > at, "the session was written to"


@pytest.mark.parametrize("text", ["", "soon", "-1", "1" * 400, "\u0661"])
def test_a_mark_that_says_nothing_is_as_none(text: str) -> None:
    assert read_written({"hs-written": text}, Entry("key", 1, '"1"', 7.0)) == 7.0


def test_a_branch_is_asked_for_its_base_only_where_the_list_leaves_it_open(session: Session) -> None:
    session.branch.save_each(OTHER)
    session.main.save_each(HISTORY)
    session.main.compact()

    def heads() -> int:
        session.summary()
        return session.main.requests["Head"]

    alone = heads()
    session.branch.save([*OTHER, *some_lines(1, "y")], 6, 7)
    assert heads() == alone, "something newer than its base lies beside it"
    session.branch.compact()
    session.store.now += 10_000
    session.branch.compact()
    assert heads() == alone + 1
