"""`python -m torture.producer NAME SEED JOURNAL BEGAN`: an agent that saves its sessions until SIGTERM.

Killed and started again, it goes on from its transcript, as an agent does: with the step after the last it knows of.
`BEGAN` is the Unix time of the torture's start.
"""

import signal
import sys
import time
from pathlib import Path
from random import Random
from threading import Event

from history_sink import HistorySink, Receipt
from history_sink.protocol.chain import ORIGIN, advance, shorten
from torture.agent import SESSIONS_AT_ONCE, Agenda, Desk
from torture.appending import Appender
from torture.journal import Intent, Journal, Told, read_journal
from torture.script import History, write_script

_PAUSE_SECONDS = 0.2  # on average, between two saves: slow enough that workers keep up between kills
_APPENDS = 0.3
"""So much of what a producer does is an append to a session that all producers append to."""


def main() -> None:
    """End with 0 on SIGTERM, everything handed over that can be."""
    name, seed, path, began = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    ending = Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    agenda, desk = Agenda(name, seed), Desk()
    for record in read_journal(path):
        agenda.note(record.session, record.step)
    journal = Journal(path)
    draw = Random()  # its pace need not be the same
    with HistorySink.from_env() as sink:
        appender = Appender(sink, name, path.with_suffix(".appends"))
        while not ending.wait(draw.expovariate(1 / _PAUSE_SECONDS)):
            if draw.random() < _APPENDS:
                appender.append(draw)
                continue
            session, step = agenda.next(draw.randrange(SESSIONS_AT_ONCE), time.time() - began)
            history = write_script(seed, session, name).versions[step]
            messages = desk.lay_out(session, history)
            journal.write(Intent(session, name, step))
            receipt = sink.save(session, messages)
            journal.write(tell(sink, receipt, name, step, history))


def tell(sink: HistorySink, receipt: Receipt, writer: str, step: int, history: History) -> Told:
    """What was answered, and how far into `history` that is."""
    offset = _measure(sink, receipt, history)
    taken = b"".join(history)[:offset]
    chain = ORIGIN
    for line in taken.split(b"\n")[:-1]:
        chain = advance(chain, line + b"\n")
    return Told(
        session=receipt.session,
        writer=writer,
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


def _measure(sink: HistorySink, receipt: Receipt, history: History) -> int:
    """How much of `history` the broker has, by what the receipt says."""
    if receipt.state in ("enqueued", "unchanged"):
        return sum(map(len, history))
    if receipt.messages == 0:  # the sink may not even have looked at this history
        return 0
    return (sink.pointer(receipt.session, messages=(0, len(history))).byte_range or (0, 0))[1]


if __name__ == "__main__":
    main()
