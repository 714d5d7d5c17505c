"""A program that uses all of the library, for type checkers: `test_wheel.py` shows it to them. It is never run."""

from collections.abc import Iterator
from typing import assert_type

from history_sink import (
    BadMessage,
    ChatMessage,
    Comparison,
    Fault,
    Faulted,
    FlushResult,
    FlushState,
    HistorySink,
    HistorySinkError,
    Listing,
    LogStatus,
    Message,
    Outcome,
    PointerHandle,
    ProducerSettings,
    Receipt,
    ReceiptState,
    SessionSummary,
    Status,
    StrayStatus,
    Unavailable,
)
from history_sink.testing import MemoryArchive, MemorySink


def simplify(value: object) -> object:
    return str(value)


def redact(line: bytes) -> bytes:
    return line


def save(sink: HistorySink, messages: list[ChatMessage], line: bytes) -> None:
    receipt = sink.save("s", messages, unencodable="refuse")
    assert_type(receipt, Receipt)
    assert_type(receipt.state, ReceiptState)
    assert_type(receipt.task_ids, tuple[str, ...])
    assert_type(sink.append("s", line, {"role": "user"}, messages[0]), Receipt)
    assert_type(sink.append("s", line, after=sink.resume("s")), Receipt)
    assert_type(sink.append("s", line, wait_seconds=1), Receipt | Outcome)
    flushed = sink.flush("s", timeout_seconds=5.0)
    assert_type(flushed, FlushResult)
    assert_type(flushed.state, FlushState)
    assert_type(flushed.reason, str | None)


def read(sink: HistorySink) -> bytes | Fault:
    status = sink.status("s")
    assert_type(status, Status)
    assert_type(status.logs, tuple[LogStatus, ...])
    assert_type(status.strays, tuple[StrayStatus, ...])
    assert_type(status.latest, LogStatus | None)
    listing = sink.list_sessions(after="a", limit=10)
    assert_type(listing, Listing)
    assert_type(listing.sessions, tuple[SessionSummary, ...])
    assert_type(sink.list_sessions(prefix="a", fields=["last_write"]).sessions[0].last_write, float | None)
    assert_type(sink.read("s", branch="latest"), Iterator[bytes])
    handle = sink.pointer("s", messages=(0, 2))
    assert_type(handle, PointerHandle)
    assert_type(handle.byte_range, tuple[int, int] | None)
    return sink.resolve(handle)


def compare(sink: HistorySink, messages: list[Message]) -> Comparison:
    try:
        return sink.compare("s", messages)
    except Unavailable:
        raise
    except HistorySinkError as error:
        if isinstance(error, Faulted):
            assert_type(error.fault, Fault)
        raise BadMessage("s") from error


async def save_beside(messages: list[ChatMessage]) -> None:
    async with HistorySink.from_env({}, default=simplify, filters=[redact]) as sink:
        assert_type(sink, HistorySink)
        assert_type(await sink.asave("s", messages), Receipt)
        assert_type(await sink.aappend("s", messages[0]), Receipt)
        assert_type(await sink.aappend("s", messages[0], wait_seconds=1), Receipt | Outcome)
        assert_type(await sink.aflush("s"), FlushResult)
        assert_type(await sink.aresolve(PointerHandle("b", "k")), bytes | Fault)
        await sink.aclose()


def look_into_memory(messages: list[ChatMessage]) -> list[bytes]:
    archive = MemoryArchive(prefix="p")
    with MemorySink(archive, filters=[redact]) as sink, archive.answering(Fault("denied", "no")):
        assert_type(sink, MemorySink)
        assert_type(sink.archive, MemoryArchive)
        save(sink, messages, b"line")
        assert_type(archive.sessions(), list[str])
        archive.delete("s")
    with MemorySink.from_env() as other, other.archive.broker_away():
        assert_type(other, MemorySink)
    return archive.lines("s")


def make() -> HistorySink:
    with HistorySink(ProducerSettings("redis://localhost", bucket="b"), default=simplify) as sink:
        assert_type(sink.settings, ProducerSettings)
        assert_type(sink.clock_ahead_seconds, float | None)
        sink.forget("s")
        sink.close()
        return sink
