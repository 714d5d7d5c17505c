"""Recall through the real parts: what was saved is found, and what is not indexed yet is never called not there."""

import json
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from command import Command, objects
from history_sink import Fault, HistorySink, Malformed, NoAnswer, Recalled, Unavailable
from history_sink.settings import ProducerSettings
from history_sink.testing import MemorySink
from history_sink_worker.life.deletion import delete
from history_sink_worker.service.service import make_service
from history_sink_worker.settings import WorkerSettings
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker


@pytest.fixture(scope="module")
def sink(environment: Mapping[str, str], worker: Worker, search_worker: Worker) -> Iterator[HistorySink]:
    del worker, search_worker
    with HistorySink(ProducerSettings.from_env(producer_environment(environment))) as sink:
        yield sink


def recall(sink: HistorySink, query: str, **options: Any) -> Recalled:
    answer = sink.recall(query, **options)
    assert isinstance(answer, Recalled), answer
    return answer


def said(text: str, role: str = "user") -> dict[str, object]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def test_what_was_just_saved_is_in_the_answer_to_the_very_next_question(sink: HistorySink) -> None:
    receipt = sink.save("otters", [said("where do sea otters sleep?"), said("wrapped in kelp", "assistant")])
    found = recall(sink, "kelp otters", at_least=receipt)
    assert {(hit.session, hit.branch, hit.message, hit.role) for hit in found.hits} == {
        ("otters", None, 0, "user"),
        ("otters", None, 1, "assistant"),
    }
    for hit in found.hits:
        line = sink.resolve(hit.handle)
        assert not isinstance(line, Fault)
        assert json.loads(line)["content"][0]["text"] == hit.excerpt
        assert {hit.excerpt[start:end] for start, end in hit.marks} <= {"kelp", "otters"}
        assert hit.marks


def test_a_save_is_found_by_itself_within_seconds(sink: HistorySink) -> None:
    sink.save("herons", [said("the heron stands still")])
    wait_until(lambda: bool(recall(sink, "heron").hits), timeout_seconds=30, what="the heron to be found")
    sink.append("herons", said("and then it strikes", "assistant"))
    wait_until(lambda: bool(recall(sink, "strikes").hits), timeout_seconds=30, what="the append to be found")
    wait_until(lambda: recall(sink, "heron").is_complete, timeout_seconds=30, what="the index to be level")
    nothing = recall(sink, "xylophone")
    assert nothing.hits == ()
    assert nothing.is_complete
    assert nothing.newest_write > 1.7e9


def test_filters_narrow_what_is_found(sink: HistorySink) -> None:
    old, new = "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
    lines = [
        {
            "type": "user",
            "cwd": "/home/me/puffin",
            "timestamp": old,
            "message": {"role": "user", "content": "puffin one"},
        },
        {
            "type": "user",
            "cwd": "/home/me/puffin",
            "timestamp": new,
            "message": {"role": "user", "content": "puffin two"},
        },
    ]
    sink.save("puffins", [*lines, said("puffin three", "assistant")])
    receipt = sink.save("others", [said("puffin four")])
    asked: dict[str, Any] = {"query": "puffin", "at_least": receipt}
    recall(sink, "puffin", at_least=sink.save("puffins", [*lines, said("puffin three", "assistant")]))

    def find(**more: object) -> set[str]:
        return {hit.excerpt for hit in recall(sink, **{**asked, **more}).hits}

    assert find() == {"puffin one", "puffin two", "puffin three", "puffin four"}
    assert find(session="others") == {"puffin four"}
    assert find(role="assistant") == {"puffin three"}
    assert find(project="puffin") == find(project="/home/me/puffin") == {"puffin one", "puffin two", "puffin three"}
    assert find(since=1.75e9) == {"puffin two"}
    assert find(query='"puffin t" puffin') == set()
    assert find(query='puffin "puffin two"') == {"puffin two"}
    assert len(recall(sink, "puffin", limit=2).hits) == 2


def test_a_branch_is_found_from_where_it_parts(sink: HistorySink) -> None:
    common = [said("badgers dig setts"), said("with many rooms", "assistant")]
    recall(sink, "worms", at_least=sink.save("badgers", [*common, said("the old ending about worms")]))
    receipt = sink.save("badgers", [*common, said("the new ending about cubs")])
    assert receipt.branch is not None
    found = recall(sink, "badgers cubs worms", session="badgers", at_least=receipt)
    recall(sink, "badgers", at_least=receipt)
    places = {(hit.excerpt, hit.branch) for hit in found.hits}
    assert ("the new ending about cubs", receipt.branch) in places
    assert [place for place in places if place[0] == "badgers dig setts"] == [("badgers dig setts", None)]
    only = recall(sink, "ending", session="badgers", branch=receipt.branch)
    assert [hit.excerpt for hit in only.hits] == ["the new ending about cubs"]


def test_no_index_is_readable_by_others(sink: HistorySink, index: Path) -> None:
    assert recall(sink, "anything").messages
    assert stat.S_IMODE(index.stat().st_mode) == 0o700


def test_no_word_of_a_question_or_an_excerpt_is_logged(
    sink: HistorySink, worker: Worker, search_worker: Worker
) -> None:
    receipt = sink.save("secret", [said("the password of the wolverine is xyzzyplugh")])
    assert recall(sink, "wolverine quuxfrobnicate", at_least=receipt).hits
    logs = worker.process.log() + search_worker.process.log()
    assert "session_recall" in logs
    assert not any(word in logs for word in ("wolverine", "quuxfrobnicate", "xyzzyplugh"))


WRONG: list[dict[str, object]] = [
    {"query": " "}, {"limit": 0}, {"role": "nobody"}, {"branch": "000000000001-0123456789abcdef"}, {"at_least": 7},
    {"since": float("nan")}, {"since": float("inf")}, {"since": 10**30},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_question_that_cannot_be_is_refused(sink: HistorySink, wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        sink.recall(**{"query": "word", **wrong})  # type: ignore[arg-type]  # on purpose


def test_without_a_search_worker_the_error_says_what_is_missing(
    environment: Mapping[str, str], redis_server: RedisServer
) -> None:
    nobody = {**environment, "CODETETHER_HISTORY_BROKER_URL": redis_server.new_database()}  # which no worker follows
    settings = ProducerSettings.from_env(producer_environment(nobody))
    with HistorySink(settings) as lonely, pytest.raises(NoAnswer, match=r"history\.search"):
        lonely.recall("word", timeout_seconds=2)


def test_a_deleted_session_is_not_shown_from_its_tombstone_on(
    sink: HistorySink, environment: Mapping[str, str]
) -> None:
    receipt = sink.save("gone", [said("a quetzal in the cloud forest")])
    assert recall(sink, "quetzal", at_least=receipt).hits
    delete(make_service(WorkerSettings.from_env(environment)), "gone")
    assert recall(sink, "quetzal").hits == ()


def test_an_index_that_does_not_get_there_in_time_says_how_far_it_is(sink: HistorySink, worker: Worker) -> None:
    sink.save("slow", [said("a saved cuckoo")])
    assert sink.flush("slow")
    worker.process.pause()
    try:
        receipt = sink.save("slow", [said("a saved cuckoo"), said("another, still in the queue")])
        answer = sink.recall("cuckoo", at_least=receipt, timeout_seconds=20)
    finally:
        worker.process.resume()
    assert isinstance(answer, Fault)
    assert answer.kind == "backend_error"
    assert "is at byte" in str(answer.reason)


def test_what_was_appended_is_in_the_answer_to_the_very_next_question(sink: HistorySink) -> None:
    sink.save("grown", [said("a saved toucan")])
    receipt = sink.append("grown", said("a toucan that came later"))
    assert len(recall(sink, "toucan", at_least=receipt, timeout_seconds=30).hits) == 2


def test_the_command_marks_what_matches_and_tells_nothing_from_not_yet(
    sink: HistorySink, environment: Mapping[str, str]
) -> None:
    command = Command(producer_environment(environment))
    recall(sink, "ibis", at_least=sink.save("marsh", [said("an ibis \x1b[31m wades")]))
    wait_until(lambda: recall(sink, "ibis").is_complete, timeout_seconds=30, what="the index to be level")
    shown = command("recall", "ibis", "wades")
    assert shown.status == 0, shown.err
    assert "an «ibis»  [31m «wades»" in shown.out.decode()
    assert "marsh" in shown.out.decode()
    (plain,) = objects(command("recall", "ibis", "--json"))
    assert [hit["session"] for hit in plain["hits"]] == ["marsh"]
    assert plain["is_complete"] is True
    nothing = command("recall", "no-such-word-at-all")
    assert (nothing.status, nothing.out) == (3, b"")
    assert "Nothing found in" in nothing.err
    assert command("recall", "ibis", "--since", "yesterday").status == 2
    assert command("recall", "ibis", "--branch", "000000000001-0123456789abcdef").status == 2


def test_the_lines_of_the_page_find_what_was_said(
    sink: HistorySink, environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "recall.md").read_text()
    lines = [{"cwd": "/home/me/tidevand", "message": {"role": "user", "content": "why does the test fail?"}}]
    lines += [{"message": {"role": "tool", "content": "flaky test: connection reset by peer"}}]
    recall(sink, "fail", at_least=sink.save("tests", lines), timeout_seconds=30)
    exec(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0], {"sink": sink})
    assert "tests 0 why does the test fail?" in capsys.readouterr().out
    command = Command(producer_environment(environment))
    shown = [command(*shlex.split(line)[1:]) for line in re.findall(r"^history-sink recall .*$", page, re.MULTILINE)]
    assert [done.status for done in shown] == [0, 3], shown  # the line has no time of its own to be later than that
    assert b"tests" in shown[0].out


def test_a_question_is_checked_before_the_store_is_asked_what_it_has_to_have() -> None:
    sink = MemorySink()
    receipt = sink.append("s", said("a kiwi"))
    with sink.archive.workers_away(), pytest.raises(Malformed, match="limit"):
        sink.recall("kiwi", limit=0, at_least=sink.append("s", said("a kiwi, too")))
    sink.close()
    with pytest.raises(Unavailable, match="closed"):
        sink.recall("kiwi", at_least=receipt)
