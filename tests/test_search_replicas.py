"""Search workers that have not got equally far: what their answers say."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from history_sink import Fault, HistorySink
from history_sink.protocol.search import Question, Recalled
from history_sink.settings import ProducerSettings
from history_sink_worker.search import recall
from history_sink_worker.search.indexer import Indexer
from history_sink_worker.search.notices import Notices
from history_sink_worker.search.recall import Recall
from history_sink_worker.service.redis_shelf import RedisShelf
from history_sink_worker.service.service import Service, make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.telemetry import trail
from indexes import make_indexer, settle
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


def talk(name: str, count: int) -> list[dict[str, object]]:
    return [{"role": ("user", "assistant")[n % 2], "content": f"{name} says {n} of lynx{n}"} for n in range(count)]


def save(sink: HistorySink, session: str, messages: list[dict[str, object]]) -> None:
    sink.save(session, messages)
    assert sink.flush(session)


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
    settle(ahead)
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


def test_requests_for_excerpts_are_counted_with_the_task_that_asks(
    replicas: tuple[Indexer, Indexer], work: Service, tmp_path: Path
) -> None:
    with trail.follow() as requests:
        hits = answer(work, tmp_path / "one", "serval").hits
    assert len(hits) > 1
    assert len(requests) >= len(hits)
    assert {each.split()[0] for each in requests} >= {"GetObject"}
