"""Several sinks append to one session: what each has given is on the one log, in its order."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from history_sink import HistorySink, LogEnd, Outcome, Receipt, Unavailable
from history_sink.client import flush as flush_module
from history_sink.client import inquirer as inquirer_module
from history_sink.client import under_way as under_way_module
from history_sink.protocol.contract import LINE_BYTES, STATUS
from history_sink.testing import MemoryArchive, MemorySink
from plain_store import lines_of, message, messages
from sink_places import Place, make_place

EXAMPLES = int(os.environ.get("HISTORY_SINK_EXAMPLES", "200"))

_names = count(1)


@pytest.fixture(params=["memory", pytest.param("servers", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest) -> Place:
    return make_place(request)


@pytest.fixture
def session() -> str:
    return f"append-{next(_names)}"


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


def texts_of(sink: HistorySink, session: str, branch: str | None = None) -> list[str]:
    lines = b"".join(sink.read(session, branch=branch)).splitlines()
    return [json.loads(line)["content"][0]["text"] for line in lines]


def kept(archive: MemoryArchive, session: str = "s", branch: str | None = None) -> str:
    """The letters of a log's messages."""
    return "".join(each["content"][0]["text"] for each in archive.messages(session, branch))


def test_lines_of_all_sinks_are_on_one_log_and_each_flush_comes_true(place: Place, session: str) -> None:
    with place.open_sink() as one, place.open_sink() as two:
        for number in range(4):
            for name, sink in ("a", one), ("b", two):
                assert sink.append(session, message(f"{name}{number}")).state == "enqueued"
        assert one.flush(session)
        assert two.flush(session)
        texts = texts_of(one, session)
        assert [text for text in texts if text[0] == "a"] == ["a0", "a1", "a2", "a3"]
        assert [text for text in texts if text[0] == "b"] == ["b0", "b1", "b2", "b3"]
        status = two.status(session)
        assert [log.messages for log in status.logs] == [8]
        assert not status.strays


def test_what_is_appended_behind_a_save_goes_behind_other_lines_that_came_between(place: Place, session: str) -> None:
    with place.open_sink() as one, place.open_sink() as two:
        one.save(session, messages("a"))
        assert one.flush(session)
        two.append(session, message("x"))
        assert two.flush(session)
        for text in "bc":
            one.append(session, message(text))
            assert one.flush(session)
        two.append(session, message("y"))
        assert two.flush(session)
        assert texts_of(one, session) == [*"axbcy"]
        assert [log.branch for log in one.status(session).logs] == [None]


def test_a_list_that_has_what_was_appended_is_handed_over_without_it(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        sink.save(session, messages("a"))
        sink.append(session, message("b"))
        receipt = sink.save(session, messages("a", "b", "c"))
        assert (receipt.messages, receipt.branch) == (1, None)
        sink.append(session, message("d"))
        assert sink.save(session, messages("a", "b", "c", "d")).state == "unchanged"
        assert sink.flush(session)
        assert texts_of(sink, session) == [*"abcd"]


def test_a_list_that_differs_from_the_log_that_was_appended_to_goes_to_a_branch(place: Place, session: str) -> None:
    with place.open_sink() as one, place.open_sink() as two:
        one.save(session, messages("a"))
        assert one.flush(session)
        two.append(session, message("x"))
        assert two.flush(session)
        one.append(session, message("b"))
        assert one.flush(session)
        one.save(session, messages("a", "b", "c"))
        one.append(session, message("d"))
        assert one.flush(session)
        assert texts_of(one, session) == [*"abcd"]
        assert texts_of(two, session) == [*"axb"]


def test_a_list_of_all_writers_lines_goes_on_on_the_log(place: Place, session: str) -> None:
    with place.open_sink() as one, place.open_sink() as two:
        for sink, text in ((two, "p"), (one, "a"), (two, "x"), (one, "b")):
            sink.append(session, message(text))
            assert sink.flush(session)
        assert one.save(session, messages(*"paxb")).state == "unchanged"
        receipt = one.save(session, messages(*"paxbc"))
        assert (receipt.messages, receipt.branch) == (1, None)
        one.append(session, message("d"))
        assert one.flush(session)
        assert texts_of(two, session) == [*"paxbcd"]


def test_after_an_end_that_is_there_it_is_stored_and_else_a_conflict_with_the_end(place: Place, session: str) -> None:
    with place.open_sink() as one, place.open_sink() as two:
        first = one.append(session, message("a"), after=LogEnd(), wait_seconds=20)
        assert isinstance(first, Outcome)
        assert (first.outcome, first.end) == ("stored", one.measure(messages("a")))
        lost = two.append(session, message("x"), after=LogEnd(), wait_seconds=20)
        assert isinstance(lost, Outcome)
        assert (lost.outcome, lost.end) == ("conflict", first.end)
        assert lost.end is not None
        assert lost.end == one.resume(session)
        second = asyncio.run(two.aappend(session, *messages("b", "c"), after=lost.end, wait_seconds=20))
        assert isinstance(second, Outcome)
        assert (second.outcome, second.messages) == ("stored", 2)
        assert texts_of(one, session) == [*"abc"]


def test_of_16_that_append_after_one_end_at_once_one_is_stored(place: Place, session: str) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(16) as threads:
        sinks = [stack.enter_context(place.open_sink()) for _ in range(4)]
        sinks[0].append(session, message("a"))
        assert sinks[0].flush(session)
        end = sinks[0].resume(session)

        def append(number: int) -> Receipt | Outcome:
            return sinks[number % 4].append(session, message(f"racer {number}"), after=end, wait_seconds=60)

        told = [each for each in threads.map(append, range(16)) if isinstance(each, Outcome)]
        assert sorted(each.outcome for each in told) == ["conflict"] * 15 + ["stored"]
        assert {each.end for each in told} == {sinks[1].resume(session)}
        assert len(texts_of(sinks[0], session)) == 2


def test_a_wait_returns_the_outcome_with_the_end_behind_the_lines(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        for texts in ("ab", "c"):
            told = sink.append(session, *messages(*texts), wait_seconds=20)
            assert isinstance(told, Outcome)
            assert (told.outcome, told.messages) == ("stored", len(texts))
        assert told.end == sink.resume(session) == sink.measure(messages("a", "b", "c"))
        nothing = sink.append(session, wait_seconds=20)
        assert isinstance(nothing, Receipt)
        assert nothing.state == "unchanged"


def test_a_wait_without_workers_returns_the_receipt(place: Place, session: str) -> None:
    with place.without_workers() as sink:
        told = sink.append(session, message("a"), wait_seconds=0.1)
        assert isinstance(told, Receipt)
        assert told.state == "enqueued"


def test_a_sink_that_has_resumed_goes_on_behind_what_is_there(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        sink.save(session, messages("a", "b"))
        assert sink.flush(session)
    with place.open_sink() as sink:
        assert sink.resume(session).messages == 2
        assert sink.flush(session).state == "unknown"
        sink.append(session, message("c"))
        assert sink.flush(session)
        assert texts_of(sink, session) == [*"abc"]


def test_pointers_to_messages_are_those_of_the_log_whoever_has_written(place: Place, session: str) -> None:
    with place.open_sink() as one, place.open_sink() as two:
        for sink, text in ((two, "longer"), (one, "a"), (two, "x"), (one, "b")):
            sink.append(session, message(text))
            assert sink.flush(session)
        assert one.resolve(one.pointer(session, messages=(1, 3))) == b"".join(lines_of(messages("a", "x")))
        assert one.resolve(one.pointer(session, messages=(3, 9))) == b"".join(lines_of(messages("b")))


class QuickTime:
    """A clock whose pauses take no time."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@contextmanager
def quick_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        clock = QuickTime()
        patch.setattr(flush_module, "time", clock)
        patch.setattr(inquirer_module, "time", clock)
        patch.setattr(under_way_module, "time", clock)
        yield


class TestInMemory:
    @pytest.fixture(autouse=True)
    def _quick(self) -> Iterator[None]:
        with quick_time():
            yield

    def test_its_own_numbering_is_used_where_the_store_has_confirmed_it(
        self, archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sink = MemorySink(archive)
        sink.save("s", messages("a"))
        sink.append("s", message("b"))
        assert sink.flush("s")

        def fail(*_: Any) -> Any:
            raise AssertionError("it reads")

        monkeypatch.setattr(sink._reading, "measure_lines", fail)
        assert sink.resolve(sink.pointer("s", messages=(0, 2))) == b"".join(archive.lines("s"))
        with archive.workers_away():
            sink.append("s", message("c"))
            with pytest.raises(AssertionError):
                sink.pointer("s", messages=(2, 3))

    def test_a_save_behind_an_append_that_does_not_arrive_asks_for_it_a_few_times_only(
        self, archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sink = MemorySink(archive)
        sink.save("s", messages("a"))
        asked: list[str] = []
        send = sink._broker.send

        def note(task: str, *args: Any) -> str:
            asked.append(task)
            return send(task, *args)

        monkeypatch.setattr(sink._broker, "send", note)
        with archive.losing_uploads():
            sink.append("s", message("b"))
            assert sink.save("s", messages("a", "b", "c")).state == "enqueued"
        assert 1 < asked.count(STATUS) < 10

    def test_a_close_without_a_broker_names_only_sessions_of_which_it_lacks_something(
        self, archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink = MemorySink(archive)
        sink.resume("resumed")
        sink.save("saved", messages("a"))
        sink.append("appended", message("a"))
        streamed = {"role": "assistant", "content": "as far as"}
        sink.save("edited", [streamed])
        streamed["content"] = "as far as it goes"
        with archive.broker_away():
            sink.append("lacking", message("a"))

        def find_it_away() -> None:
            raise Unavailable("the broker is away")

        monkeypatch.setattr(sink._broker, "check", find_it_away)
        caplog.clear()
        sink.close()
        told = [line.partition(" is not handed over whole: the broker is away")[0] for line in caplog.messages]
        assert told == ["history-sink: session edited", "history-sink: session lacking"]

    def test_what_was_resumed_is_the_fence_of_the_first_batch(self, archive: MemoryArchive) -> None:
        MemorySink(archive).append("s", message("a"))
        sink = MemorySink(archive)
        end = sink.resume("s")
        with archive.losing_uploads():
            sink.append("s", message("b"))
        (stream,) = sink._sessions.get("s").appends._streams  # type: ignore[union-attr]
        stream.rewind()
        batch = stream.next_batch()
        assert batch is not None
        assert batch.fence is not None
        assert (batch.position, batch.fence.offset, batch.fence.chain.hex()) == (0, end.bytes, end.chain)

    def test_what_the_broker_does_not_take_is_kept_and_goes_first(self, archive: MemoryArchive) -> None:
        sink = MemorySink(archive)
        sink.append("s", message("a"))
        with archive.broker_away():
            for text in "bc":
                assert sink.append("s", message(text)).state == "unreachable"
            assert not sink.flush("s", 0.1)
        MemorySink(archive).append("s", message("x"))
        receipt = sink.append("s", message("d"))
        assert (receipt.messages, receipt.state) == (3, "enqueued")
        assert kept(archive) == "axbcd"
        assert sink.flush("s")

    def test_what_was_not_taken_behind_a_save_that_was_not_is_kept_too(self, archive: MemoryArchive) -> None:
        sink = MemorySink(archive)
        with archive.broker_away():
            sink.save("s", messages("a"))
            sink.append("s", message("b"))
            sink.save("s", messages("a", "b", "c"))
            sink.append("s", message("d"))
        assert sink.append("s", message("e")).messages == 5
        assert kept(archive) == "abcde"
        assert sink.flush("s")

    def test_close_hands_over_what_was_not_taken(self, archive: MemoryArchive) -> None:
        with MemorySink(archive) as sink, archive.broker_away():
            sink.append("s", message("a"))
        assert kept(archive) == "a"

    def test_a_bad_message_is_refused_at_once_and_those_before_it_are_kept(self, archive: MemoryArchive) -> None:
        sink = MemorySink(archive)
        with archive.broker_away():
            receipt = sink.append("s", message("a"), {"role": object()}, message("b"))
            assert (receipt.state, receipt.index) == ("refused", 1)
        sink.append("s", message("c"))
        assert kept(archive) == "ac"
        assert sink.flush("s")

    def test_what_the_broker_has_lost_is_sent_again_by_its_place(self, archive: MemoryArchive) -> None:
        sink, other = MemorySink(archive), MemorySink(archive)
        sink.append("s", message("a"))
        with archive.losing_uploads():
            sink.append("s", message("b"))
        other.append("s", message("x"))
        sink.append("s", message("c"))  # it waits
        assert kept(archive) == "ax"
        assert sink.flush("s", 20)
        assert kept(archive) == "axbc"
        assert not other.status("s").strays

    @pytest.mark.parametrize("lost", range(1, 16))
    def test_saves_and_appends_that_are_lost_are_sent_again_in_their_order(
        self, archive: MemoryArchive, lost: int
    ) -> None:
        sink = MemorySink(archive)
        steps: list[Callable[[], object]] = [
            lambda: sink.save("s", messages("a")),
            lambda: sink.append("s", message("b")),
            lambda: sink.save("s", messages("a", "b", "c")),
            lambda: sink.append("s", message("d")),
        ]
        for number, step in enumerate(steps):
            if lost >> number & 1:
                with archive.losing_uploads():
                    step()
            else:
                step()
        assert sink.flush("s", 30)
        assert kept(archive) == "abcd"
        status = sink.status("s")
        assert ([log.branch for log in status.logs], status.strays) == ([None], ())

    @pytest.mark.parametrize("flush_seconds", [1.5, 2.0, 2.5, 3.0, 3.5])
    def test_a_list_that_is_saved_after_a_flush_in_vain_brings_nothing_twice(
        self, archive: MemoryArchive, flush_seconds: float
    ) -> None:
        sink = MemorySink(archive)
        sink.save("s", messages("a"))
        assert sink.flush("s")
        with archive.losing_uploads():
            sink.save("s", messages("a", "b"))
        sink.append("s", message("c"))  # it waits
        with archive.losing_uploads():
            assert not sink.flush("s", flush_seconds)
        sink.save("s", messages("a", "b", "c", "d"))
        assert sink.flush("s", 60)
        assert kept(archive) == "abcd"
        assert [log.branch for log in sink.status("s").logs] == [None]

    def test_what_follows_a_lost_save_that_was_undone_does_not_wait_for_it(self, archive: MemoryArchive) -> None:
        sink = MemorySink(archive)
        sink.save("s", messages("a"))
        assert sink.flush("s")
        with archive.losing_uploads():
            sink.save("s", messages("a", "b"))
        sink.append("s", message("c"))  # it waits
        sink.save("s", messages("a"))
        assert sink.flush("s", 60)
        assert kept(archive) == "ac"

    def test_what_followed_a_save_that_has_parted_follows_it_to_its_branch(self, archive: MemoryArchive) -> None:
        one, two = MemorySink(archive), MemorySink(archive)
        one.save("s", messages("a"))
        assert one.flush("s")
        two.append("s", message("x"))
        one.save("s", messages("a", "b"))  # it does not know yet
        for text in "cd":
            one.append("s", message(text))
        assert one.flush("s")
        (_, branch) = one.status("s").logs
        assert kept(archive) == "ax"
        assert kept(archive, branch=branch.branch) == "abcd"
        assert b"".join(one.read("s")) == b"".join(lines_of(messages(*"abcd")))
        one.append("s", message("e"))
        assert one.flush("s")
        assert kept(archive, branch=branch.branch) == "abcde"

    def test_a_deleted_session_takes_nothing_any_more(self, archive: MemoryArchive) -> None:
        sink = MemorySink(archive)
        sink.append("s", message("a"))
        archive.delete("s")
        told = sink.append("s", message("b"), wait_seconds=1)
        assert isinstance(told, Outcome)
        assert told.outcome == "deleted"
        assert sink.flush("s", 20).state == "deleted"
        assert sink.append("s", message("c")).state == "refused"

    def test_messages_that_go_together_are_never_cut(self, archive: MemoryArchive) -> None:
        sink = MemorySink(archive)
        half = b"x" * (LINE_BYTES // 2)
        told = sink.append("s", half, half, after=LogEnd())
        assert (told.state, told.index, told.messages) == ("refused", None, 0)
        assert "over the limit" in str(told.reason)
        told = sink.append("s", b"{}", b"a\nb", after=LogEnd())
        assert (told.state, told.index, told.messages) == ("refused", 1, 0)
        assert sink.append("s", after=LogEnd()).state == "unchanged"
        wrong: Any = "the end"
        assert "after is a LogEnd" in str(sink.append("s", b"{}", after=wrong).reason)
        with archive.broker_away():
            assert sink.append("s", b"{}", after=LogEnd()).state == "unreachable"
        assert archive.sessions() == []
        large = sink.append("s", *[b"x" * 100_000] * 9, after=LogEnd(), wait_seconds=1)
        assert isinstance(large, Outcome)
        assert large.messages == 9

    @pytest.mark.parametrize("wait_seconds", [-1, float("nan"), "x"])
    def test_a_wait_that_cannot_be_is_named(self, archive: MemoryArchive, wait_seconds: Any) -> None:
        told = MemorySink(archive).append("s", message("a"), wait_seconds=wait_seconds)
        assert "wait_seconds is a number of seconds" in str(told)

    def test_a_child_is_a_writer_of_its_own(self, archive: MemoryArchive) -> None:
        sink = MemorySink(archive)
        sink.append("s", message("a"))
        (before,) = sink._sessions.get("s").appends._streams  # type: ignore[union-attr]
        with archive.broker_away():
            sink.append("s", message("b"))
        sink.renew_after_fork()
        sink.append("s", message("c"))
        (own,) = sink._sessions.get("s").appends._streams  # type: ignore[union-attr]
        assert own.writer != before.writer
        assert kept(archive) == "ac"
        assert sink.flush("s")


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["append", "append", "append", "flush", "save"]),
        st.sampled_from(["", "", "", "broker_away", "workers_away", "losing_uploads", "store_away"]),
    ),
    min_size=1,
    max_size=25,
)


class Sinks:
    """Three processes on one session, each with what it has appended and the list that it has saved."""

    def __init__(self) -> None:
        self.archive = MemoryArchive()
        self.sinks = [MemorySink(self.archive) for _ in range(3)]
        self.histories: list[list[Any]] = [[], [], []]
        self._numbers = count(1)

    def play(self, steps: list[tuple[int, str, str]]) -> None:
        for who, what, trouble in steps:
            with getattr(self.archive, trouble)() if trouble else nullcontext():
                getattr(self, what)(who)
        for who, sink in enumerate(self.sinks):
            assert sink.flush("s", 60) or not self.histories[who]

    def append(self, who: int) -> None:
        self.histories[who] += messages(f"{who}.{next(self._numbers)}")
        self.sinks[who].append("s", self.histories[who][-1])

    def save(self, who: int) -> None:
        self.histories[who] += messages(f"{who}.{next(self._numbers)}")
        self.sinks[who].save("s", [*self.histories[who]])

    def flush(self, who: int) -> None:
        self.sinks[who].flush("s", 0)


@settings(max_examples=EXAMPLES, deadline=None)
@given(STEPS.map(lambda steps: [(who, what.replace("save", "append"), trouble) for who, what, trouble in steps]))
def test_whatever_comes_between_each_line_is_there_once_and_in_order(steps: list[tuple[int, str, str]]) -> None:
    world = Sinks()
    with quick_time():
        world.play(steps)
    stored = world.archive.messages("s")
    assert sorted(map(str, stored)) == sorted(str(each) for history in world.histories for each in history)
    for who, history in enumerate(world.histories):
        assert [each for each in stored if each in history] == history, who
    status = world.sinks[0].status("s")
    assert len(status.logs) <= 1
    assert not status.strays


@settings(max_examples=EXAMPLES, deadline=None)
@given(STEPS)
def test_histories_that_are_saved_between_appends_are_each_whole_on_a_log(steps: list[tuple[int, str, str]]) -> None:
    world = Sinks()
    with quick_time():
        world.play(steps)
    logs = [[*map(str, world.archive.messages("s", log.branch))] for log in world.sinks[0].status("s").logs]
    for log in logs:
        assert len({*log}) == len(log), "twice"
    for history in world.histories:
        own = [*map(str, history)]
        assert any([each for each in log if each in own] == own for log in logs) or not own
