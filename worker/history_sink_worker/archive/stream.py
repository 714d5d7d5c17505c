"""Place a batch of a writer's stream: at the log's end, wherever that is, once, and in the writer's order.

What is placed is known by who wrote it, not by where it lies: see docs/adr/0013.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from history_sink.errors import Malformed
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import START, Junction
from history_sink.protocol.log_end import make_end
from history_sink.protocol.outcome import OutcomeKind
from history_sink_worker.archive import plan
from history_sink_worker.archive.batches import drop_placed, find_start, join_batches
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.hint import Hint, list_placed
from history_sink_worker.archive.lineage import follows_stray
from history_sink_worker.archive.marks import find_placed
from history_sink_worker.archive.names import Log, WaitingName
from history_sink_worker.archive.piece import Piece, read_tail_meta
from history_sink_worker.archive.plan import Waiting
from history_sink_worker.archive.presence import is_on_line, is_there
from history_sink_worker.archive.reconcile import place, put_base, put_extent
from history_sink_worker.archive.snapshot import LogSnapshot, foreign, look, make_hint
from history_sink_worker.archive.tombstone import Deleted, check_alive
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.archive.waiting import Early, read_waiting, write_waiting
from history_sink_worker.store import DELETE_KEYS, Blob, Corrupt, Delete, Get, Head, Info, Put, Steps

HINTS_TRIED = 3
"""Each try is one PUT. Who has lost so many races looks."""


def append_batch(context: Context, log: Log, batch: Batch) -> Steps[Verdict]:
    """Store the lines of one append. Raises `Malformed` where its writer has cut it inside a line."""
    return (yield from append_batches(context, log, [batch]))[0]


def append_batches(
    context: Context, log: Log, batches: Sequence[Batch], looks: bool = False, hint: Hint | None = None
) -> Steps[list[Verdict]]:
    """Store appends of one writer that continue one another, as one. A verdict for each.

    `looks`: others may wait for them in the store, so do not go by hints alone. `hint`: as it was found just now.
    """
    appending = _Appending(context, log, join_batches(batches))
    try:
        found = None if looks else (yield from appending.follow_hints(hint))
        verdict = found or (yield from appending.settle())
    except Deleted:
        verdict = appending.tell("deleted")
    return [verdict] if len(batches) == 1 else [appending.tell_of(each, verdict) for each in batches]


def place_waiting(context: Context, log: Log, waiting: Iterable[Waiting]) -> Steps[int]:
    """Place appends that have waited for what their writers sent before, as far as that is there; how many."""
    done: list[str] = []
    stuck: set[str] = set()
    for name in sorted((each.name for each in waiting), key=lambda name: (name.writer, name.position)):
        if name.writer in stuck:
            continue
        try:
            blob: Blob | None = yield Get(log.key(name))
            if blob is not None:
                appending = _Appending(context, log, read_waiting(log, name, blob))
                if (yield from appending.follow_hints()) is None:
                    yield from look_again(log, appending.step)
                done.append(log.key(name))
        except (Early, Corrupt, Malformed):
            # A foreign writer's object stays, and one that its writer has cut elsewhere: nothing behind it is placed.
            stuck.add(name.writer)
    for at in range(0, len(done), DELETE_KEYS):
        yield Delete(tuple(done[at : at + DELETE_KEYS]))
    return len(done)


@dataclass
class _Appending:
    """One batch on its way. `has_written`: this task has created an object with it.

    `followers`: what of its writer's the last look has seen waiting. `piece`: what was put on the line, if it was.
    """

    context: Context
    log: Log
    batch: Batch
    has_written: bool = False
    followers: Sequence[Waiting] = ()
    piece: Piece | None = None

    def follow_hints(self, known: Hint | None = None) -> Steps[Verdict | None]:
        """Put it where the hint says that the log ends; None where that does not settle it."""
        is_of_use = known is not None and find_start(known, self.batch) is not None
        hint = known if is_of_use else self.context.hints.get(self.log.root)
        for _ in range(HINTS_TRIED):
            start = find_start(hint, self.batch)
            if hint is None or start is None or not self._is_proven(hint, start):
                return None
            piece = Piece(start, self.batch.lines, self.batch.writer, self.batch.position)
            if (yield from put_extent(self.context, self.log, piece)):
                self.has_written = True
                return self._go_on(hint, piece) if self._is_proven(hint, start) else None
            there = self.context.hints.get(self.log.root)
            if there is not None and there.offset > hint.offset:
                hint = there
            else:  # who was faster has not moved it yet
                hint = yield from self._pass_winner(hint, piece)
        return None

    def _pass_winner(self, hint: Hint, piece: Piece) -> Steps[Hint | None]:
        """The hint behind the extent that has taken the place of `piece`; None where it is not there, or a foreign one.

        It continues what the hint proves to be on the line, and its own words say whose it is.
        """
        key = self.log.key(piece.extent)
        info: Info | None = yield Head(key)
        fact = read_tail_meta(info.meta, piece.extent) if info else None
        if info is None or fact is None or not plan.joins(fact, piece.start.chain) or not info.size_bytes:
            return None
        self.context.facts.put(key, info.etag, fact)
        end = piece.start.offset + info.size_bytes
        # That its own stream stands at this batch is known: else there was no place to try.
        placed = {} if self.batch.position is None else {self.batch.writer: self.batch.position}
        if fact.writer and fact.position is not None:
            placed[fact.writer] = fact.position + info.size_bytes
        behind = Junction(fact.messages, end, fact.after)
        return hint.move(behind, self.context.now(), list_placed(placed, hint.placed))

    def settle(self) -> Steps[Verdict]:
        """Put it where a look says; or where it waits for what comes before it, in its writer's history."""
        try:
            return (yield from self._put_all())
        except Early:
            assert self.batch.position is not None
            end = self.batch.position + self.batch.size_bytes
            key = self.log.key(WaitingName(self.batch.writer, self.batch.position, end))
            yield Put(key, b"".join(self.batch.lines), write_waiting(self.batch.anchor))
        try:  # who has put what comes before it meanwhile has not seen it
            verdict = yield from self._put_all()
        except Early:
            return self.tell("pending")
        yield Delete((key,))
        return verdict

    def _put_all(self) -> Steps[Verdict]:
        verdict = yield from look_again(self.log, self.step)
        yield from place_waiting(self.context, self.log, self.followers)
        return verdict

    def _is_proven(self, hint: Hint, start: Junction) -> bool:
        return plan.hint_proves(hint, start, self.context.now(), self.context.settle_seconds)

    def step(self) -> Steps[Verdict]:
        """Look, and put it at the log's end, if that is where it belongs."""
        seen = yield from look(self.context, self.log, adopt=True)
        self.followers = [each for each in seen.listing.waiting if each.name.writer == self.batch.writer]
        if self.batch.position is None:
            return (yield from self._put_only_there(seen))
        line = seen.line
        placed = (yield from find_placed(self.log, line, self.batch.writer)) if line else 0
        if line and placed >= self.batch.position + self.batch.size_bytes:
            mine = line.placed.get(self.batch.writer)
            # Where it ends is not known if more of its writer's came behind it.
            is_last = mine is not None and mine.position == self.batch.position + self.batch.size_bytes
            return self._covered(seen, mine.behind if mine and is_last else None)
        kept = yield from self._check_order(seen, placed)
        return kept or (yield from self._put(seen, drop_placed(self.batch, placed)))

    def _check_order(self, seen: LogSnapshot, placed: int) -> Steps[Verdict | None]:
        """Raise `Early` where earlier lines of its writer are not there yet. A verdict where those have parted."""
        anchor, is_early = self.batch.anchor, placed < (self.batch.position or 0)
        if anchor is not None and anchor.is_first and not is_early:
            is_early = not (yield from is_on_line(seen.line, anchor.place))
        if not is_early:
            return None
        if anchor is not None and (yield from follows_stray(self.context, seen.listing, anchor.place)):
            piece = Piece(anchor.place, self.batch.lines, self.batch.writer, self.batch.position, self.batch.rules)
            found = yield from place(self.context, self.log, piece)
            return replace(self.tell(found.outcome), key=found.key, parted=found.parted)
        raise Early("an earlier part of its writer's history is not on the log yet")

    def _put_only_there(self, seen: LogSnapshot) -> Steps[Verdict]:
        """`append(after=…)`: there, or nowhere."""
        line, after = seen.line, self.batch.after
        assert after is not None
        if line is not None and (yield from is_there(self.context, self.batch, seen, line, after)):
            if 0 < after.offset < line.base:
                self.has_written = False  # if this task has, then it was under a name that was freed
            return self._covered(seen, Piece(after, self.batch.lines).end)
        end = line.end if line else START
        if (end.offset, end.chain) == (after.offset, after.chain):
            return (yield from self._put(seen, drop_placed(self.batch, 0)))
        if line is not None:
            self.context.hints.put(self.log.root, make_hint(seen, self.context.now()))
        return self.tell("conflict", end)

    def _put(self, seen: LogSnapshot, rest: Piece) -> Steps[Verdict]:
        line, end = seen.line, seen.line.end if seen.line else START
        piece = Piece(end, rest.lines, rest.writer, rest.position, rest.rules)
        if line is None:
            is_created = yield from put_base(self.log, piece)
        else:
            taken = plan.next_extent(seen.listing, end.offset, end.chain)
            if taken is not None:  # and yet the line ends here: it is nothing that could be joined
                raise foreign(taken.entry.key)
            is_created = yield from put_extent(self.context, self.log, piece)
        if not is_created:
            raise Changed
        self.has_written = True
        yield from check_alive(self.log)
        # A look proves what a hint proves, for as long.
        if not self.context.is_fresh(seen.asked_at):
            raise Changed
        return self._go_on(make_hint(seen, self.context.now()), piece)

    def _go_on(self, hint: Hint, piece: Piece) -> Verdict:
        """It is on the log: the next one begins behind it."""
        self.piece = piece
        stream = {} if piece.position is None else {piece.writer: piece.position + piece.size_bytes}
        moved = hint.move(piece.end, self.context.now(), list_placed(stream, hint.placed))
        if piece.start.offset == 0:
            moved = replace(moved, extents=0, base_bytes=piece.size_bytes)
        self.context.hints.put(self.log.root, moved)
        return self.tell("stored", piece.end, plan.is_fold_asked(moved))

    def _covered(self, seen: LogSnapshot, behind: Junction | None) -> Verdict:
        """All of it is on the log; `behind` is its end there, where that is known."""
        assert seen.line is not None
        hint = make_hint(seen, self.context.now())
        self.context.hints.put(self.log.root, hint)
        is_due = plan.fold_is_due(hint.extents, hint.offset - hint.base_bytes, hint.base_bytes)
        return self.tell("stored" if self.has_written else "duplicate", behind, is_due)

    def tell_of(self, batch: Batch, verdict: Verdict) -> Verdict:
        """What a verdict on several batches says of one."""
        end, piece = None, self.piece
        if piece is not None and piece.position is not None and batch.position is not None:
            at = batch.position + batch.size_bytes - piece.position + piece.start.offset
            # Not the first of the points: what ends there was placed before, and others' lines may have come behind it.
            end = next((point for point in piece.points[1:] if point.offset == at), None)
        told = make_end(end, self.log.branch) if end else None
        return replace(verdict, messages=len(batch.lines), size_bytes=batch.size_bytes, end=told)

    def tell(self, outcome: OutcomeKind, end: Junction | None = None, fold_due: bool = False) -> Verdict:
        """The verdict on the batch."""
        told = make_end(end, self.log.branch) if end else None
        size = len(self.batch.lines), self.batch.size_bytes
        return Verdict(outcome, self.log.base, *size, fold_due=fold_due, end=told)
