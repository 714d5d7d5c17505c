"""Place a batch of a writer's stream: at the log's end, wherever that is, once, and in the writer's order.

What is placed is known by who wrote it, not by where it lies: see docs/adr/0013.
"""

from dataclasses import dataclass

from history_sink.errors import HistorySinkError, Malformed
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import START, Junction, shorten
from history_sink.protocol.log_end import make_end
from history_sink.protocol.outcome import OutcomeKind
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.hint import Hint, list_placed
from history_sink_worker.archive.lineage import follows_stray
from history_sink_worker.archive.marks import find_placed
from history_sink_worker.archive.match import on_line
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.plan import MainLine, Placed
from history_sink_worker.archive.reconcile import place, put_base, put_extent
from history_sink_worker.archive.snapshot import LogSnapshot, foreign, look, make_hint, tail_fact
from history_sink_worker.archive.tombstone import Deleted, check_alive
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Steps

HINTS_TRIED = 3
"""Each try is one PUT. Who has lost so many races looks."""


class Early(HistorySinkError):
    """What comes before this batch in its writer's history is not on the log yet."""


def append_batch(context: Context, log: Log, batch: Batch) -> Steps[Verdict]:
    """Store the lines of one append. Raises `Early`, and `Malformed` where its writer has cut it inside a line."""
    appending = _Appending(context, log, batch)
    try:
        found = yield from appending.follow_hints()
        return found or (yield from look_again(log, appending.step))
    except Deleted:
        return appending.tell("deleted")


def is_early(hint: Hint | None, batch: Batch) -> bool:
    """Whether, as far as the hint knows, something of its writer's history comes before it and is on its way."""
    if hint is None or batch.position is None:
        return False
    placed = hint.find_placed(batch.writer)
    is_ahead = batch.anchor is not None and batch.anchor.is_first and hint.offset < batch.anchor.place.offset
    return is_ahead or (placed is not None and placed < batch.position)


def find_start(hint: Hint | None, batch: Batch) -> Junction | None:
    """The place that a hint alone gives to a batch; None where only a look at the log can tell."""
    if hint is None or hint.offset == 0:
        return None
    anchor = batch.anchor.place if batch.anchor and batch.anchor.is_first else None
    if batch.after is not None:
        return batch.after if _is_at(hint, batch.after) else None
    if anchor is not None and not _is_at(hint, anchor):
        return None
    placed = hint.find_placed(batch.writer)
    if placed is not None:
        return hint.end if placed == batch.position else None
    # Nothing continues the hint's junction. What this writer has placed lies behind its fence, or its anchor.
    fence = anchor if batch.anchor else batch.fence
    return fence if batch.position == 0 and fence and _is_at(hint, fence) else None


def _is_at(hint: Hint, place: Junction) -> bool:
    return (hint.offset, hint.chain16) == (place.offset, shorten(place.chain))


def drop_placed(batch: Batch, placed: int) -> Piece:
    """What of a batch is not placed yet, as a piece that begins nowhere. Raises `Malformed`."""
    piece = Piece(START, batch.lines, batch.writer, batch.position)
    if batch.position is None or placed <= batch.position:
        return piece
    for count, point in enumerate(piece.points):
        if point.offset == placed - batch.position:
            return piece.drop(count)
    raise Malformed(f"byte {placed} of the stream is placed already, and lies inside a line of this batch")


@dataclass
class _Appending:
    """One batch on its way. `has_written`: this task has created an object with it."""

    context: Context
    log: Log
    batch: Batch
    has_written: bool = False

    def follow_hints(self) -> Steps[Verdict | None]:
        """Put it where the hint says that the log ends; None where that does not settle it."""
        hint = self.context.hints.get(self.log.root)
        for _ in range(HINTS_TRIED):
            start = find_start(hint, self.batch)
            if hint is None or start is None or not self._is_proven(hint, start):
                return None
            piece = Piece(start, self.batch.lines, self.batch.writer, self.batch.position)
            if (yield from put_extent(self.context, self.log, piece)):
                self.has_written = True
                return self._go_on(hint, piece) if self._is_proven(hint, start) else None
            before, hint = hint, self.context.hints.get(self.log.root)
            if hint is None or hint.offset <= before.offset:
                return None
        return None

    def _is_proven(self, hint: Hint, start: Junction) -> bool:
        return plan.hint_proves(hint, start, self.context.now(), self.context.settle_seconds)

    def step(self) -> Steps[Verdict]:
        """Look, and put it at the log's end, if that is where it belongs."""
        seen = yield from look(self.context, self.log, adopt=True)
        if self.batch.position is None:
            return (yield from self._put_only_there(seen))
        line = seen.line
        placed = (yield from find_placed(self.log, line, self.batch.writer)) if line else 0
        if line and placed >= self.batch.position + self.batch.size_bytes:
            return self._covered(seen, line.placed.get(self.batch.writer))
        kept = yield from self._check_order(seen, placed)
        return kept or (yield from self._put(seen, drop_placed(self.batch, placed)))

    def _check_order(self, seen: LogSnapshot, placed: int) -> Steps[Verdict | None]:
        """Raise `Early` where earlier lines of its writer are not there yet. A verdict where those have parted."""
        anchor, is_early = self.batch.anchor, placed < (self.batch.position or 0)
        if anchor is not None and anchor.is_first and not is_early:
            is_early = not (yield from _is_on_line(seen.line, anchor.place))
        if not is_early:
            return None
        if anchor is not None and (yield from follows_stray(self.context, seen.listing, anchor.place)):
            piece = Piece(anchor.place, self.batch.lines, self.batch.writer, self.batch.position)
            found = yield from place(self.context, self.log, piece)
            verdict = self.tell(found.outcome)
            return Verdict(found.outcome, found.key, verdict.messages, verdict.size_bytes, found.parted)
        raise Early("an earlier part of its writer's history is not on the log yet")

    def _put_only_there(self, seen: LogSnapshot) -> Steps[Verdict]:
        """`append(after=…)`: there, or nowhere."""
        line, after = seen.line, self.batch.after
        assert after is not None
        mine = line.placed.get(self.batch.writer) if line else None
        if mine is None and line is not None:
            mine = yield from self._find_folded(seen, line, after)
            self.has_written = self.has_written and mine is None  # what this task has written is not on the line
        if mine is not None:
            return self._covered(seen, mine)
        end = line.end if line else START
        if (end.offset, end.chain) == (after.offset, after.chain):
            return (yield from self._put(seen, drop_placed(self.batch, 0)))
        if line is not None:
            self.context.hints.put(self.log.root, make_hint(seen, self.context.now()))
        return self.tell("conflict", end)

    def _find_folded(self, seen: LogSnapshot, line: MainLine, after: Junction) -> Steps[Placed | None]:
        """Where the base has taken in what follows `after`: whether that is this batch.

        By the extent's own words, until it is swept away. After that by the lines, and the history before them.
        """
        if after.offset >= line.base:
            return None
        behind = Piece(after, self.batch.lines).end
        tail = plan.next_extent(seen.listing, after.offset, after.chain)
        fact = (yield from tail_fact(self.context, tail)) if tail else None
        if fact is not None and fact.writer != self.batch.writer:
            return None
        return Placed(0, behind) if (yield from _is_on_line(line, behind)) else None

    def _put(self, seen: LogSnapshot, rest: Piece) -> Steps[Verdict]:
        line, end = seen.line, seen.line.end if seen.line else START
        piece = Piece(end, rest.lines, rest.writer, rest.position)
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
        end, extents = piece.end, hint.extents + (piece.start.offset > 0)
        base_bytes = hint.base_bytes or end.offset
        stream = {} if piece.position is None else {piece.writer: piece.position + piece.size_bytes}
        placed = list_placed(stream, hint.placed)
        chain16, now = shorten(end.chain), self.context.now()
        moved = Hint(end.offset, chain16, hint.proved_at, extents, base_bytes, now, end, placed)
        self.context.hints.put(self.log.root, moved)
        asks = extents % plan.ASK_EVERY_EXTENTS == 0
        is_due = asks and plan.fold_is_due(extents, end.offset - base_bytes, base_bytes)
        return self.tell("stored", end, is_due)

    def _covered(self, seen: LogSnapshot, mine: Placed | None) -> Verdict:
        """All of it is on the log. Its end is known where nothing of its writer's came behind it."""
        assert seen.line is not None
        hint = make_hint(seen, self.context.now())
        self.context.hints.put(self.log.root, hint)
        is_last = mine is not None and mine.position in (0, (self.batch.position or 0) + self.batch.size_bytes)
        behind = mine.behind if mine is not None and is_last else None
        is_due = plan.fold_is_due(hint.extents, hint.offset - hint.base_bytes, hint.base_bytes)
        return self.tell("stored" if self.has_written else "duplicate", behind, is_due)

    def tell(self, outcome: OutcomeKind, end: Junction | None = None, fold_due: bool = False) -> Verdict:
        """The verdict on the batch."""
        told = make_end(end, self.log.branch) if end else None
        size = len(self.batch.lines), self.batch.size_bytes
        return Verdict(outcome, self.log.base, *size, fold_due=fold_due, end=told)


def _is_on_line(line: MainLine | None, place: Junction) -> Steps[bool]:
    if place.offset == 0 or line is None:
        return place.offset == 0
    return (yield from on_line(line, place.offset, place.chain))
