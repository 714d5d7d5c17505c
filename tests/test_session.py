"""A session with all that can happen to it, by chance: a broker that takes a task and says it did not, workers that are
late, answers that come late or never, edits while it publishes, a second writer, a store that loses what it had."""

import copy
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from history_sink.client.flush import flush
from history_sink.client.session import Session
from history_sink.errors import NoAnswer, Unavailable
from history_sink.ledger.junctions import Points
from history_sink.protocol.contract import UPLOAD
from history_sink.protocol.outcome import Outcome, Parted
from history_sink.protocol.status import Status
from history_sink.protocol.upload import Upload
from history_sink.transport.results import Answer
from plain_store import PlainStore, ends_of, lines_of, message, messages


class PatientStore(PlainStore):
    """A store that also keeps what comes too early."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Upload] = []
        self.may_part = False

    def take(self, upload: Upload) -> tuple[Any, int]:
        end = ends_of(self.logs.get(upload.branch, []))[-1]
        if upload.start.offset > end.offset:
            self.waiting.append(upload)
            return "pending", 0
        outcome, offset = super().take(upload)
        assert outcome == "stored" or self.may_part, "nobody else wrote, and all was answered: there must be no stray"
        waiting, self.waiting = self.waiting, []
        for one in sorted(waiting, key=lambda one: one.start.offset):
            self.take(one)
        return outcome, offset

    def answer(self, junctions: list[tuple[int, str]]) -> Status:
        self.logs = {branch: log for branch, log in self.logs.items() if log}
        return super().answer(junctions)


class ShakyBroker:
    """What a session sees of the queue. `troubles` are those of the next tasks sent."""

    has_answers = True
    clock_ahead_seconds = None

    def __init__(self, store: PatientStore) -> None:
        self.store = store
        self.queue: list[tuple[str, Upload]] = []
        self.answers: dict[str, Answer] = {}
        self.questions: dict[str, list[tuple[int, str]]] = {}
        self.troubles: list[str] = []
        self.is_answered = True
        self.accepted: dict[str | None, set[bytes]] = {}
        self.edit: Callable[[], None] = lambda: None
        self._ids = map(str, count())

    def check(self) -> None:
        pass

    def send(self, task: str, args: Sequence[Any], kwargs: dict[str, Any], *_: Any) -> str:
        trouble = self.troubles.pop(0) if self.troubles else ""
        task_id = next(self._ids)
        if trouble == "edited meanwhile":
            self.edit()
        if trouble == "away":
            raise Unavailable(trouble)
        if task == UPLOAD:
            upload = Upload.decode(kwargs)
            self.queue.append((task_id, upload))
            here = upload.start
            for line in upload.lines:
                here = here.step(line)
                self.accepted.setdefault(upload.branch, set()).add(here.chain)
        else:
            self.questions[task_id] = kwargs["junctions"]
        if trouble == "its answer is lost":
            self.store.may_part = True  # when it is edited before it is sent again
            raise Unavailable(trouble)
        return task_id

    def work(self, index: int, again: bool = False) -> None:
        task_id, upload = self.queue[index]
        outcome, offset = self.store.take(upload)
        parted = Parted(0, offset) if outcome == "diverged" else None
        told = Outcome(outcome, "s", upload.branch, len(upload.lines), upload.size_bytes, "key", 1, parted)
        self.answers[task_id] = Answer(told.encode())
        if not again:
            del self.queue[index]

    def answer(self) -> None:
        for task_id, junctions in self.questions.items():
            self.answers[task_id] = Answer(self.store.answer(junctions).encode())
        self.questions.clear()

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        if not self.is_answered:
            self.store.may_part = True
            raise Unavailable("late")
        self.answer()
        return self.answers.pop(task_id).value

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        return {task_id: self.answers[task_id] for task_id in task_ids if task_id in self.answers}


TROUBLES = st.lists(st.sampled_from(["", "", "away", "its answer is lost", "edited meanwhile"]), max_size=4)


class Life(RuleBasedStateMachine):
    """An agent's session."""

    @initialize()
    def begin(self) -> None:
        self.store = PatientStore()
        self.broker = ShakyBroker(self.store)
        self.history: list[Any] = []
        self.past: list[list[Any]] = [[]]
        self.numbers = count()
        self.was_appended = self.is_hurt = False
        self.restart()

    def new(self, number: int) -> list[Any]:
        return [message(f"message {next(self.numbers)}") for _ in range(number)]

    @rule()
    def restart(self) -> None:
        self.session = Session("s", self.broker)  # type: ignore[arg-type]  # as much of a broker as it needs
        self.given: list[Any] = []
        self.was_appended = False
        # What is on its way no answer tells of.
        self.store.may_part = self.store.may_part or bool(self.broker.queue or self.store.waiting)

    @rule(number=st.integers(1, 4))
    def speak(self, number: int) -> None:
        self.history.extend(self.new(number))

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        self.past.append([*self.history])
        del self.history[data.draw(st.integers(0, len(self.history))) :]

    @rule(data=st.data())
    def redo(self, data: st.DataObject) -> None:
        self.history[:] = data.draw(st.sampled_from(self.past))

    @rule()
    def make_anew(self) -> None:
        self.history = copy.deepcopy(self.history)

    @rule()
    def edit(self) -> None:
        if self.history:
            self.history[-1]["content"][0]["text"] += f" and {next(self.numbers)}"

    @rule(troubles=TROUBLES)
    def save(self, troubles: list[str]) -> None:
        self.broker.troubles, self.broker.edit = [*troubles], self.edit
        self.given = [*self.history]
        self.was_appended = False
        self.check(self.session.save(self.history, "replace"), "edited meanwhile" not in troubles)

    @precondition(lambda self: self.given)
    @rule(number=st.integers(1, 3), troubles=TROUBLES)
    def append(self, number: int, troubles: list[str]) -> None:
        self.broker.troubles, self.broker.edit = [*troubles], lambda: None
        new = self.new(number)
        self.given = [*self.given, *new]
        self.history = copy.deepcopy(self.given)  # what was appended is not looked at again
        self.was_appended = True
        self.check(self.session.append(new, "replace"), True)

    def check(self, receipt: Any, is_quiet: bool) -> None:
        self.broker.troubles = []
        if receipt.state == "unreachable":
            return
        assert receipt.state in ("enqueued", "unchanged")
        points = Points()
        points.extend(lines_of(self.given))
        log = self.session.ledger.log
        assert log.branch == receipt.branch
        if is_quiet and not (self.was_appended and self.store.may_part):
            assert log.points.count_common(points) == len(points)
            stored = {end.chain for end in ends_of(self.store.logs.get(log.branch, []))}
            known = stored | self.broker.accepted.get(log.branch, set())
            assert self.is_hurt or all(points[i + 1].chain in known for i in range(len(points)))

    @precondition(lambda self: self.broker.queue)
    @rule(data=st.data(), again=st.booleans())
    def work(self, data: st.DataObject, again: bool) -> None:
        self.broker.work(data.draw(st.integers(0, len(self.broker.queue) - 1)), again)

    @rule(is_answered=st.booleans())
    def answer_late(self, is_answered: bool) -> None:
        self.broker.is_answered = is_answered
        self.broker.answer()

    @rule()
    def do_all_work(self) -> None:
        while self.broker.queue:
            self.broker.work(0)

    @precondition(lambda self: self.store.logs)
    @rule(data=st.data())
    def be_written_by_another(self, data: st.DataObject) -> None:
        self.store.may_part = True
        branch = data.draw(st.sampled_from([*self.store.logs]))
        self.store.logs[branch].append(f'{{"by":"another","number":{next(self.numbers)}}}\n'.encode())

    @precondition(lambda self: self.store.logs)
    @rule(data=st.data())
    def lose_the_end_of_a_log(self, data: st.DataObject) -> None:
        self.store.may_part = self.is_hurt = True
        log = self.store.logs[data.draw(st.sampled_from([*self.store.logs]))]
        del log[data.draw(st.integers(0, len(log))) :]

    @rule(is_quick=st.booleans())
    def flush(self, is_quick: bool) -> None:
        self.broker.is_answered = True
        if not is_quick:
            self.do_all_work()
        broker = self.broker
        take = broker.take

        def work_and_take(task_id: str, timeout_seconds: float) -> Any:
            answer = take(task_id, timeout_seconds)
            while broker.queue:
                broker.work(0)
            return answer

        broker.take = work_and_take  # type: ignore[method-assign]
        try:
            is_held = flush(self.session, 0.5)
        finally:
            broker.take = take  # type: ignore[method-assign]
        if is_held:
            kept = self.store.logs.get(self.session.branch, [])
            assert kept[: len(self.given)] == lines_of(self.given)
        else:
            assert self.was_appended and self.store.may_part, "it could have sent all of it again"  # noqa: PT018


@pytest.fixture(autouse=True, scope="module")
def _hurry() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("history_sink.client.session.LOOK_SECONDS", 0.0)
        patch.setattr("history_sink.client.flush._PATIENCE_SECONDS", 0.0)
        patch.setattr("history_sink.client.flush._FIRST_PAUSE_SECONDS", 0.0)
        yield


@pytest.mark.parametrize("shared", [[], ["a"]])
def test_flush_does_not_take_what_is_left_of_a_parted_log_for_all_of_it(shared: list[str]) -> None:
    store = PatientStore()
    store.may_part = True
    store.logs[None] = lines_of(messages(*shared, "another's"))
    broker = ShakyBroker(store)
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    history = messages("a", "b", "c")
    broker.is_answered, broker.troubles = False, ["", "away"]
    session.save(history, "replace")  # a question about three messages, which nobody answers yet
    del history[2:]
    session.save(history, "replace")
    broker.work(0)
    broker.is_answered = True
    broker.answer()  # flush finds this in passing, when it has handed over and not asked yet
    assert not flush(session, 0.1)
    broker.work(0)
    assert flush(session, 0.1)
    assert store.logs[session.branch] == lines_of(history)


def test_flush_says_that_another_writer_parted_what_was_appended() -> None:
    store = PatientStore()
    store.may_part = True
    broker = ShakyBroker(store)
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    broker.edit = lambda: None
    session.append(messages("a", "b"), "replace")
    broker.work(0)
    assert flush(session, 0.1), "from here on the session need not keep what was appended"
    store.logs[None] += lines_of(messages("another's"))
    for text in "cd":
        session.append(messages(text), "replace")
        while broker.queue:
            broker.work(0)
        flushed = flush(session, 5)
        assert flushed.state == "parted"
        assert f"behind byte {len(b''.join(lines_of(messages('a', 'b'))))}" in (flushed.reason or "")
    assert not broker.queue, "it is not sent again and again"


def test_flush_goes_on_in_a_branch_where_the_agent_has_the_whole_history_after_all() -> None:
    store = PatientStore()
    store.may_part = True
    broker = ShakyBroker(store)
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    session.append(messages("a"), "replace")
    broker.work(0)
    assert flush(session, 0.1)
    store.logs[None] += lines_of(messages("another's"))
    session.append(messages("b"), "replace")
    broker.work(0)
    assert flush(session, 5).state == "parted"
    session.save(messages("a", "b"), "replace")
    take = broker.take

    def work_and_take(task_id: str, timeout_seconds: float) -> Any:
        while broker.queue:
            broker.work(0)
        return take(task_id, timeout_seconds)

    broker.take = work_and_take  # type: ignore[method-assign]
    assert flush(session, 5).state == "stored"
    assert store.logs[session.branch] == lines_of(messages("a", "b"))
    assert session.branch is not None


class Moody(ShakyBroker):
    """The first question is answered, those behind it are not."""

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        if self.has_answered:
            raise NoAnswer(f"no worker answered within {timeout_seconds:g} s")
        self.has_answered = True
        return super().take(task_id, timeout_seconds)

    has_answered = False


@pytest.mark.parametrize(("ask_seconds", "state"), [(5.0, "time"), (0.01, "no_worker")])
def test_a_last_question_without_time_for_an_answer_hides_no_reason_that_was_given(
    monkeypatch: pytest.MonkeyPatch, ask_seconds: float, state: str
) -> None:
    monkeypatch.setattr("history_sink.client.flush.ASK_SECONDS", ask_seconds)
    broker = Moody(PatientStore())
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    session.append(messages("a"), "replace")
    broker.has_answered = False
    assert flush(session, 0.1).state == state


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
