"""What was promised to whom, and whether it holds: after each write, with each answer and receipt, at the end."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from history_sink.protocol.chain import ORIGIN, START, Junction, shorten, split_lines, walk
from history_sink.protocol.contract import COMPACT, RESOLVE, STATUS
from history_sink.protocol.outcome import Receipt
from history_sink.protocol.status import Status
from history_sink.protocol.upload import Upload
from history_sink_worker.archive.names import Log, parse_key

from .checks import check_log, check_read, check_tidy, check_verdict, lines_of
from .jobs import Read, Save
from .oracle import Objects, Place, Violation, junctions, main_line, places, readable, tails
from .queue import Message

PREFIX, SESSION = "history/", "s"
Branch = str | None


@dataclass
class Begun:
    """What there was when a task began."""

    main_bytes: dict[Branch, int]
    strays: set[str]


class Books:
    """Of one session. Each place (offset, chain16) stands for one history up to there."""

    def __init__(self) -> None:
        self.accepted: defaultdict[Branch, set[Place]] = defaultdict(set)  # by the broker, which still has it or had it
        self.was_emptied = False  # the broker, and what it had accepted is gone
        self.owed: defaultdict[Branch, set[Place]] = defaultdict(set)  # acknowledged
        self.given: set[tuple[bytes, ...]] = set()
        self._continued: defaultdict[Branch, set[Place]] = defaultdict(set)  # where accepted lines go on
        self._before: dict[bytes, tuple[bytes, bytes]] = {}  # the chain before each line, and the line
        self._shown: dict[Branch, bytes] = {}
        self._strays: dict[str, bytes] = {}

    # What happens

    def accept(self, upload: Upload) -> None:
        here = upload.start
        for line in upload.lines:
            there = here.step(line)
            self._before[there.chain] = here.chain, line
            self._continued[upload.branch].add(_place(here))
            self.accepted[upload.branch].add(_place(there))
            here = there

    def begin(self, objects: Objects) -> Begun:
        return Begun({branch: len(body) for branch, body in self._shown.items()}, set(self._strays))

    def history(self, upload: Upload) -> tuple[bytes, ...]:
        """All lines up to the end of `upload`."""
        lines, chain = list(upload.lines), upload.start.chain
        while chain != ORIGIN:
            chain, line = self._before[chain]
            lines.insert(0, line)
        return tuple(lines)

    # After each write

    def check_write(self, objects: Objects, keys: Iterable[str]) -> None:
        """No readable byte has changed, no stray is gone, and all that was acknowledged is held."""
        for key, body in self._strays.items():
            if key not in objects or objects[key].body != body:
                raise Violation(f"a stray is gone: {key}")
        for log in {found[0] for key in keys if (found := parse_key(PREFIX, key))}:
            before, now = self._shown.get(log.branch, b""), main_line(objects, log)
            if not now.startswith(before):
                raise Violation(f"bytes that could be read have changed: {_show(log)} {before!r} -> {now!r}")
            self._shown[log.branch] = now
            self._check_held(objects, log)
            for name, body in tails(objects, log):
                if name.kind == "stray":
                    self._strays[log.key(name)] = body

    def _check_held(self, objects: Objects, log: Log) -> None:
        missing = self.owed[log.branch] - _held(objects, log)
        if missing:
            raise Violation(f"acknowledged, but not in the store: {_show(log)} {sorted(missing)}")

    # With each answer of a worker

    def check_answer(self, objects: Objects, message: Message, begun: Begun, result: Any) -> None:
        if message.task == STATUS:
            self._check_status(message, begun, result)
        elif message.task == RESOLVE:
            start, end = message.args[0]["byte_range"]
            log, _ = parse_key(PREFIX, message.args[0]["key"]) or (Log(PREFIX, SESSION), None)
            main = self._shown.get(log.branch, b"")
            check_read(main, Read(start, end), begun.main_bytes.get(log.branch, 0), result)
        elif message.task != COMPACT:
            self._check_upload(objects, upload_of(message), result)

    def _check_status(self, message: Message, begun: Begun, status: Status) -> None:
        told = {log.branch: log for log in status.logs}
        asked = [(offset, chain) for offset, chain in message.kwargs["junctions"]]
        for branch, main in self._shown.items():
            check_log(main, begun.main_bytes.get(branch, 0), asked, told.get(branch))
        if not begun.strays <= {stray.key for stray in status.strays}:
            raise Violation(f"a status that leaves out strays: {status}")

    def _check_upload(self, objects: Objects, upload: Upload, verdict: Any) -> None:
        log = Log(PREFIX, SESSION, upload.branch)
        history = self.history(upload)
        save = Save(history, len(history) - len(upload.lines), len(history))
        check_verdict(objects, self._shown.get(upload.branch, b""), save, verdict)
        self.owed[upload.branch] |= {_place(point) for point in walk(upload.start, upload.lines)}
        self._check_held(objects, log)

    # What a producer says

    def check_receipt(
        self, receipt: Receipt, told: list[Upload], ids: list[str], given: tuple[bytes, ...], handed_over: set[bytes]
    ) -> None:
        """`told`: what the broker has said to have, in this call; `handed_over`: in all of this process."""
        lines = [line for upload in told for line in upload.lines]
        if (receipt.messages, receipt.bytes) != (len(lines), sum(map(len, lines))) or list(receipt.task_ids) != ids:
            raise Violation(f"a receipt that is not true: {receipt}, but {len(lines)} messages as {ids} went out")
        if receipt.state == "unreachable":
            return
        if receipt.state not in ("refused", "enqueued" if told else "unchanged"):
            raise Violation(f"a receipt that is not true: {receipt}, but {len(told)} uploads went out")
        stored = {chain for _, chain in junctions(lines_of(self._shown.get(receipt.branch, b"")))}
        if not {point.chain for point in walk(START, given)} <= stored | handed_over:
            raise Violation(f"a receipt that is not true: {receipt}, but not all was handed over")

    def check_flushed(self, branch: Branch, given: tuple[bytes, ...]) -> None:
        shown = self._shown.get(branch, b"")
        if not {_place(point) for point in walk(START, given)} <= places(lines_of(shown)):
            raise Violation(f"flush said True, but {branch or 'the main line'} is {shown!r}")

    # At the end

    def branches(self) -> list[Branch]:
        return [*self._shown]

    def check_end(self, objects: Objects) -> None:
        """When all is delivered and compacted."""
        for branch in {*self._shown, *self.accepted}:
            log, main = Log(PREFIX, SESSION, branch), self._shown.get(branch, b"")
            if not self.was_emptied and (missing := self.accepted[branch] - readable(objects, log)):
                raise Violation(f"accepted, but not to be read: {_show(log)} {sorted(missing)}")
            if not places(lines_of(main)) - {_place(START)} <= self.accepted[branch]:
                raise Violation(f"nobody has ever said this: {_show(log)} {main!r}")
            if not self.was_emptied and max(places(lines_of(main))) in self._continued[branch]:
                raise Violation(f"{_show(log)} could go on, but ends: {main!r}")
            check_tidy(objects, main, self.accepted[branch], log)
        self._check_one_history(objects)

    def _check_one_history(self, objects: Objects) -> None:
        longest = max(self.given, key=len, default=())
        if any(longest[: len(given)] != given for given in self.given):
            return
        if self._strays or [*self._shown] not in ([], [None]):
            raise Violation(f"only one history, but not only one log: {sorted(objects)}")


def upload_of(message: Message) -> Upload:
    """What a message brings, in either form."""
    if message.args[1] is not None:
        return Upload(None, START, message.args[1])
    return Upload.decode(message.kwargs)


def _place(point: Junction) -> Place:
    return point.offset, shorten(point.chain)


def _show(log: Log) -> str:
    return f"branch {log.branch}" if log.branch else "the main line"


def _held(objects: Objects, log: Log) -> set[Place]:
    """All junctions that some object has, whether or not a reader can be given them."""
    found = places(lines_of(objects[log.base].body)) if log.base in objects else set()
    for name, body in tails(objects, log):
        before = bytes.fromhex(objects[log.key(name)].info.meta["hs-before"])
        found |= {(offset, shorten(chain)) for offset, chain in junctions(split_lines(body), before, name.start)}
    return found
