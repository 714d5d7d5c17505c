"""A store and a worker as the promises have them, without any of their machinery: lists of lines."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kombu import Connection, Message, Queue
from kombu.utils.json import dumps
from redis import Redis

from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import START, Junction, shorten, walk
from history_sink.protocol.contract import (
    APPEND_VERSION,
    LIST_SESSIONS,
    READ_QUEUE,
    RESOLVE,
    STATUS,
    UPLOAD,
    UPLOAD_QUEUE,
)
from history_sink.protocol.lines import encode_line
from history_sink.protocol.log_end import LogEnd, make_end
from history_sink.protocol.outcome import Outcome, OutcomeKind, Parted
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.status import LogStatus, Status, StrayStatus
from history_sink.protocol.upload import Upload


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}], **more}


def messages(*texts: str) -> list[Any]:
    return [message(text) for text in texts]


def lines_of(history: list[Any]) -> list[bytes]:
    return [encode_line(one).data for one in history]


def ends_of(lines: list[bytes]) -> list[Junction]:
    return [START, *walk(START, lines)]


@dataclass
class PlainStore:
    """What the promises say of one session in the store."""

    session: str = "s"
    logs: dict[str | None, list[bytes]] = field(default_factory=dict)
    strays: list[Upload] = field(default_factory=list)
    written: dict[str | None, float] = field(default_factory=dict)
    placed: dict[str, int] = field(default_factory=dict)

    def take(self, upload: Upload) -> tuple[OutcomeKind, int]:
        """The outcome, and the offset up to which the log and the upload agree."""
        log = self.logs.setdefault(upload.branch, [])
        ends = ends_of(log)
        if upload.start not in ends:
            shared = max((end for end in ends if end.offset <= upload.start.offset), key=lambda end: end.offset)
            self.strays.append(upload)
            return "diverged", shared.offset
        at = upload.start.messages
        for line in upload.lines:
            if at < len(log) and log[at] != line:
                self.strays.append(upload)
                return "diverged", ends_of(log)[at].offset
            if at == len(log):
                log.append(line)
            at += 1
        return "stored", ends_of(log)[at].offset

    def append(self, batch: Batch) -> tuple[OutcomeKind, LogEnd]:
        """Put what is not there yet at the end of the log."""
        log = self.logs.setdefault(batch.branch, [])
        at, placed = batch.position or 0, self.placed.get(batch.writer, 0)
        assert at <= placed, "its queue keeps the order"
        is_first = batch.anchor is not None and batch.anchor.is_first
        assert not is_first or batch.anchor.place in ends_of(log), "nobody parts here from what is saved"  # type: ignore[union-attr]
        for line in batch.lines:
            if at >= placed:
                log.append(line)
            at += len(line)
        self.placed[batch.writer] = max(at, placed)
        return "stored" if at > placed else "duplicate", make_end(ends_of(log)[-1], batch.branch)

    def answer(self, junctions: list[tuple[int, str]], writers: Sequence[str] = ()) -> Status:
        logs = []
        for branch, log in self.logs.items():
            ends = ends_of(log)
            known = {(end.offset, shorten(end.chain)) for end in ends}
            common = max((offset for offset, chain in junctions if (offset, chain) in known), default=0)
            end = ends[-1]
            key = f"branches/{branch}/history.jsonl" if branch else "history.jsonl"
            told = LogStatus(
                branch,
                f"history/{self.session}/{key}",
                len(log),
                end.offset,
                shorten(end.chain),
                end.offset,
                self.written.get(branch, 0.0),
                common,
                end.chain.hex(),
                {writer: self.placed.get(writer, 0) for writer in writers},
            )
            logs.append(told)
        strays = tuple(StrayStatus(_stray_key(stray), *_span(stray), len(stray.lines)) for stray in self.strays)
        return Status("bucket", "history/", self.session, tuple(logs), strays)


def _span(upload: Upload) -> tuple[int, int]:
    return upload.start.offset, upload.start.offset + upload.size_bytes


def _stray_key(upload: Upload) -> str:
    *_, end = [*walk(upload.start, upload.lines)]
    start, before, after = upload.start.offset, shorten(upload.start.chain), shorten(end.chain)
    return f"history/s/tail/{start:012d}-{before}~{after}.jsonl"


class PlainWorker:
    """Takes tasks off the queues as a worker does, in a thread, and keeps sessions in `PlainStore`s.

    It can be stopped between two tasks and started again, several at once: Celery's own in a thread cannot.
    """

    def __init__(self, url: str) -> None:
        self.sessions: dict[str, PlainStore] = {}
        self.questions = 0
        self.ahead_seconds = 0.0
        self.is_open = threading.Event()  # while it is not set, tasks wait
        self.is_open.set()
        self._url = url
        self._stopping = threading.Event()
        self._tasks: dict[str, Callable[..., Any]] = {
            UPLOAD: self.upload,
            STATUS: self.status,
            RESOLVE: self.resolve,
            LIST_SESSIONS: self.list_sessions,
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """At work while the block runs."""
        self._stopping.clear()
        thread = threading.Thread(target=self._work, name="plain worker")
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join(20)

    def _work(self) -> None:
        queues = [Queue(READ_QUEUE), Queue(UPLOAD_QUEUE)]
        with (
            Connection(self._url, transport_options={"polling_interval": 0.002}) as connection,
            Redis.from_url(self._url) as results,
            connection.Consumer(queues, accept=["msgpack"], prefetch_count=1) as consumer,
        ):
            consumer.register_callback(lambda body, message: self._answer(body, message, results))
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)

    def _answer(self, body: Any, message: Message, results: Redis) -> None:
        self.is_open.wait(20)
        args, kwargs, _ = body
        headers = message.headers
        expires = headers.get("expires")
        record: dict[str, Any] = {"status": "SUCCESS", "task_id": headers["id"], "traceback": None}
        if expires and datetime.fromisoformat(expires).timestamp() <= time.time() + self.ahead_seconds:
            revoked = {"exc_type": "TaskRevokedError", "exc_message": ["expired"], "exc_module": "celery.exceptions"}
            record |= {"status": "REVOKED", "result": revoked}
        else:
            record["result"] = self._tasks[headers["task"]](*args, **kwargs)
        results.set(f"celery-task-meta-{headers['id']}", dumps(record), ex=60)
        message.ack()

    def upload(self, session: str, messages: None, **fields: Any) -> dict[str, Any]:
        assert messages is None
        if fields["v"] == APPEND_VERSION:
            return self.append(session, Batch.decode(fields))
        upload = Upload.decode(fields)
        outcome, offset = self.sessions.setdefault(session, PlainStore(session)).take(upload)
        parted = Parted(0, offset) if outcome == "diverged" else None
        answer = Outcome(outcome, session, upload.branch, len(upload.lines), upload.size_bytes, "key", 1, parted)
        return answer.encode()

    def append(self, session: str, batch: Batch) -> dict[str, Any]:
        outcome, end = self.sessions.setdefault(session, PlainStore(session)).append(batch)
        about = session, batch.branch, len(batch.lines), batch.size_bytes
        return Outcome(outcome, *about, "key", end=end).encode()

    def status(self, session: str, junctions: list[tuple[int, str]], writers: Sequence[str] = ()) -> dict[str, Any]:
        self.questions += 1
        store = self.sessions.get(session, PlainStore(session))
        return store.answer([(offset, chain) for offset, chain in junctions], writers).encode()

    def resolve(self, handle: dict[str, Any]) -> Any:
        asked = PointerHandle.decode(handle)
        session, _, rest = asked.key.removeprefix("history/").partition("/")
        branch = rest.removesuffix("history.jsonl").removeprefix("branches/").rstrip("/") or None
        store = self.sessions.get(session, PlainStore())
        if branch not in store.logs:
            return Fault("no_match").encode()
        start, stop = asked.byte_range or (0, None)
        return b"".join(store.logs[branch])[start:stop]

    def list_sessions(self, after: str, limit: int) -> dict[str, Any]:
        names = sorted(name for name in self.sessions if name > after)
        sessions = [
            {"session": name, "messages": len(self.sessions[name].logs[None]), "bytes": 0, "last_write": 0.0}
            for name in names[:limit]
        ]
        return {"sessions": sessions, "next_after": names[limit - 1] if len(names) > limit else None}
