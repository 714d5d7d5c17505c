"""Whole transcripts into the store: file after file, the next ones handed over while the last are waited for."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from history_sink.cli.files import STDIN, NotTaken
from history_sink.cli.transcripts import Transcript, describe_mark, read_transcript
from history_sink.errors import HistorySinkError, Unavailable
from history_sink.ledger.comparison import Comparison
from history_sink.protocol.outcome import FlushResult, Receipt

if TYPE_CHECKING:
    from history_sink.sink import HistorySink

STEP_BYTES = 8 * 1024 * 1024
"""How much of a file is handed over before the store is waited for: an archive of years must not fill the broker."""

WINDOW_FILES = 16
WINDOW_BYTES = 2 * STEP_BYTES
"""How much may be on its way to the store at a time, so that the workers always have something to do."""


_DRY_SECONDS = 60.0
_ARRAY = "no JSONL but one JSON array: nothing was sent; a message a line is needed, such as jq -c '.[]' makes"
_ARRAY_LINES = "begins with [, as one JSON array does: this may be no JSONL, and its lines are kept as they are"
_FOREIGN = (
    "session {session} in the store begins with another message: if that is another transcript of the same name,"
    " --name-from path keeps them apart"
)


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of one file.

    Of its history, `messages` of `bytes` bytes are handed over or were there; of these, `sent_messages` had to be sent.
    `branch` None is the session's main log. `stored`: the store has said that it holds them all. `problem` says why
    something is missing, from line `line` on where that is known; `is_away`: because the broker or the workers are.
    `notes`: what may not be as it was meant, though it is saved.
    `raw_lines` of those sent are no JSON object. `filtered` counts what filters have done to those sent, by name.
    `unfinished_bytes` behind the last newline are not handed over.
    """

    file: str
    session: str | None = None
    branch: str | None = None
    messages: int = 0
    bytes: int = 0
    sent_messages: int = 0
    raw_lines: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    unfinished_bytes: int = 0
    stored: bool = False
    line: int | None = None
    problem: str | None = None
    is_away: bool = False
    notes: tuple[str, ...] = ()


class Backfill:
    """Saves files and waits for the store. `results` has what is done with, `waiting` what is on its way."""

    def __init__(
        self,
        sink: "HistorySink",
        wait_seconds: float | None,
        report: Callable[[Saved], None] = lambda _: None,
        advance: Callable[[int], None] = lambda _: None,
        *,
        is_dry: bool = False,
    ) -> None:
        """`wait_seconds`: how long the store may take for a step; None: it is not waited for.

        `report` is told each result, `advance` how many bytes more are handed over. `is_dry`: hand over nothing.
        """
        self.results: list[Saved] = []
        self.waiting: deque[Saved] = deque()
        self._sink = sink
        self._wait_seconds = wait_seconds
        self._report = report
        self._advance = advance
        self._is_dry = is_dry

    def save(self, file: Path, session: str | NotTaken) -> None:
        """Hand over one file, and wait for earlier ones when many are on their way."""
        if isinstance(session, NotTaken):
            self._end(Saved(str(file), problem=str(session)))
            return
        try:
            transcript = _read(file)
        except OSError as error:
            self._end(Saved(str(file), session, problem=f"cannot be read: {error.strerror}"))
            return
        self.waiting.append(Saved(str(file), session, unfinished_bytes=transcript.unfinished_bytes))
        if mark := describe_mark(transcript.lines):
            self._change(notes=(mark,))
        if transcript.is_array:
            self._change(**({"notes": (_ARRAY_LINES,)} if transcript.lines else {"problem": _ARRAY}))
        comparison = self._compare(session, transcript)
        if not self._is_dry and not self.waiting[-1].problem:
            self._hand_over(session, transcript, comparison.held_bytes if comparison else 0)
        while self.waiting and self._is_enough():
            self._settle_oldest()

    def finish(self) -> None:
        """Wait for what is on its way."""
        while self.waiting:
            self._settle_oldest()

    def abandon(self) -> None:
        """Interrupted: else the sink would hand over the rest when it is closed."""
        for saved in self.waiting:
            self._sink.forget(saved.session or "")

    def _is_enough(self) -> bool:
        if self._wait_seconds is None or self.waiting[-1].is_away:
            return True
        return len(self.waiting) > WINDOW_FILES or sum(saved.bytes for saved in self.waiting) > WINDOW_BYTES

    def _change(self, **fields: Any) -> None:
        self.waiting[-1] = replace(self.waiting[-1], **fields)

    def _compare(self, session: str, transcript: Transcript) -> Comparison | None:
        """Ask how much of the file the store has. None: nobody says, so all of it would be sent again."""
        if not transcript.lines or (self._wait_seconds is None and not self._is_dry) or not self._sink.can_ask:
            return None
        try:
            found = self._sink.compare(session, [*transcript.lines], self._wait_seconds or _DRY_SECONDS)
        except Unavailable as error:
            self._change(problem=f"nothing was sent, as nobody says what the store has of it: {error}", is_away=True)
            return None
        except HistorySinkError as error:
            self._change(problem=f"nothing was sent: {error}")
            return None
        notes = self.waiting[-1].notes
        self._change(notes=(*notes, _FOREIGN.format(session=session)) if found.is_foreign else notes)
        if self._is_dry:
            messages, size = found.held_messages + found.messages, found.held_bytes + found.bytes
            self._change(branch=found.branch, messages=messages, bytes=size, sent_messages=found.messages)
        return found

    def _hand_over(self, session: str, transcript: Transcript, held_bytes: int) -> None:
        """Hand it over in steps. Wait for each but the last. The last of `waiting` tells how far it is."""
        total = len(transcript.lines)
        for count in cut_steps(transcript.lines, held_bytes):
            before = self.waiting[-1]
            receipt = self._sink.save(session, [*transcript.lines[:count]])
            saved = self.waiting[-1] = take_receipt(before, transcript, count, receipt)
            self._advance(saved.bytes - before.bytes)
            if saved.problem:
                if not saved.is_away:  # without the message that is refused, those before it can be waited for
                    self._sink.save(session, [*transcript.lines[: saved.messages]])
                return
            if count < total and self._wait_seconds is not None and not (flushed := self._flush(saved)):
                self.waiting[-1] = self._as_unconfirmed(saved, flushed)
                return

    def _settle_oldest(self) -> None:
        saved = self.waiting[0]
        if self._wait_seconds is not None and not self._is_dry and not saved.is_away:
            flushed = self._flush(saved) if saved.messages else FlushResult("stored")
            saved = replace(saved, stored=bool(flushed) and saved.messages > 0)
            if not flushed and not saved.problem:
                saved = self._as_unconfirmed(saved, flushed)
        self._sink.forget(saved.session or "")
        self.waiting.popleft()
        self._end(saved)

    def _flush(self, saved: Saved) -> FlushResult:
        return self._sink.flush(saved.session or "", self._wait_seconds or 0.0)

    def _as_unconfirmed(self, saved: Saved, flushed: FlushResult) -> Saved:
        receipt = self._sink.append(saved.session or "")
        if receipt.state == "refused":  # what the worker's answer said meanwhile
            return replace(saved, problem=receipt.reason)
        silence = f"handed over, but the store has not confirmed it within {self._wait_seconds:g} s: {flushed.reason}"
        return replace(saved, problem=silence, is_away=True)

    def _end(self, saved: Saved) -> None:
        self.results.append(saved)
        self._report(saved)


def cut_steps(lines: Sequence[bytes], stored_bytes: int = 0, step_bytes: int = STEP_BYTES) -> Iterator[int]:
    """How many lines each save of a file has: `step_bytes` more than the last, the first ones beyond `stored_bytes`."""
    size, limit = 0, stored_bytes + step_bytes
    for count, line in enumerate(lines, 1):
        size += len(line)
        if size >= limit or count == len(lines):
            yield count
            limit = size + step_bytes


def take_receipt(saved: Saved, transcript: Transcript, count: int, receipt: Receipt) -> Saved:
    """`saved` after its first `count` lines were given to the sink."""
    saved = replace(
        saved,
        branch=receipt.branch,
        sent_messages=saved.sent_messages + receipt.messages,
        raw_lines=saved.raw_lines + receipt.raw,
        filtered=dict(Counter(saved.filtered) + Counter(receipt.filtered)),
    )
    if receipt.state == "unreachable":
        return replace(saved, problem=receipt.reason, is_away=True)
    if receipt.state == "refused":
        count = max(receipt.index or 0, saved.messages)
        line = None if receipt.index is None else receipt.index + 1
        saved = replace(saved, problem=receipt.reason, line=line)
    return replace(saved, messages=count, bytes=sum(map(len, transcript.lines[:count])))


def _read(file: Path) -> Transcript:
    if file == STDIN:
        return read_transcript(sys.stdin.buffer)
    with file.open("rb") as stream:
        return read_transcript(stream)
