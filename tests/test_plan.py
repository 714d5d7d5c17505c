"""The pure decisions: names, what they mean, hints, settling, when to fold, what a piece holds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink.protocol.chain import ORIGIN, START, Junction, advance, shorten, walk
from history_sink_worker.archive import plan
from history_sink_worker.archive.context import Fact
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log, TailName, parse_key, parse_tail
from history_sink_worker.archive.piece import Piece, cut_piece, read_meta, write_meta
from history_sink_worker.archive.plan import arrange, fold_is_due, hint_proves, next_extent, sure_segments
from history_sink_worker.archive.settled import base_meta, next_settled, settled_limit
from history_sink_worker.archive.tombstone import TOMBSTONE_BYTES
from history_sink_worker.store import Entry, Info
from logbook import some_lines

T = 7200.0
LOG = Log("history/", "s")

digests = st.binary(min_size=32, max_size=32)
hex16 = st.text("0123456789abcdef", min_size=16, max_size=16)
tail_names = st.one_of(
    st.builds(TailName, st.integers(0, 10**12 - 1), hex16),
    st.builds(TailName, st.integers(0, 10**12 - 1), hex16, hex16, st.sampled_from(["stray", "undecided"])),
)


@given(tail_names)
def test_a_name_reads_as_what_it_was_written_from(name: TailName) -> None:
    assert parse_tail(str(name)) == name
    assert parse_key("history/", LOG.key(name)) == (LOG, name)


@given(st.text(max_size=80))
def test_no_text_at_all_makes_the_parser_fail(text: str) -> None:
    assert parse_tail(text) is None or re.fullmatch(r"tail/\d{12}-[0-9a-f_~]+\.jsonl", text)
    found = parse_key("history/", f"history/{text}")
    assert found is None or f"history/{text}" == (found[0].key(found[1]) if found[1] else found[0].base)


@given(st.lists(tail_names, max_size=8))
def test_names_sort_by_where_their_lines_start(names: list[TailName]) -> None:
    assert [name.start for name in sorted(names, key=str)] == sorted(name.start for name in names)


@given(st.text(), st.integers(0, 10**6))
def test_a_foreign_object_is_passed_over(name: str, size: int) -> None:
    listing = arrange(LOG, [Entry(f"{LOG.root}{name}!", size, '"1"', 0.0)])
    assert (listing.base, listing.extents, listing.strays, listing.undecided) == (None, {}, (), ())


@given(st.integers(0, 10**9), digests, digests)
def test_metadata_reads_as_what_it_was_written_from(messages: int, before: bytes, after: bytes) -> None:
    fact = Fact(messages, before, after)
    assert read_meta(write_meta(fact)) == fact


@pytest.mark.parametrize("name", ["hs-messages", "hs-before", "hs-after"])
@pytest.mark.parametrize("value", [None, "", "-1", "zz", "00", "é"])
def test_broken_metadata_is_no_metadata(name: str, value: str | None) -> None:
    meta = write_meta(Fact(1, ORIGIN, ORIGIN))
    meta = {**meta, name: value} if value is not None else {key: meta[key] for key in meta if key != name}
    assert read_meta(meta) in (None, Fact(0, ORIGIN, ORIGIN))


@given(st.integers(0, 12), st.integers(0, 12))
def test_a_piece_can_be_cut_anywhere(first: int, count: int) -> None:
    history = some_lines(12)
    start = [START, *walk(START, history)][first]
    piece = Piece(start, tuple(history[first:]))
    rest = piece.drop(min(count, len(piece.lines)))
    assert rest.end == piece.end
    assert rest.body == b"".join(history[first + min(count, len(piece.lines)) :])
    assert cut_piece(piece.body, start.offset, piece.fact) == piece


def _listing(*names: TailName, base_bytes: int = 0) -> plan.LogListing:
    entries = [Entry(LOG.key(name), 10, '"1"', 0.0) for name in names]
    return arrange(LOG, [Entry(LOG.base, base_bytes, '"1"', 0.0), *entries] if base_bytes else entries)


def test_an_extent_joins_only_its_own_junction() -> None:
    chain = advance(ORIGIN, b"x\n")
    right, wrong = TailName(10, shorten(chain)), TailName(10, "0" * 16)
    assert next_extent(_listing(right, wrong), 10, chain) == _listing(right).extents[10, shorten(chain)]
    assert next_extent(_listing(wrong), 10, chain) is None
    assert next_extent(_listing(right), 9, chain) is None


def test_a_stray_or_an_undecided_object_never_joins() -> None:
    chain = advance(ORIGIN, b"x\n")
    beside = [TailName(10, shorten(chain), "0" * 16, "stray"), TailName(10, shorten(chain), "0" * 16, "undecided")]
    assert next_extent(_listing(*beside), 10, chain) is None


def test_names_alone_decide_where_each_step_has_one_candidate() -> None:
    one, two, rival = TailName(110, "a" * 16), TailName(120, "b" * 16), TailName(120, "c" * 16)
    hint = Hint(130, "d" * 16, 0.0)
    found = sure_segments(_listing(one, two, base_bytes=110), hint)
    assert found is not None
    assert [(part.start, part.end) for part in found] == [(0, 110), (110, 120), (120, 130)]
    assert sure_segments(_listing(one, two, rival, base_bytes=110), hint) is None
    assert sure_segments(_listing(one, base_bytes=110), hint) is None
    assert sure_segments(_listing(one, two, base_bytes=140), hint) is None
    assert sure_segments(_listing(one, two), hint) is None
    assert sure_segments(_listing(one, two, base_bytes=110), None) is None


def test_a_base_that_may_be_a_tombstone_is_not_believed_by_its_name() -> None:
    one, hint = TailName(TOMBSTONE_BYTES, "a" * 16), Hint(TOMBSTONE_BYTES + 10, "d" * 16, 0.0)
    assert sure_segments(_listing(one, base_bytes=TOMBSTONE_BYTES), hint) is None


@pytest.mark.parametrize(
    ("offset", "chain", "age_seconds", "proves"),
    [
        (5, b"\1" * 32, 0, True),
        (5, b"\1" * 32, T / 2 - 1, True),
        (5, b"\1" * 32, T / 2, False),
        (6, b"\1" * 32, 0, False),
        (5, b"\2" * 32, 0, False),
    ],
)
def test_a_hint_proves_only_its_own_junction_while_it_is_young(
    offset: int, chain: bytes, age_seconds: float, proves: bool
) -> None:
    hint = Hint(5, shorten(b"\1" * 32), 1000.0)
    assert hint_proves(hint, Junction(1, offset, chain), 1000 + age_seconds, T) is proves
    assert hint_proves(None, Junction(1, offset, chain), 1000, T) is False


def _info(size_bytes: int, modified: float, settled: str | None = None) -> Info:
    return Info(size_bytes, '"1"', {"hs-settled": settled} if settled else {}, modified)


@pytest.mark.parametrize(
    ("info", "now", "limit"),
    [
        (_info(100, 0), T, 100),
        (_info(100, 0), T - 1, 0),
        (_info(100, T - 1, "20,60,0"), T, 60),
        (_info(100, T - 1, "20,60,1000"), T, 20),
        (_info(100, 0, "20,60,0"), T, 100),
        (_info(100, T - 1, "garbage"), T, 0),
    ],
)
def test_a_base_is_settled_as_far_as_it_has_been_for_T(info: Info, now: float, limit: int) -> None:  # noqa: N802  # the design's name
    assert settled_limit(info, now, T) == limit


@given(st.lists(st.floats(1, 3 * T), min_size=1, max_size=30))
def test_what_is_settled_never_outruns_what_the_base_was_a_settle_time_ago(pauses: list[float]) -> None:
    now, size = 0.0, 10
    meta: dict[str, str] = {}
    sizes = [(0.0, 10)]
    modified = 0.0
    for pause in pauses:
        now += pause
        info = Info(size, '"1"', meta, modified)
        limit = settled_limit(info, now, T)
        held = max((bytes_then for at, bytes_then in sizes if now - at >= T), default=0)
        assert limit <= held
        size += 10
        meta, modified = base_meta({}, size, next_settled(info, now, T)), now
        sizes.append((now, size))


@pytest.mark.parametrize(
    ("extents", "tail_bytes", "base_bytes", "idle", "due"),
    [
        (63, 10**6, 1, False, False),
        (64, 1500, 1000, False, True),
        (64, 1499, 1000, False, False),
        (639, 1, 10**9, False, False),
        (640, 1, 640 * 64 * 1024, False, True),
        (640, 1, 640 * 64 * 1024 + 1, False, False),
        (641, 1, 640 * 64 * 1024 + 1, False, True),
        (640, 10**8, 8 * 10**8, False, True),
        (640, 10**8, 8 * 10**8 + 1, False, False),
        (1, 1000, 1000, True, True),
        (500, 999, 1000, True, False),
        (0, 0, 0, True, False),
    ],
)
def test_when_to_fold(extents: int, tail_bytes: int, base_bytes: int, idle: bool, due: bool) -> None:
    assert fold_is_due(extents, tail_bytes, base_bytes, idle) is due
