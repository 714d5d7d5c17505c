"""A search worker that was given the keys finds what was said in sealed sessions; its answers have it in the clear."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from forked_process import ForkedWorker
from history_sink import HistorySink, ProducerSettings, Recalled
from history_sink_agents.sealing import Keyring, Sealing, read_keyring
from history_sink_agents.sealing.keyring import MASTER_FILE, make_master, parse_keys
from history_sink_worker.search.index import Index
from history_sink_worker.search.places import Scope
from history_sink_worker.search.state import State
from plain_store import lines_of, messages
from stack.processes import wait_until
from stack.stack import producer_environment
from stack.worker import Worker


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "masters"
    path.write_text(make_master()[1])
    return path


@pytest.fixture
def keyed(environment: Mapping[str, str], keys: Path, tmp_path: Path) -> Iterator[Worker]:
    variables = {**environment, "CODETETHER_HISTORY_SEARCH_DIR": str(tmp_path / "index"), MASTER_FILE: str(keys)}
    worker = ForkedWorker(variables, log_path=tmp_path / "search.log", name="search", queues=["history.search"])
    worker.start()
    yield worker
    worker.process.kill()


def recall(sink: HistorySink, query: str, **more: object) -> Recalled:
    found = sink.recall(query, timeout_seconds=60.0, **more)  # type: ignore[arg-type]
    assert isinstance(found, Recalled), found
    return found


def test_what_was_sealed_is_found_where_the_search_worker_has_the_key(
    environment: Mapping[str, str], worker: Worker, keyed: Worker, keys: Path, tmp_path: Path
) -> None:
    del worker, keyed  # they answer
    settings, history = ProducerSettings.from_env(producer_environment(environment)), messages("the pelican", "flies")
    ours = Sealing(read_keyring({MASTER_FILE: str(keys)}), tmp_path / "state")
    others = Sealing(Keyring(parse_keys(make_master()[1], "")[0]), tmp_path / "others")
    with HistorySink(settings, filters=[others]) as sink:
        receipt = sink.save("others", messages("another pelican"))
        recall(sink, "pelican", at_least=receipt)
    with HistorySink(settings, filters=[ours]) as sink:
        found = recall(sink, "pelican", at_least=sink.save("ours", history))
        (hit,) = found.hits
        assert (hit.session, hit.message, hit.excerpt) == ("ours", 0, "the pelican")
        wait_until(lambda: recall(sink, "pelican").sealed == 1, timeout_seconds=30, what="the others' to be counted")
        state = State.read(tmp_path / "index")
        assert state is not None
        index = Index(tmp_path / "index" / str(state.folder))
        assert [each.kept for each in index.search(index.read("pelican"), Scope(), 9)] == [None]
        assert sink.resolve(hit.handle) == lines_of(history)[0]
        assert sink.resolve(hit.handle, stored=True) != lines_of(history)[0]
