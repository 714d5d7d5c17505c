"""One log under test, on any store: saves, compactions and reads in a line each."""

from collections.abc import Callable, Sequence
from typing import Any

from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.pointer import Fault
from history_sink.protocol.status import Status
from history_sink.protocol.upload import Upload
from history_sink_worker.archive.compaction import Compacted, compact
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece, whole_piece
from history_sink_worker.archive.reader import read
from history_sink_worker.archive.save import append, upload_rest, upload_whole
from history_sink_worker.archive.stream import append_batch
from history_sink_worker.archive.survey import Asked, survey
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Reply, Request, run

BUCKET = "b"
CAP_BYTES = 8 * 1024 * 1024


class DictHints:
    """Hints that are always there."""

    def __init__(self) -> None:
        self.kept: dict[str, Hint] = {}

    def get(self, root: str) -> Hint | None:
        return self.kept.get(root)

    def put(self, root: str, hint: Hint) -> None:
        self.kept[root] = hint


def some_lines(count: int, label: str = "m", size_bytes: int = 0) -> list[bytes]:
    """Distinct lines, all of one length at least `size_bytes`."""
    return [f'{{"{label}":{number:06d}}}'.encode().ljust(size_bytes) + b"\n" for number in range(count)]


def upload_of(history: Sequence[bytes], first: int, end: int, branch: str | None = None) -> Upload:
    """The messages ``[first, end)`` of a history, as the library would send them."""
    start = [START, *walk(START, history[:first])][-1]
    return Upload(branch, start, tuple(history[first:end]))


class Logbook:
    """The main log of one session; `requests` counts by kind what the last call asked of the store."""

    def __init__(
        self,
        perform: Callable[[Request], Reply],
        now: Callable[[], float],
        log: Log | None = None,
        settle_seconds: float = 7200,
    ) -> None:
        self.log = log or Log("history/", "s")
        self.hints = DictHints()
        self.context = Context(self.hints, now, settle_seconds)
        self.requests: dict[str, int] = {}
        self._perform = perform

    def run(self, steps: Any) -> Any:
        self.requests = {}
        return run(steps, self._count)

    def _count(self, request: Request) -> Reply:
        name = type(request).__name__
        self.requests[name] = self.requests.get(name, 0) + 1
        return self._perform(request)

    def save(self, history: Sequence[bytes], first: int, end: int) -> Verdict:
        found: Verdict = self.run(append(self.context, self.log, upload_of(history, first, end)))
        return found

    def append(self, writer: str, position: int | None, lines: Sequence[bytes], **more: Any) -> Verdict:
        batch = Batch(self.log.branch, writer, position, tuple(lines), **more)
        found: Verdict = self.run(append_batch(self.context, self.log, batch))
        return found

    def save_whole(self, history: Sequence[bytes]) -> Verdict:
        found: Verdict = self.run(upload_whole(self.context, self.log, whole_piece(tuple(history))))
        return found

    def save_rest(self, history: Sequence[bytes], first: int) -> Verdict | None:
        """From this message on, as a worker does that knows those before."""
        (*_, start) = (START, *walk(START, history[:first]))
        found: Verdict | None = self.run(upload_rest(self.context, self.log, Piece(start, tuple(history[first:]))))
        return found

    def save_each(self, history: Sequence[bytes], first: int = 0) -> list[str]:
        return [self.save(history, at, at + 1).outcome for at in range(first, len(history))]

    def compact(self, everything: bool = True, idle: bool = False) -> Compacted:
        found: Compacted = self.run(compact(self.context, self.log, idle, everything))
        return found

    def read(self, start: int | None = None, end: int | None = None, key: str | None = None) -> bytes | Fault:
        wanted = None if start is None or end is None else [start, end]
        handle = {"bucket": BUCKET, "key": key or self.log.base, "byte_range": wanted}
        found: bytes | Fault = self.run(read(self.context, BUCKET, self.log.prefix, handle, CAP_BYTES))
        return found

    def survey(self, history: Sequence[bytes] = ()) -> Status:
        asked = [(point.offset, shorten(point.chain)) for point in walk(START, history)]
        found: Status = self.run(survey(self.context, BUCKET, self.log.prefix, self.log.session, Asked(tuple(asked))))
        return found
