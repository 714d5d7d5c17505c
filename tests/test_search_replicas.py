"""Search workers that have not got equally far: what their answers say."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from history_sink import Fault, HistorySink
from history_sink.protocol.search import Hit, Question, Recalled
from history_sink.settings import ProducerSettings
from history_sink_worker.archive import reader
from history_sink_worker.archive.deletions import announce
from history_sink_worker.life.deletion import delete
from history_sink_worker.s3.client import S3Store
from history_sink_worker.search import recall
from history_sink_worker.search.excerpt import EXCERPT_CHARACTERS
from history_sink_worker.search.indexer import Indexer
from history_sink_worker.search.notices import Notices
from history_sink_worker.search.recall import Recall
from history_sink_worker.service.redis_shelf import RedisShelf
from history_sink_worker.service.service import Service, make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Put, Reply, Request
from history_sink_worker.telemetry import trail
from indexes import make_indexer, save, settle, talk
from stack.processes import wait_until
from stack.stack import producer_environment
from stack.worker import Worker


@pytest.fixture(scope="module")
def work(environment: Mapping[str, str]) -> Service:
    return make_service(WorkerSettings.from_env(environment))


@pytest.fixture(scope="module")
def sink(environment: Mapping[str, str], worker: Worker) -> Iterator[HistorySink]:
    del worker
    with HistorySink(ProducerSettings.from_env(producer_environment(environment))) as sink:
        yield sink


def answer(work: Service, home: Path, query: str, at_least: tuple[str, str | None, int] | None = None) -> Recalled:
    found = Recall(work, home).answer(Question(query, at_least=at_least))
    assert isinstance(found, Recalled), found
    return found


def notices_of(work: Service) -> Notices:
    assert work.settings.broker.redis_url is not None
    shelf = RedisShelf(work.settings.broker.redis_url, work.settings.endpoint, work.settings.bucket)
    return Notices(shelf, work.settings.prefix)


@pytest.fixture
def replicas(sink: HistorySink, work: Service, tmp_path: Path) -> Iterator[tuple[Indexer, Indexer]]:
    """Two with folders of their own, level."""
    save(sink, "serval", talk("serval", 2))
    both = (
        make_indexer(work, tmp_path / "one", notices_of(work)),
        make_indexer(work, tmp_path / "two", notices_of(work)),
    )
    for each in both:
        settle(each)
    yield both
    for each in both:
        each.close()


def test_of_two_replicas_each_says_how_complete_its_own_answer_is(
    replicas: tuple[Indexer, Indexer], sink: HistorySink, work: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "WAIT_SECONDS", 0.3)
    ahead, behind = replicas
    save(sink, "serval", talk("serval", 6))
    offset = sink.status("serval").logs[0].bytes

    def reaches() -> bool:
        settle(ahead)
        cursor = ahead._feed.index.cursor("serval", None)
        return cursor is not None and cursor.offset >= offset

    wait_until(reaches, timeout_seconds=30, what="the notice of a save")
    behind._listen(time.time())  # it was told, and has not got to it
    behind._beat(time.time())

    full = answer(work, tmp_path / "one", "serval lynx5", ("serval", None, offset))
    assert full.is_complete
    assert (full.hits[0].session, full.hits[0].message) == ("serval", 5)
    partial = answer(work, tmp_path / "two", "serval lynx5")
    assert partial.behind == 1
    assert not partial.is_complete
    assert ("serval", 5) not in {(hit.session, hit.message) for hit in partial.hits}
    refused = Recall(work, tmp_path / "two").answer(Question("serval", at_least=("serval", None, offset)))
    assert isinstance(refused, Fault)
    assert refused.kind == "backend_error"

    settle(behind)
    level = answer(work, tmp_path / "two", "serval lynx5", ("serval", None, offset))
    assert level.is_complete
    assert level.hits[0].handle == full.hits[0].handle


@pytest.fixture(scope="module")
def dens(sink: HistorySink, work: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an index that nobody writes any more, of ten logs: each has a text that is kept, and a long one."""
    for number in range(10):
        long = {"role": "tool", "content": f"marten {number} {'tracks ' * EXCERPT_CHARACTERS}"}
        sink.save(f"den{number}", [{"role": "user", "content": f"a wolverine in den {number}"}, long])
    assert all(sink.flush(f"den{number}") for number in range(10))
    home = tmp_path_factory.mktemp("dens")
    indexer = make_indexer(work, home)
    settle(indexer)
    indexer.close()
    return home


def read_text(work: Service, hit: Hit) -> str:
    bucket, prefix = work.settings.bucket, work.settings.prefix
    line = work.run(reader.read(work.context, bucket, prefix, hit.handle.encode(), 99_999))
    assert isinstance(line, bytes)
    return str(json.loads(line)["content"])


def test_one_request_vouches_for_ten_hits_in_ten_logs(dens: Path, work: Service) -> None:
    known = Recall(work, dens)
    known.answer(Question("what was deleted before"))
    with trail.follow() as requests:
        found = known.answer(Question("wolverine den"))
    assert isinstance(found, Recalled), found
    hits = found.hits
    assert [each.split()[0] for each in requests] == ["GetObject"]
    assert {hit.session for hit in hits} == {f"den{number}" for number in range(10)}
    assert all(hit.excerpt == read_text(work, hit) for hit in hits)


def test_what_is_too_long_to_be_kept_is_read_through_the_archive(dens: Path, work: Service) -> None:
    with trail.follow() as requests:
        hits = answer(work, dens, "marten").hits
    assert len(hits) == 10
    assert len(requests) > 10
    assert all(read_text(work, hit).startswith(hit.excerpt) for hit in hits)


def test_a_deleted_session_is_not_shown_by_an_index_that_has_not_heard_of_it(dens: Path, work: Service) -> None:
    known = Recall(work, dens)

    def ask() -> set[str]:
        found = known.answer(Question("wolverine den"))
        assert isinstance(found, Recalled), found
        return {hit.session for hit in found.hits}

    everything = ask()
    work.run(announce(work.settings.prefix, ["den3"]))
    assert ask() == everything  # it is still there
    delete(work, "den3")
    delete(work, "den7")
    assert ask() == everything - {"den3", "den7"}
    assert {hit.session for hit in answer(work, dens, "marten").hits} == everything - {"den3", "den7"}


def test_a_deletion_writes_the_name_before_the_tombstone(work: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question in between must see one of both."""
    written: list[str] = []
    perform = type(work.store).perform

    def noting(store: S3Store, request: Request) -> Reply:
        written.extend([request.key] if isinstance(request, Put) else [])
        return perform(store, request)

    monkeypatch.setattr(S3Store, "perform", noting)
    delete(work, "never-there")
    assert written == ["history/~deleted", "history/never-there/history.jsonl"]
