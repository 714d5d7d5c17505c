"""Who reads a session by its name is told of a branch that was written later, and may ask for what is latest."""

import logging
from collections.abc import Iterator

import pytest

from history_sink import HistorySink, LogStatus, Malformed, Status
from history_sink.client.ranges import NotFound, find_source
from history_sink.protocol.status import LATEST
from plain_store import PlainStore, PlainWorker, lines_of, messages
from stack.redis import RedisServer

BRANCH = "000000000009-0123456789abcdef"
MAIN, LATER = lines_of(messages("main", "again")), lines_of(messages("later"))


@pytest.fixture(scope="module")
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


@pytest.fixture(scope="module")
def worker(url: str) -> Iterator[PlainWorker]:
    worker = PlainWorker(url)
    with worker.running():
        yield worker


@pytest.fixture
def reader(url: str, worker: PlainWorker) -> Iterator[HistorySink]:
    """A sink that has saved nothing. The worker has two sessions: of one the branch was written later."""
    for name, at in (("undone", 20.0), ("gone-back-to", 5.0)):
        logs: dict[str | None, list[bytes]] = {None: MAIN, BRANCH: LATER}
        worker.sessions[name] = PlainStore(name, logs, written={None: 10.0, BRANCH: at})
    with HistorySink(broker_url=url) as sink:
        yield sink


def read(sink: HistorySink, session: str, branch: str | None = None) -> list[bytes]:
    return b"".join(sink.read(session, branch=branch)).splitlines(keepends=True)


def test_who_reads_the_main_log_is_warned_of_a_later_branch(
    reader: HistorySink, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "history_sink"):
        assert read(reader, "undone") == MAIN
    assert [record.getMessage() for record in caplog.records] == [
        f"history-sink: session undone: the main log is read; branch {BRANCH} beside it was written later"
    ]


@pytest.mark.parametrize(
    ("session", "branch", "meant"),
    [
        ("gone-back-to", None, MAIN),
        ("undone", BRANCH, LATER),
        ("undone", LATEST, LATER),
        ("gone-back-to", LATEST, MAIN),
    ],
)
def test_nothing_is_said_to_who_has_what_is_latest_or_named_a_branch(
    reader: HistorySink, caplog: pytest.LogCaptureFixture, session: str, branch: str | None, meant: list[bytes]
) -> None:
    with caplog.at_level(logging.WARNING, "history_sink"):
        assert read(reader, session, branch) == meant
    assert not caplog.records


def test_a_pointer_to_the_latest_names_the_log_that_it_is_now(reader: HistorySink) -> None:
    handle = reader.pointer("undone", branch=LATEST)
    assert handle.key == f"history/undone/branches/{BRANCH}/history.jsonl"
    assert reader.resolve(handle) == b"".join(LATER)
    assert reader.pointer("gone-back-to", branch=LATEST).key == "history/gone-back-to/history.jsonl"
    assert reader.resolve(reader.pointer("undone", messages=(0, 9), branch=LATEST)) == b"".join(LATER)


def test_the_latest_is_the_stores_also_for_who_writes_another_log(reader: HistorySink, worker: PlainWorker) -> None:
    reader.save("mine", messages("old", "line"))
    reader.save("mine", messages("old", "other"))
    assert reader.flush("mine", 10)
    branch = reader.pointer("mine").key.split("/")[-2]
    assert read(reader, "mine") == lines_of(messages("old", "other"))
    worker.sessions["mine"].written = {None: 20.0, branch: 10.0}
    assert read(reader, "mine", LATEST) == lines_of(messages("old", "line"))
    assert reader.pointer("mine", branch=LATEST).key == "history/mine/history.jsonl"


def test_of_a_session_that_is_not_there_nothing_is_latest(reader: HistorySink) -> None:
    with pytest.raises(NotFound):
        read(reader, "never", LATEST)
    with pytest.raises(Malformed):
        reader.read("undone", branch="Latest")


def test_of_a_session_of_branches_alone_the_newest_is_latest() -> None:
    logs = [LogStatus(f"{n:012d}-0123456789abcdef", f"key {n}", 1, 9, "0" * 16, 9, float(n % 3)) for n in range(1, 5)]
    status = Status("b", "history/", "s", tuple(logs))
    assert find_source(status, LATEST).key == "key 2"
