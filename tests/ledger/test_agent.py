"""A ledger under random agents: undo, redo, edit, restart, and another writer."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from history_sink.ledger.history import RECENT_MESSAGES
from history_sink.ledger.ledger import Ledger
from plain_store import PlainStore, ends_of, lines_of, message

from .play import ask, restart


def numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


class Agent(RuleBasedStateMachine):
    """An agent that undoes, redoes, edits and restarts, on a broker that is away at times and a store that is not."""

    @initialize()
    def start(self) -> None:
        self.store = PlainStore()
        self.ledger = Ledger()
        self.history: list[Any] = []
        self.past: list[list[Any]] = [[]]
        self.number = numbers()
        self.is_foreign = False

    def new(self) -> Any:
        number = next(self.number)
        return message(f"message {number}") if number % 3 else f'{{"number": {number}}}'

    @rule(count=st.integers(1, 5))
    def speak(self, count: int) -> None:
        self.history.extend(self.new() for _ in range(count))

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        self.past.append([*self.history])
        del self.history[data.draw(st.integers(0, len(self.history))) :]

    @rule(data=st.data())
    def redo(self, data: st.DataObject) -> None:
        self.history[:] = data.draw(st.sampled_from(self.past))

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        self.past.append([*self.history])
        self.history[data.draw(st.integers(0, len(self.history) - 1))] = self.new()

    @precondition(lambda self: self.history)
    @rule(data=st.data(), text=st.text())
    def edit(self, data: st.DataObject, text: str) -> None:
        one = data.draw(st.sampled_from(self.history[-RECENT_MESSAGES:]))
        if isinstance(one, dict):
            one["content"][0]["text"] = text

    @rule()
    def make_anew(self) -> None:
        self.history = copy.deepcopy(self.history)

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        self.ledger.give(self.history)
        is_unanswered = self.ledger.is_uncertain and data.draw(st.integers(0, 4)) == 0
        if self.ledger.is_uncertain and not is_unanswered:
            self.ask()
        self.ledger.decide()
        while piece := self.ledger.next_piece():
            if data.draw(st.integers(0, 4)) == 0:
                return  # the broker is away
            end = self.ledger.accept(piece)
            outcome, offset = self.store.take(piece.upload)
            if outcome == "stored":
                self.ledger.confirm(piece.upload.branch, end)
            else:
                assert self.is_foreign or is_unanswered, "nobody else writes here: there must be no stray"
                self.ledger.part(piece.upload.branch, offset)
                self.ledger.decide()
        assert self.ledger.is_handed_over
        kept = self.store.logs.get(self.ledger.log.branch, [])
        assert kept[: len(self.history)] == lines_of(self.history)

    @rule()
    def restart(self) -> None:
        self.ledger = restart(self.store, self.history)

    @rule()
    def ask(self) -> None:
        ask(self.ledger, self.store)

    @precondition(lambda self: self.store.logs)
    @rule(data=st.data())
    def write_as_another(self, data: st.DataObject) -> None:
        self.is_foreign = True
        branch = data.draw(st.sampled_from([*self.store.logs]))
        self.store.logs[branch].append(f'{{"by":"another","number":{next(self.number)}}}\n'.encode())

    @invariant()
    def points_are_of_what_was_handed_over(self) -> None:
        log = self.ledger.log
        kept = self.store.logs.get(log.branch, [])
        assert self.is_foreign or len(log.points) == log.points.find(log.points.end.offset)
        assert self.is_foreign or ends_of(kept)[: len(log.points) + 1] == [
            log.points[i] for i in range(len(log.points) + 1)
        ]


TestAgent = Agent.TestCase

TestAgent.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
