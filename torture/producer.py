"""`python -m torture.producer NAME SEED JOURNAL`: an agent that saves its sessions until SIGTERM.

Killed and started again, it goes on from its transcript, as an agent does: with the step after the last it knows of.
"""

import signal
import sys
import time
from pathlib import Path
from random import Random
from threading import Event

from history_sink import HistorySink, Receipt
from history_sink.chain import ORIGIN, advance, shorten
from torture.journal import Intent, Journal, Told, read_journal
from torture.script import History, write_script

SESSIONS_AT_ONCE = 4
_PAUSE_SECONDS = 0.06  # on average, between two saves


def main() -> None:
    """End with 0 on SIGTERM, everything handed over that can be."""
    name, seed, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    ending = Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    agenda = Agenda(name, seed)
    for record in read_journal(path):
        agenda.note(record.session, record.step)
    journal = Journal(path)
    draw = Random()  # its pace need not be the same
    with HistorySink.from_env() as sink:
        while not ending.wait(draw.expovariate(1 / _PAUSE_SECONDS)):
            session, step = agenda.next(draw.randrange(SESSIONS_AT_ONCE))
            save(sink, journal, session, step, write_script(seed, session).versions[step])


class Agenda:
    """Which step of which session comes next: some sessions at once, each followed by another."""

    def __init__(self, name: str, seed: int) -> None:
        self._name, self._seed = name, seed
        self._done = dict.fromkeys(range(SESSIONS_AT_ONCE), (0, -1))  # number of the session, step

    def note(self, session: str, step: int) -> None:
        """This step was begun."""
        slot, number = map(int, session.split("-")[-2:])
        self._done[slot] = max(self._done[slot], (number, step))

    def next(self, slot: int) -> tuple[str, int]:
        """Begin the next step of the slot's session, or of a new one."""
        number, step = self._done[slot]
        step += 1
        if step == len(write_script(self._seed, self._session(slot, number)).versions):
            number, step = number + 1, 0
        self._done[slot] = number, step
        return self._session(slot, number), step

    def _session(self, slot: int, number: int) -> str:
        return f"{self._name}-{slot}-{number}"


def save(sink: HistorySink, journal: Journal, session: str, step: int, history: History) -> None:
    """Write down what is tried, and what was answered."""
    journal.write(Intent(session, step))
    receipt = sink.save(session, list(history))
    offset = _measure(sink, receipt, history)
    taken = b"".join(history)[:offset]
    chain = ORIGIN
    for line in taken.split(b"\n")[:-1]:
        chain = advance(chain, line + b"\n")
    journal.write(
        Told(
            session=session,
            step=step,
            at=time.time(),
            state=receipt.state,
            branch=receipt.branch,
            messages=receipt.messages,
            bytes=receipt.bytes,
            offset=offset,
            chain=shorten(chain),
            task_ids=receipt.task_ids,
            reason=receipt.reason,
        )
    )


def _measure(sink: HistorySink, receipt: Receipt, history: History) -> int:
    """How much of `history` the broker has, by what the receipt says."""
    if receipt.state in ("enqueued", "unchanged"):
        return sum(map(len, history))
    if receipt.messages == 0:  # the sink may not even have looked at this history
        return 0
    return (sink.pointer(receipt.session, messages=(0, len(history))).byte_range or (0, 0))[1]


if __name__ == "__main__":
    main()
