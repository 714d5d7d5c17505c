"""What is promised of appends, and the books by which it is checked.

Whose bytes the main line has is worked out from who created which object, and not from what the objects say.
"""

from typing import Any

from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import ORIGIN, START, shorten, split_lines, walk
from history_sink_worker.archive.names import TailName
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Put

from .append_jobs import CARELESS, AskPlaced
from .oracle import LOG, Violation, chain_of, tails
from .scheduler import Simulation


class AppendBooks(Simulation):
    """`placed`: how far each stream is on the line. `alone`: what was appended after an end: whose, where, what.

    `owners`: who has created each object. `joined`: the extents that are on the line.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed, size=0.4, forks=0)
        self.history: tuple[bytes, ...] = ()
        self.mixes_saves = False
        self.streams: dict[str, tuple[bytes, ...]] = {}
        self.placed: dict[str, int] = {}
        self.owners: dict[str, Batch | None] = {}
        self.alone: set[tuple[str, int, bytes]] = set()
        self.joined: set[str] = set()

    def _owner_of(self, request: Put) -> Batch | None:
        """What lands late, and what is placed that has waited, is named by the object's own words."""
        name = request.meta.get("hs-writer")
        if name is None:
            return None
        position = int(request.meta["hs-position"]) if "hs-position" in request.meta else None
        return Batch(None, name, position, tuple(split_lines(request.body)))

    def _attribute(self, before: bytes) -> None:
        """Whose the new bytes of the main line are: each writer's must go on where it stood."""
        chain, at = chain_of(split_lines(before)), len(before)
        extents = {
            (name.start, name.before): (name, held) for name, held in tails(self.store.objects) if name.kind == "extent"
        }
        if at == 0 and LOG.base in self.store.objects:
            held = self.store.objects[LOG.base].body
            self._take(LOG.base, held, 0)
            at, chain = len(held), chain_of(split_lines(held))
        while found := extents.get((at, shorten(chain))):
            name, held = found
            self._take(LOG.key(name), held, at)
            at, chain = at + len(held), chain_of(split_lines(held), chain)

    def _take(self, key: str, held: bytes, start: int) -> None:
        batch = self.owners.get(key)
        self.joined.add(key)
        if batch is None or batch.writer == CARELESS:
            return
        if batch.position is None:
            if batch.after is not None and batch.after.offset != start:
                raise Violation(f"{batch} is not after its end: {start}")
            self.alone.add((batch.writer, start, held))
            return
        stream, at = b"".join(self.streams[batch.writer]), self.placed[batch.writer]
        if stream[at : at + len(held)] != held:
            raise Violation(f"{held!r} of {batch.writer} is not what follows its byte {at}: {stream!r}")
        self.placed[batch.writer] = at + len(held)

    def _check_append(self, batch: Batch, verdict: Verdict) -> None:
        is_there = verdict.outcome in ("stored", "duplicate")
        if batch.position is None:
            self._check_lone(batch, verdict)
        elif is_there and self.placed[batch.writer] < batch.position + batch.size_bytes:
            raise Violation(f"{verdict.outcome}, but not on the log: {batch} {self.placed}")
        elif not is_there and verdict.outcome != "pending" and not (verdict.outcome == "diverged" and batch.anchor):
            raise Violation(f"{verdict.outcome} of an append: {batch}")
        if is_there and batch.anchor and not self.main.startswith(b"".join(self.history)):
            raise Violation(f"before what its writer had saved: {batch} {self.main!r}")
        end = verdict.end
        if end and (end.bytes, bytes.fromhex(end.chain)) not in self._junctions():
            raise Violation(f"{end} is no place of {self.main!r}")
        if is_there and end and not self.main[: end.bytes].endswith(batch.lines[-1]):
            raise Violation(f"{end} is not behind {batch.lines}")

    def _check_lone(self, batch: Batch, verdict: Verdict) -> None:
        assert batch.after is not None
        is_told, at, line = verdict.outcome in ("stored", "duplicate"), batch.after.offset, batch.lines[0]
        if (batch.writer, at, line) in self.alone:
            if not is_told:
                raise Violation(f"{verdict.outcome}, but it is on the log: {batch}")
            return
        if verdict.outcome == "stored":
            raise Violation(f"stored, but it is another's: {batch}")
        # What the base has taken in long ago is nobody's: the same line there is taken for its own.
        if is_told and not self.main[at:].startswith(line):
            raise Violation(f"{batch} is not where it was to go: {self.main!r}")
        extent = LOG.key(TailName(at, shorten(batch.after.chain)))
        is_known = extent in self.joined if at else self.owners.get(LOG.base) is not None
        if is_told and is_known:
            raise Violation(f"{verdict.outcome}, but what is there says that it is another's: {batch}")

    def _check_placed(self, asked: AskPlaced, logs: Any) -> None:
        told = logs[0].placed if logs else {}
        for name, before in asked.before:
            if not before <= told.get(name, 0) <= self.placed[name]:
                raise Violation(f"{name} was placed up to {before}, and is up to {self.placed[name]}: told {told}")

    def _junctions(self) -> set[tuple[int, bytes]]:
        return {(0, ORIGIN), *((each.offset, each.chain) for each in walk(START, split_lines(self.main)))}

    def _check_all(self) -> None:
        for name, lines in self.streams.items():
            may_part = self.mixes_saves and name == "u"  # with the saves that it follows
            if self.placed[name] != len(b"".join(lines)) and not may_part:
                raise Violation(f"{name} is not whole: {self.placed} {self.main!r}")
            if may_part:
                self._check_parted(name, lines)
        if not self.mixes_saves and (beside := tails(self.store.objects)):
            raise Violation(f"left beside the log: {beside}")
        for name, held in self.store.objects.items():
            if "/waits-" in name and not self.mixes_saves and f"-{CARELESS}-" not in name:
                raise Violation(f"waits for ever: {name}")
            writer = name.rpartition("/")[2]
            if (
                "/appends/" in name
                and writer != CARELESS
                and int(held.body) > len(b"".join(self.streams.get(writer, ())))
            ):
                raise Violation(f"{name} says too much: {held.body!r}")

    def _check_parted(self, name: str, lines: tuple[bytes, ...]) -> None:
        """A stream that has parted is whole: on the main line, or on strays behind those of the history before it."""
        whole = chain_of([*self.history, *lines])
        ends = {tail.after for tail, _ in tails(self.store.objects) if tail.kind == "stray"}
        if shorten(whole) not in ends and self.placed[name] != len(b"".join(lines)):
            raise Violation(f"{name} has parted, and its end is nowhere: {self.placed}")
