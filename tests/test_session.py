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
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import walk
from history_sink.protocol.contract import APPEND_VERSION, UPLOAD
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import Outcome, OutcomeKind, Parted
from history_sink.protocol.status import Status
from history_sink.protocol.upload import Upload
from history_sink.transport.results import Answer
from plain_store import PlainStore, ends_of, lines_of, message, messages


class EarlyError(Exception):
    """A batch waits in the queue for what comes before it."""


class PatientStore(PlainStore):
    """A store that also keeps what comes too early."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Upload] = []
        self.may_part = False

    def append(self, batch: Batch) -> tuple[OutcomeKind, LogEnd]:
        log = self.logs.setdefault(batch.branch, [])
        at, placed = batch.position or 0, self.placed.get(batch.writer, 0)
        anchor, is_new = batch.anchor, at + batch.size_bytes > placed
        is_off = anchor is not None and anchor.is_first and anchor.place not in ends_of(log)
        if at > placed or (is_new and is_off):
            if anchor is None or not any(anchor.place in walk(stray.start, stray.lines) for stray in self.strays):
                raise EarlyError
            self.strays.append(Upload(batch.branch, anchor.place, batch.lines))
            return "diverged", LogEnd()
        told = super().append(Batch(batch.branch, batch.writer, batch.position, batch.lines))
        self.take_waiting()
        return told

    def take(self, upload: Upload) -> tuple[Any, int]:
        end = ends_of(self.logs.get(upload.branch, []))[-1]
        if upload.start.offset > end.offset:
            self.waiting.append(upload)
            return "pending", 0
        outcome, offset = super().take(upload)
        assert outcome == "stored" or self.may_part, "nobody else wrote, and all was answered: there must be no stray"
        self.take_waiting()
        return outcome, offset

    def take_waiting(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in sorted(waiting, key=lambda one: one.start.offset):
            self.take(one)

    def answer(self, junctions: list[tuple[int, str]], writers: Sequence[str] = ()) -> Status:
        self.logs = {branch: log for branch, log in self.logs.items() if log}
        return super().answer(junctions, writers)


class ShakyBroker:
    """What a session sees of the queue. `troubles` are those of the next tasks sent."""

    has_answers = True
    clock_ahead_seconds = None

    def __init__(self, store: PatientStore) -> None:
        self.store = store
        self.queue: list[tuple[str, Upload | Batch]] = []
        self.answers: dict[str, Answer] = {}
        self.questions: dict[str, tuple[list[tuple[int, str]], list[str]]] = {}
        self.troubles: list[str] = []
        self.is_answered = True
        self.accepted: dict[str | None, set[bytes]] = {}
        self.appended: set[bytes] = set()
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
        if task == UPLOAD and kwargs["v"] == APPEND_VERSION:
            batch = Batch.decode(kwargs)
            self.queue.append((task_id, batch))
            self.appended.update(batch.lines)
        elif task == UPLOAD:
            upload = Upload.decode(kwargs)
            self.queue.append((task_id, upload))
            here = upload.start
            for line in upload.lines:
                here = here.step(line)
                self.accepted.setdefault(upload.branch, set()).add(here.chain)
        else:
            self.questions[task_id] = kwargs["junctions"], kwargs.get("writers", [])
        if trouble == "its answer is lost":
            self.store.may_part = True  # when it is edited before it is sent again
            raise Unavailable(trouble)
        return task_id

    def work(self, index: int, again: bool = False) -> bool:
        """Do one task; False: it waits."""
        task_id, upload = self.queue[index]
        about = "s", upload.branch, len(upload.lines), upload.size_bytes
        if isinstance(upload, Batch):
            try:
                outcome, end = self.store.append(upload)
            except EarlyError:
                return False
            told = Outcome(outcome, *about, "key", end=end if end.bytes else None)
        else:
            outcome, offset = self.store.take(upload)
            told = Outcome(outcome, *about, "key", 1, Parted(0, offset) if outcome == "diverged" else None)
        self.answers[task_id] = Answer(told.encode())
        if not again:
            del self.queue[index]
        return True

    def work_on(self) -> None:
        """Do all that does not wait."""
        while any(self.work(index) for index in range(len(self.queue))):
            pass

    def answer(self) -> None:
        for task_id, (junctions, writers) in self.questions.items():
            self.answers[task_id] = Answer(self.store.answer(junctions, writers).encode())
        self.questions.clear()

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        if not self.is_answered:
            self.store.may_part = True
            raise Unavailable("late")
        self.answer()
        return self.answers.pop(task_id).value

    def watch(self, task_ids: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
        return self.look(task_ids)

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
        self.is_hurt = self.has_appended = False
        self.restart()

    def new(self, number: int) -> list[Any]:
        return [message(f"message {next(self.numbers)}") for _ in range(number)]

    @rule()
    def restart(self) -> None:
        self.session = Session("s", self.broker)  # type: ignore[arg-type]  # as much of a broker as it needs
        self.given: list[Any] = []
        self.appended: list[Any] = []  # the last of them: what was appended since the last save
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
        self.given, self.appended = [*self.history], []
        self.check(self.session.save(self.history, "replace"), "edited meanwhile" not in troubles)

    @rule(number=st.integers(1, 3), troubles=TROUBLES)
    def append(self, number: int, troubles: list[str]) -> None:
        self.broker.troubles, self.broker.edit = [*troubles], lambda: None
        new = self.new(number)
        self.given = [*self.given, *new]
        self.history = copy.deepcopy(self.given)  # what was appended is not looked at again
        self.appended += new
        self.has_appended = True
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
        if is_quiet and not self.appended:
            assert log.points.count_common(points) == len(points)
            stored = {end.chain for end in ends_of(self.store.logs.get(log.branch, []))}
            known = stored | self.broker.accepted.get(log.branch, set())
            appended = [line in self.broker.appended for line in lines_of(self.given)]
            assert self.is_hurt or all(points[i + 1].chain in known or appended[i] for i in range(len(points)))

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
        self.broker.work_on()

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
        # No stream would ever go on where its lines are lost: so they count as placed.

    @rule(is_quick=st.booleans())
    def flush(self, is_quick: bool) -> None:
        self.broker.is_answered = True
        if not is_quick:
            self.do_all_work()
        broker = self.broker
        take = broker.take

        def work_and_take(task_id: str, timeout_seconds: float) -> Any:
            answer = take(task_id, timeout_seconds)
            broker.work_on()
            return answer

        broker.take = work_and_take  # type: ignore[method-assign]
        try:
            is_held = flush(self.session, 0.5)
        finally:
            broker.take = take  # type: ignore[method-assign]
        if self.is_hurt and self.has_appended and not is_held:
            return  # the store has lost what it had confirmed: nothing is left to be sent again, and that is told
        assert is_held, "it could have sent all of it again"
        kept = self.store.logs.get(self.session.branch, [])
        saved, appended = len(self.given) - len(self.appended), lines_of(self.appended)
        assert kept[:saved] == lines_of(self.given)[:saved]
        assert self.is_hurt or [line for line in kept[saved:] if line in appended] == appended


class QuickTime:
    """A clock that goes on by itself a little at each look, and whose pauses take no time."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 0.001
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture(autouse=True, scope="module")
def _hurry() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        clock = QuickTime()
        patch.setattr("history_sink.client.inquirer.time", clock)
        patch.setattr("history_sink.client.flush.time", clock)
        patch.setattr("history_sink.client.under_way.time", clock)
        patch.setattr("history_sink.client.under_way.LOOK_SECONDS", 0.0)
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


def test_flush_comes_true_whoever_has_written_where_lines_were_appended() -> None:
    store = PatientStore()
    broker = ShakyBroker(store)
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    for text in "abc":
        session.append(messages(text), "replace")
        broker.work_on()
        assert flush(session, 5).state == "stored"
        store.logs[None] += lines_of(messages("another's"))
    sent = sum(len(batch.lines) for _, batch in broker.queue)
    assert (len(store.logs[None]), store.strays, sent) == (6, [], 0)


def test_what_waits_in_the_store_for_earlier_lines_is_not_confirmed() -> None:
    broker = ShakyBroker(PatientStore())
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    session.append(messages("a"), "replace")
    (task_id, batch), *_ = broker.queue
    told = Outcome("pending", "s", None, 1, batch.size_bytes, "key")
    broker.answers[task_id] = Answer(told.encode())
    session.append([], "replace")
    assert not session.appends.is_settled
    broker.answers.clear()
    broker.work_on()
    assert flush(session, 5)


def test_what_is_on_its_way_is_not_sent_once_more_as_part_of_a_list() -> None:
    store = PatientStore()
    store.logs[None] = lines_of(messages("a"))
    broker = ShakyBroker(store)
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    session.append(messages("b"), "replace")
    session.save(messages("a", "b"), "replace")  # the store is asked, and has not got what was appended
    while broker.queue:
        broker.work(len(broker.queue) - 1)  # what was appended comes last
    assert flush(session, 5)
    assert store.logs[None] == lines_of(messages("a", "b"))
    assert not store.strays


def test_a_save_is_known_to_be_there_when_what_follows_it_is() -> None:
    broker = ShakyBroker(PatientStore())
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    session.save(messages("a"), "replace")
    session.append(messages("b"), "replace")
    broker.work_on()
    del broker.answers[next(iter(broker.answers))]  # nobody has looked at the save's own outcome
    session.append(messages("c"), "replace")
    session.append(messages("d"), "replace")
    assert session.ledger.log.confirmed == 1
    last = broker.queue[-1][1]
    assert isinstance(last, Batch)
    assert last.anchor is None


def test_how_far_the_log_reaches_with_all_that_was_handed_over_is_asked_where_it_was_appended() -> None:
    broker = ShakyBroker(PatientStore())
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    assert session.find_end(1) == (None, 0)
    session.append(messages("a"), "replace")
    broker.store.logs[None] = lines_of(messages("another's"))
    size = sum(map(len, lines_of(messages("a", "another's"))))
    assert session.find_end(1) == (None, size)
    broker.work_on()
    assert flush(session, 5)
    assert session.find_end(1) == (None, size)


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


class Busy(ShakyBroker):
    """Workers answer a question as it comes, and only then go on. `tell` is what comes of their outcomes."""

    def __init__(self, tell: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        super().__init__(PatientStore())
        self.asked, self.is_deleted, self._tell = 0, False, tell

    def send(self, task: str, *rest: Any) -> str:
        task_id = super().send(task, *rest)
        if task != UPLOAD:
            self.asked += 1
            self.answer()
            if self.is_deleted:
                self.answers[task_id] = Answer(PatientStore().answer([]).encode())
        return task_id

    def watch(self, task_ids: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
        if timeout_seconds:
            self.work_on()
        told = {task_id: self._tell(answer.value) for task_id, answer in self.look(task_ids).items()}
        return {task_id: Answer(outcome) for task_id, outcome in told.items() if outcome is not None}


def be_older(outcome: dict[str, Any]) -> dict[str, Any]:
    """As a worker that does not tell where a log ends."""
    return {name: value for name, value in outcome.items() if name != "end"}


@pytest.mark.parametrize("appends", [True, False])
@pytest.mark.parametrize(
    ("tell", "asked"),
    [
        (dict, 1),
        (be_older, 1),
        (lambda outcome: outcome if outcome["messages"] == 1 else None, 2),
        (lambda outcome: outcome if outcome["messages"] == 1 else {**outcome, "outcome": "pending"}, 2),
    ],
    ids=["all are told", "by an old worker", "the last is lost", "the last is pending"],
)
def test_what_an_answer_lacks_later_outcomes_tell(
    tell: Callable[[dict[str, Any]], dict[str, Any] | None], asked: int, appends: bool
) -> None:
    session, broker = begin_busy(tell)
    if appends:
        session.append(messages("b", "c"), "replace")
    else:
        session.save(messages("a", "b", "c"), "replace")
    assert flush(session, 5)
    assert broker.asked == asked
    assert broker.store.logs[None] == lines_of(messages("a", "b", "c"))


def begin_busy(tell: Callable[[dict[str, Any]], dict[str, Any] | None] = dict) -> tuple[Session, Busy]:
    """A session with a first message, which is stored, and which nobody has asked about."""
    broker = Busy(tell)
    session = Session("s", broker)  # type: ignore[arg-type]  # as much of a broker as it needs
    session.save(messages("a"), "replace")
    broker.work_on()
    broker.asked = 0
    return session, broker


def test_outcomes_alone_do_not_tell_that_a_session_is_there_still() -> None:
    session, broker = begin_busy()
    broker.is_deleted = True  # by a hint from before it, a worker still takes the log for there
    session.append(messages("b"), "replace")
    assert flush(session, 0.3).state == "time"


@pytest.mark.parametrize("is_known", [True, False])
def test_outcomes_from_before_the_question_do_not_hide_what_the_store_has_lost(
    is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_sink.client.under_way.LOOK_SECONDS", 60.0)  # no save looks at them in passing
    session, broker = begin_busy()
    session.save(messages("a", "b"), "replace")
    broker.work_on()
    assert not is_known or flush(session, 5)
    broker.store.logs[None].pop()
    assert flush(session, 10)
    assert broker.store.logs[None] == lines_of(messages("a", "b"))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
