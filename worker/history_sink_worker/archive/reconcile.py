"""Place a piece: look, judge, write what is missing where it belongs. The slow path of every save.

Idempotent, and repeated until the store agrees: whatever is killed, lost or raced in between, the next attempt
looks again and goes on from there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from history_sink.protocol.chain import shorten
from history_sink.protocol.outcome import OutcomeKind, Parted
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.followers import is_kept, keep_followers
from history_sink_worker.archive.lineage import follows_stray
from history_sink_worker.archive.match import agreeing_lines, last_shared, on_line
from history_sink_worker.archive.names import Log, TailName
from history_sink_worker.archive.piece import Piece, read_tail_meta, write_meta, write_rules
from history_sink_worker.archive.plan import MainLine
from history_sink_worker.archive.settled import base_meta
from history_sink_worker.archive.snapshot import LogSnapshot, foreign, look, make_hint
from history_sink_worker.store import Blob, Get, Head, Info, Put, Steps


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a piece is now. `key` is the log's, or that of the stray which holds what `parted` from it.

    `outcome` is that of the lines from the offset `since` on; see `outcome_of`.
    """

    outcome: OutcomeKind
    key: str
    parted: Parted | None = None
    fold_due: bool = False
    since: int = 0

    def outcome_of(self, end: int) -> OutcomeKind:
        """What became of a part of the piece that ends at the offset `end`."""
        if end > self.since:
            return self.outcome
        # Where a history parted is told by what lies on the log before it; else what comes before waits elsewhere.
        return "pending" if self.outcome == "diverged" and self.parted is None else "duplicate"


def put_base(log: Log, piece: Piece) -> Steps[bool]:
    """Begin a log; False where it has begun already."""
    meta = base_meta(write_meta(piece.fact), piece.size_bytes) | write_rules(piece.rules)
    etag: str | None = yield Put(log.base, piece.body, meta)
    return etag is not None


def put_extent(context: Context, log: Log, piece: Piece) -> Steps[bool]:
    """Claim the junction that `piece` continues; False where another writer has."""
    key = log.key(piece.extent)
    body = piece.body
    etag: str | None = yield Put(key, body, write_meta(piece.fact))
    if etag is not None:
        context.facts.put(key, etag, piece.fact)
        context.lines.put(key, etag, body)
    return etag is not None


def place(context: Context, log: Log, piece: Piece, created: bool = False) -> Steps[Placement]:
    """Bring `piece` to where it belongs. `created`: the caller has just created its extent."""
    placement = _Reconciler(context, log, piece, {log.key(piece.extent): piece.start.offset} if created else {})
    return (yield from look_again(log, placement.step))


@dataclass
class _Reconciler:
    """`piece` is what is left to place; `created` is what this task has written of it: key and start of each.

    What raises `Changed` after it has written is not done yet: the next look sees what was written.
    """

    context: Context
    log: Log
    piece: Piece
    created: dict[str, int] = field(default_factory=dict)

    def step(self) -> Steps[Placement]:
        """Look, and do what is to be done next."""
        return (yield from self._judge((yield from look(self.context, self.log, adopt=True))))

    def _judge(self, seen: LogSnapshot) -> Steps[Placement]:
        start, line = self.piece.start, seen.line
        if line is None and start.offset == 0:
            if (yield from put_base(self.log, self.piece)):
                self.created[self.log.base] = 0
            raise Changed
        if line is None or start.offset > line.end.offset:
            return (yield from self._behind(seen))
        if start.offset < line.end.offset:
            return (yield from self._inside(seen, line))
        if start.chain != line.end.chain:
            return (yield from self._behind(seen))
        taken = plan.next_extent(seen.listing, start.offset, start.chain)
        if taken is not None:  # and yet the main line ends here: it is nothing that could be joined
            raise foreign(taken.entry.key)
        yield from self._claim()
        raise Changed

    def _claim(self) -> Steps[None]:
        if (yield from put_extent(self.context, self.log, self.piece)):
            self.created[self.log.key(self.piece.extent)] = self.piece.start.offset

    def _inside(self, seen: LogSnapshot, line: MainLine) -> Steps[Placement]:
        """The piece starts before the main line's end."""
        shared = last_shared(line, self.piece)
        if shared is None:
            same = yield from on_line(line, self.piece.start.offset, self.piece.start.chain)
            if not same:
                return (yield from self._diverge(seen, None))  # where it parted, only what comes before it can tell
        rest = self.piece.drop(shared or 0)
        if rest.lines:
            rest = rest.drop((yield from agreeing_lines(line, rest)))
        if not rest.lines:
            return self._covered(seen, line)
        self.piece = rest
        if rest.start.offset == line.end.offset:
            raise Changed  # the main line ends inside mine: the rest goes behind it
        return (yield from self._diverge(seen, rest.parted))

    def _covered(self, seen: LogSnapshot, line: MainLine) -> Placement:
        end, base_bytes = line.end, line.base
        self.context.hints.put(self.log.root, make_hint(seen, self.context.now()))
        # What this task wrote may lie beside the line, its lines held by other writers' extents.
        beside = {tail.entry.key for tail in plan.loose_extents(seen.listing, line) if tail.name.start >= base_bytes}
        due = plan.fold_is_due(line.extents, end.offset - base_bytes, base_bytes)
        since = min((start for key, start in self.created.items() if key not in beside), default=None)
        outcome: OutcomeKind = "duplicate" if since is None else "stored"
        return Placement(outcome, self.log.base, fold_due=due, since=since or 0)

    def _diverge(self, seen: LogSnapshot, parted: Parted | None) -> Steps[Placement]:
        """Keep what parted from the main line, whole, beside it; and what has waited for it."""
        if not is_kept(seen.listing, self.piece):
            yield from self._keep(self.piece.stray)
            raise Changed  # who found no stray to follow, and waits, is in the next LIST
        yield from self._check_held(self.piece.stray)
        yield from keep_followers(self.context, self.log, seen, self.piece)
        return Placement("diverged", self.log.key(self.piece.stray), parted, since=self.piece.start.offset)

    def _keep(self, name: TailName) -> Steps[None]:
        """Put the piece under a name that fixes its bytes. If the name is taken, the piece is there already."""
        etag: str | None = yield Put(self.log.key(name), self.piece.body, write_meta(self.piece.fact))
        if etag is None:
            yield from self._check_held(name)

    def _check_held(self, name: TailName) -> Steps[None]:
        """That this name holds the piece. Raises `Changed` where it is gone, `Corrupt` where it is another."""
        key, fact = self.log.key(name), self.piece.fact
        info: Info | None = yield Head(key)
        if info is None:
            raise Changed
        held = read_tail_meta(info.meta, name)
        if held is None or (info.size_bytes, held.after) != (self.piece.size_bytes, fact.after):
            raise foreign(key)

    def _behind(self, seen: LogSnapshot) -> Steps[Placement]:
        """The piece starts at or behind the main line's end and does not continue it."""
        start = self.piece.start
        if (yield from follows_stray(self.context, seen.listing, start)):
            return (yield from self._diverge(seen, None))
        # Not acknowledged before its name is in a LIST made after the PUT: until then the base may have passed it.
        listed = seen.listing.extents.get((start.offset, shorten(start.chain)))
        if listed is None:
            yield from self._claim()
            raise Changed
        blob: Blob | None = yield Get(listed.entry.key)
        if blob is None or blob.info.etag != listed.entry.etag:
            raise Changed
        # A sweep would not know what to do with an object that is not ours: nothing is entrusted to it.
        return (yield from self._wait(blob.body if read_tail_meta(blob.info.meta, listed.name) else b""))

    def _wait(self, held: bytes) -> Steps[Placement]:
        """The piece's plain name holds `held`, and neither is attached to the main line yet."""
        start = self.piece.start.offset
        shared = 0
        for shared, point in self._starts():
            if not held.startswith(self.piece.lines[shared], point - start):
                break
        else:
            return Placement("pending", self.log.base)
        self.piece = self.piece.drop(shared)
        if shared and self.piece.start.offset - start == len(held):
            raise Changed  # the name holds a prefix of mine: go on with the rest
        yield from self._keep(self.piece.undecided)
        return Placement("pending", self.log.base)

    def _starts(self) -> Iterator[tuple[int, int]]:
        """Index and offset of each line."""
        return ((index, point.offset) for index, point in enumerate(self.piece.points[:-1]))
