"""A user's home, a watch over it, and an archive in memory that counts what it is sent."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from history_sink import Filter, HistorySink, LogEnd, Message, ProducerSettings, Receipt, SessionId, Unencodable
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.watch.program import Program


class CountingSink(MemorySink):
    """Tells how many lines and bytes are handed over, of all sessions but manifests."""

    lines_sent: list[bytes]

    def extend(
        self,
        session_id: SessionId,
        messages: Iterable[Message],
        after: LogEnd,
        unencodable: Unencodable = "replace",
    ) -> Receipt:
        given = [*messages]
        receipt = super().extend(session_id, given, after, unencodable)
        if not str(session_id).endswith(".manifest"):
            self.lines_sent.extend(bytes(each) for each in given[: receipt.messages] if isinstance(each, bytes))
        return receipt


class WatchedHome:
    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.state = folder / "state"
        self.home.mkdir(parents=True)
        self.archive = MemoryArchive()
        self.sent: list[bytes] = []
        self.said: list[str] = []
        self.filters: list[Filter] = []
        self.url = "redis://in-memory.invalid/0"

    def open_sink(self, settings: ProducerSettings) -> HistorySink:
        sink = CountingSink(self.archive, filters=self.filters)
        sink.lines_sent = self.sent
        return sink

    def make_program(self, *agents: str) -> Program:
        return Program(
            ProducerSettings(self.url),
            agents,
            {},
            self.home,
            self.state,
            self.said.append,
            is_verbose=True,
            make_sink=self.open_sink,
        )

    def watch_once(self) -> int:
        """One run of `watch --once`, which must have no problem. Returns how many lines it has sent."""
        before = len(self.sent)
        assert self.make_program().run_once() == 0, self.said
        return len(self.sent) - before

    @contextmanager
    def watching(self) -> Iterator[None]:
        """With a watch that runs."""
        stop, failures = threading.Event(), []

        def run() -> None:
            try:
                self.make_program().run(stop)
            except BaseException as error:
                failures.append(error)
                raise

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: bool(self.said) or bool(failures))
            yield
        finally:
            stop.set()
            thread.join(30)
        assert not failures
        assert not thread.is_alive()

    def forget(self) -> None:
        """The state is deleted."""
        for path in self.state.glob("watch.sqlite*"):
            path.unlink()

    def logs(self, session: str) -> list[bytes]:
        """All logs of a session, each whole, the main one first."""
        with MemorySink(self.archive) as sink:
            branches = [log.branch for log in sink.status(session).logs]
        return [b"".join(self.archive.lines(session, branch)) for branch in branches]

    def has(self, body: bytes) -> bool:
        """Whether some log of some session is this file, up to its last newline."""
        whole = body[: body.rfind(b"\n") + 1]
        return any(whole in self.logs(name) for name in self.archive.sessions())

    def count_beside(self) -> int:
        """How many strays and waiting pieces there are: a watch leaves none."""
        with MemorySink(self.archive) as sink:
            told = [sink.status(name) for name in self.archive.sessions()]
        return sum(len(status.strays) + status.pending for status in told)


def wait_until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
