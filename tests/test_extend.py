"""A history that is streamed: it follows a place, and nothing of it is kept."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink import BadMessage, LogEnd, LogStatus, Malformed, NotFound, Status, Unavailable
from history_sink.testing import MemoryArchive, MemorySink

LINES = [b'{"n":%d}' % number for number in range(9)]


def test_what_is_extended_is_what_is_saved() -> None:
    with MemorySink() as one, MemorySink() as other:
        one.save("s", LINES)
        first = other.extend("s", iter(LINES[:4]), LogEnd())
        second = other.extend("s", iter(LINES[4:]), first.end or LogEnd())
        assert (first.state, first.messages, second.messages) == ("enqueued", 4, 5)
        assert one.archive.lines("s") == other.archive.lines("s")
        assert second.end == one.resume("s") == one.measure(LINES)


def test_another_process_goes_on_where_the_log_ends() -> None:
    archive = MemoryArchive()
    with MemorySink(archive) as one:
        one.save("s", LINES[:3])
    with MemorySink(archive) as other:
        end = other.resume("s")
        assert end.messages == 3
        other.extend("s", LINES[3:], end)
    assert archive.lines("s") == [line + b"\n" for line in LINES]


def test_a_session_that_is_not_there_is_resumed_at_its_beginning() -> None:
    with MemorySink() as sink:
        assert sink.resume("s") == LogEnd()
        assert sink.resume("s", branch="latest") == LogEnd()
        with pytest.raises(NotFound):
            sink.resume("s", branch="000000000001-0123456789abcdef")


def test_an_old_worker_does_not_tell_how_a_log_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told = LogStatus(None, "k", 1, 2, "0" * 16, 2, 1.0)
    with MemorySink() as sink:
        monkeypatch.setattr(sink._reading, "status", lambda *_: Status("b", "p/", "s", (told,)))
        with pytest.raises(Unavailable, match="older"):
            sink.resume("s")
    answer = Status("b", "p/", "s", (told,)).encode()
    del answer["logs"][0]["full_chain"]
    assert Status.decode(answer).logs == (told,)


def test_a_branch_is_opened_by_its_name() -> None:
    with MemorySink() as sink:
        sink.save("s", LINES[:3])
        edited = [LINES[0], b'{"n":"edited"}', LINES[2]]
        branch = sink.measure(edited[:2]).as_branch
        sink.extend("s", edited, LogEnd(branch=branch))
        assert sink.archive.lines("s", branch) == [line + b"\n" for line in edited]
        assert sink.resume("s", branch="latest") == sink.resume("s", branch=branch)
        assert sink.status("s").logs[1].end == sink.resume("s", branch=branch)


def test_lines_that_follow_no_log_lie_beside_it_and_their_outcome_says_so() -> None:
    with MemorySink() as sink:
        sink.save("s", LINES[:3])
        receipt = sink.extend("s", LINES[5:], sink.measure([b"another"]))
        assert [each.outcome for each in sink.outcomes(receipt.task_ids).values()] == ["diverged"]
        assert sink.outcomes(["nobody's"]) == {}
        sink.archive.delete("s")
        gone = sink.extend("s", LINES, LogEnd())
        assert sink.outcomes(gone.task_ids)[gone.task_ids[0]].outcome == "deleted"


def test_status_tells_up_to_where_known_places_lie_on_each_log() -> None:
    with MemorySink() as sink:
        sink.save("s", LINES)
        own = [*LINES[:5], b"parted"]
        places = [sink.measure(own[:count]) for count in range(1, 7)]
        assert sink.status("s", known=places).logs[0].common == places[4].bytes
        assert sink.status("s", known=()).logs[0].common == 0


def test_a_line_that_is_refused_names_its_place_and_those_before_it_are_kept() -> None:
    def refuse(line: bytes) -> bytes:
        if b"4" in line:
            raise ValueError
        return line

    with MemorySink(filters=[refuse]) as sink:
        receipt = sink.extend("s", LINES, LogEnd())
        assert (receipt.state, receipt.index, receipt.messages) == ("refused", 4, 4)
        assert receipt.end == sink.measure(LINES[:4])
        with pytest.raises(BadMessage):
            sink.measure(LINES)


def test_what_the_broker_did_not_take_is_not_counted() -> None:
    with MemorySink() as sink:
        with sink.archive.broker_away():
            receipt = sink.extend("s", LINES, LogEnd())
        assert (receipt.state, receipt.messages, receipt.end) == ("unreachable", 0, LogEnd())
        with sink.archive.broker_away(), pytest.raises(Unavailable):
            sink.outcomes(["1"])


@pytest.mark.parametrize(
    "after",
    ["end", LogEnd(0, 5), LogEnd(0, 0, "1" * 64), LogEnd(0, 1, "x"), LogEnd(-1, 1, "1" * 64), LogEnd(branch="x")],
)
def test_a_place_that_cannot_be_is_refused(after: Any) -> None:
    with MemorySink() as sink:
        assert sink.extend("s", LINES, after).state == "refused"
        with pytest.raises(Malformed):
            sink.measure(LINES, after)
    assert sink.archive.sessions() == []


@given(st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line), max_size=30), st.data())
def test_any_cut_makes_the_same_log(lines: list[bytes], data: st.DataObject) -> None:
    with MemorySink() as sink:
        end, at = LogEnd(), 0
        while at < len(lines):
            count = data.draw(st.integers(1, 9))
            end = sink.extend("s", lines[at : at + count], end).end or LogEnd()
            at += count
        assert sink.archive.lines("s") == [line + b"\n" for line in lines]
        assert end == sink.measure(lines)


def test_memory_does_not_grow_with_what_was_streamed() -> None:
    def talk(count: int) -> Iterator[bytes]:
        return (b'{"n":%d}' % number for number in range(count))

    with MemorySink() as sink:
        sink.measure(talk(100))
        tracemalloc.start()
        sink.measure(talk(20_000))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 200_000
