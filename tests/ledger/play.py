"""A ledger and a plain model of a store play a save, a question and a restart."""

from typing import Any

from history_sink.ledger.counted_upload import CountedUpload
from history_sink.ledger.ledger import Ledger
from plain_store import PlainStore


def hand_over(ledger: Ledger, store: PlainStore, whole: bool = False) -> list[CountedUpload]:
    """What a save does with a broker that takes everything and a worker that is at once done."""
    ledger.decide(whole)
    pieces = []
    while piece := ledger.next_piece():
        end = ledger.accept(piece)
        pieces.append(piece)
        outcome, offset = store.take(piece.upload)
        if outcome == "diverged":
            ledger.part(piece.upload.branch, offset)
        else:
            ledger.confirm(piece.upload.branch, end)
    return pieces


def save(ledger: Ledger, store: PlainStore, history: list[Any]) -> list[CountedUpload]:
    ledger.give(history)
    if ledger.is_uncertain:
        ask(ledger, store)
    return hand_over(ledger, store)


def ask(ledger: Ledger, store: PlainStore) -> None:
    question = ledger.question()
    ledger.learn(store.answer(question.junctions()), question)


def restart(store: PlainStore, history: list[Any]) -> Ledger:
    """A new process, whose first save has been answered."""
    ledger = Ledger()
    ledger.give(history)
    ask(ledger, store)
    return ledger
