"""Does all of it work? Broker, clock, a worker's answer, its store, a round trip: each by itself, in plain words."""

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from history_sink.cli.terminal import end_sentence
from history_sink.client.ranges import NotFound
from history_sink.errors import Expired, HistorySinkError, Unavailable
from history_sink.protocol.chain import split_lines
from history_sink.protocol.contract import CLOCK_PROBLEM_SECONDS, READ_QUEUE, RESOLVE, UPLOAD_QUEUE
from history_sink.protocol.pointer import NOWHERE, Fault
from history_sink.settings import BROKER_URL, RESULT_URL, ProducerSettings
from history_sink.sink import HistorySink
from history_sink.transport.broker import Broker
from history_sink.transport.clock import describe_skew

Part: TypeAlias = Literal["broker", "clock", "worker", "store", "round trip"]

_STANDS_ALONE: frozenset[Part] = frozenset({"clock"})
"""The other parts may work where this one does not."""

_WRITES: frozenset[Part] = frozenset({"round trip"})


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one part of the check found; `seconds` is how long it took."""

    part: Part
    ok: bool
    text: str
    seconds: float


class Trouble(Exception):
    """A part that does not work. The text says what is wrong, and what to do."""


def check(settings: ProducerSettings, timeout_seconds: float, read_only: bool = False) -> Iterator[CheckResult]:
    """Check the parts, each after those that it needs. End at the first that does not work, if others need it."""
    with HistorySink(settings) as sink:
        bench = _Bench(Broker(settings), sink, timeout_seconds)
        try:
            yield from _run({part: act for part, act in bench.parts().items() if not (read_only and part in _WRITES)})
        finally:
            sink.forget(bench.session)
            bench.broker.close()


def _run(parts: Mapping[Part, Callable[[], str]]) -> Iterator[CheckResult]:
    for part, act in parts.items():
        start = time.monotonic()
        try:
            text, ok = act(), True
        except Trouble as trouble:
            text, ok = str(trouble), False
        yield CheckResult(part, ok, text, round(time.monotonic() - start, 3))
        if not ok and part not in _STANDS_ALONE:
            return


class _Bench:
    """What the parts of one check share. Each part returns what is well, or raises `Trouble`."""

    def __init__(self, broker: Broker, sink: HistorySink, timeout_seconds: float) -> None:
        # One session a day: one for each check would fill the list of sessions.
        self.session = f"history-sink-check-{datetime.now(UTC):%Y-%m-%d}"
        self.broker = broker
        self._sink = sink
        self._timeout_seconds = timeout_seconds
        self._asked = ""

    def parts(self) -> dict[Part, Callable[[], str]]:
        return {
            "broker": self._broker,
            "clock": self._clock,
            "worker": self._worker,
            "store": self._store,
            "round trip": self._round_trip,
        }

    def _broker(self) -> str:
        if not self.broker.has_answers:
            raise Trouble(f"saves can go out, but answers have no way back: set {RESULT_URL} to a Redis")
        try:
            self._asked = self.broker.send(RESOLVE, (NOWHERE.encode(),), {}, expires_seconds=self._timeout_seconds)
            self.broker.look([self._asked])
        except Unavailable as error:
            raise Trouble(
                f"{end_sentence(error)} Is it running, and are {BROKER_URL} and the password in it right?"
            ) from None
        return "takes tasks"

    def _clock(self) -> str:
        ahead_seconds = self.broker.clock_ahead_seconds
        if ahead_seconds is None:
            return "not compared: this Redis user may not ask for the time (TIME)"
        skew = describe_skew(ahead_seconds)
        if skew and abs(ahead_seconds) >= CLOCK_PROBLEM_SECONDS:
            raise Trouble(f"{skew}: set it (NTP). Until then questions and reads go by Redis's")
        return skew or "as Redis's"

    def _worker(self) -> str:
        try:
            answer = self.broker.take(self._asked, self._timeout_seconds)
        except Expired as error:
            raise Trouble(str(error)) from None
        except Unavailable as error:
            raise Trouble(
                f"{end_sentence(error)} Does one run (history-sink-worker run), on this broker,"
                f" with the queue {READ_QUEUE}?"
            ) from None
        if not isinstance(answer, dict) or answer.get("kind") != "denied":
            raise Trouble(f"what answers on the queue {READ_QUEUE} is no worker of history-sink")
        return "answers"

    def _store(self) -> str:
        try:
            status = self._sink.status(self.session, self._timeout_seconds)
        except HistorySinkError as error:
            raise Trouble(f"{error}, when asked about its store. Its log, and Flower, name the reason") from None
        return f"bucket {status.bucket}, prefix {status.prefix}"

    def _round_trip(self) -> str:
        lines = [*self._read_earlier(), _make_line()]
        receipt = self._sink.save(self.session, [*lines])
        if receipt.state != "enqueued":
            raise Trouble(f"a save was answered with {receipt.state}: {receipt.reason}")
        flushed = self._sink.flush(self.session, self._timeout_seconds)
        if not flushed:
            raise Trouble(
                f"a message was queued, and is not in the store after {self._timeout_seconds:g} s:"
                f" {flushed.reason}. Does a worker take the queue {UPLOAD_QUEUE},"
                f" and how long is that queue? Flower shows both"
            )
        end = sum(map(len, lines))
        handle = self._sink.pointer(self.session, byte_range=(end - len(lines[-1]), end))
        answer = self._sink.resolve(handle, self._timeout_seconds)
        if isinstance(answer, Fault):
            raise Trouble(f"a message was stored, and cannot be read: {answer}")
        if answer != lines[-1]:
            raise Trouble(f"a message of {len(lines[-1])} bytes was stored, and {len(answer)} other bytes came back")
        return f"a message was queued, stored and read back, in session {self.session}"

    def _read_earlier(self) -> list[bytes]:
        try:
            return split_lines(b"".join(self._sink.read(self.session, self._timeout_seconds)))
        except NotFound:
            return []
        except HistorySinkError as error:
            raise Trouble(f"what an earlier check has stored cannot be read: {error}") from None


def _make_line() -> bytes:
    text = f"history-sink check, {platform.node()}, {datetime.now(UTC).isoformat()}"
    message = {"role": "system", "content": [{"type": "text", "text": text}]}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
