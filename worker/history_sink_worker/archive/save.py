"""Append lines to a log: one conditional PUT in the steady state.

The PUT of an extent carries ``If-None-Match: *`` under the name of the junction that it continues, so the store
lets exactly one writer create what follows that junction. That is all the consensus there is.
"""

from collections.abc import Sequence

from history_sink.protocol.chain import ORIGIN, shorten
from history_sink.protocol.upload import Upload
from history_sink_worker.archive import plan
from history_sink_worker.archive.compaction import fold_whole
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.group import join
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.match import last_shared
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.reconcile import Placement, place, put_base, put_extent
from history_sink_worker.archive.snapshot import look
from history_sink_worker.archive.tombstone import Deleted, check_alive
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Steps


def append(context: Context, log: Log, upload: Upload) -> Steps[Verdict]:
    """Store the lines of one save."""
    pieces = [Piece(upload.start, upload.lines, rules=upload.rules)]
    (verdict,) = yield from append_all(context, log, pieces, context.hints.get(log.root))
    return verdict


def append_all(context: Context, log: Log, pieces: Sequence[Piece], hint: Hint | None) -> Steps[list[Verdict]]:
    """Store the lines of saves that continue one another, as one piece. A verdict for each.

    `hint` is the log's, as it was found just now.
    """
    piece = join(pieces)
    step = _extend if piece.start.offset else _begin
    try:
        found = yield from step(context, log, piece, hint)
    except Deleted:
        found = Placement("deleted", log.base)
    return [_verdict(log, each, found) for each in pieces]


def upload_whole(context: Context, log: Log, piece: Piece) -> Steps[Verdict]:
    """Store a history from its first message, and fold until the base holds it all.

    It looks at the store first, which may have most of the history already.
    """
    try:
        seen = yield from look(context, log, adopt=True)
        found = yield from _begin(context, log, piece, None) if seen.line is None else place(context, log, piece)
        if found.outcome in ("stored", "duplicate"):
            yield from fold_whole(context, log, piece.end.offset)
    except Deleted:
        found = Placement("deleted", log.base)
    return _verdict(log, piece, found)


def upload_rest(context: Context, log: Log, piece: Piece) -> Steps[Verdict | None]:
    """Store the end of a history, and fold as above. The verdict is that of the whole history.

    None where the store is not seen to have what comes before `piece`, or has something else: then only the whole
    history tells what is to be done.
    """
    try:
        seen = yield from look(context, log, adopt=True)
        shared = last_shared(seen.line, piece) if seen.line else None
        if shared is None:
            return None
        rest = piece.drop(shared)
        found = (yield from place(context, log, rest)) if rest.lines else Placement("duplicate", log.base)
        if found.outcome not in ("stored", "duplicate"):
            return None
        yield from fold_whole(context, log, piece.end.offset)
    except Deleted:
        return None
    return Verdict(found.outcome, found.key, piece.end.messages, piece.end.offset, fold_due=found.fold_due)


def _verdict(log: Log, piece: Piece, found: Placement) -> Verdict:
    """What `found`, which may be of more lines than the piece has, says of the piece."""
    outcome, size = found.outcome_of(piece.end.offset), (len(piece.lines), piece.size_bytes)
    if outcome != found.outcome:
        return Verdict(outcome, log.base, *size)
    return Verdict(outcome, found.key, *size, found.parted, found.fold_due)


def _begin(context: Context, log: Log, piece: Piece, hint: Hint | None) -> Steps[Placement]:
    began_at = context.now()
    if hint is None:  # who comes next, in another process, is to know that it is early
        context.hints.put(log.root, Hint(0, shorten(ORIGIN), 0.0, moved_at=began_at))
    if not (yield from put_base(log, piece)):
        return (yield from place(context, log, piece))
    yield from check_alive(log)  # after the PUT: a deletion that has not seen this branch is seen here
    end = piece.end
    context.hints.put(log.root, Hint(end.offset, shorten(end.chain), began_at, 0, end.offset, context.now()))
    return Placement("stored", log.base)


def _extend(context: Context, log: Log, piece: Piece, hint: Hint | None) -> Steps[Placement]:
    created = yield from put_extent(context, log, piece)
    # Created alone does not say that it is on the main line: it may continue a history that parted from it in
    # mid-extent. A 412 does not say that it is not.
    if not (created and hint and plan.hint_proves(hint, piece.start, context.now(), context.settle_seconds)):
        return (yield from place(context, log, piece, created))
    # Whose stream was placed up to the hint's junction is so up to here.
    moved = hint.move(piece.end, context.now(), hint.placed)
    context.hints.put(log.root, moved)
    return Placement("stored", log.base, fold_due=plan.is_fold_asked(moved))
