"""Which of a writer's batches go next, and whether one had better wait: decisions over plain data."""

from typing import Any

import pytest

from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import START, Junction
from history_sink_worker.archive.batches import find_start, is_early, join_batches, next_batches
from history_sink_worker.archive.group import GROUP_BYTES
from history_sink_worker.archive.hint import Hint

LINE = b'{"n":1}\n'
END = Junction(10, 100, b"\x01" * 32)


def batch(position: int | None, **more: Any) -> Batch:
    return Batch(None, "w", position, (LINE,), **more)


def hint(**more: Any) -> Hint:
    return Hint(100, "01" * 8, 1000.0, moved_at=1000.0, end=END, **more)


def test_batches_go_together_in_the_order_of_their_positions() -> None:
    waiting = [batch(16), batch(0), batch(8), batch(32)]
    assert next_batches(waiting) == [1, 2, 0]
    assert join_batches([waiting[1], waiting[2]]).lines == (LINE, LINE)


@pytest.mark.parametrize(
    ("waiting", "chosen"),
    [
        ([batch(0), batch(0)], [0]),  # one is delivered twice
        ([batch(0), batch(8, anchor=Anchor(END, is_first=True))], [0]),  # a save lies between
        ([batch(0), batch(8, anchor=Anchor(END, is_first=False))], [0, 1]),
        ([batch(None, after=END), batch(None, after=END)], [0]),
        ([batch(8), None], [1]),  # one that goes alone
        ([batch(0), Batch(None, "w", 8, (b"x" * GROUP_BYTES,))], [0]),
    ],
)
def test_what_does_not_continue_the_first_goes_later(waiting: list[Batch | None], chosen: list[int]) -> None:
    assert next_batches(waiting) == chosen


def test_a_batch_waits_for_earlier_ones_while_the_log_grows() -> None:
    known = hint(placed=(("w", 8),))
    assert is_early(known, batch(16), 1000.1, 0.0)
    assert not is_early(known, batch(8), 1000.1, 0.0)
    assert not is_early(known, batch(16), 1009.0, 0.0)  # nobody writes any more
    assert not is_early(known, batch(16), 1000.1, 60.0)


def test_a_batch_waits_a_moment_for_earlier_ones_that_nobody_knows_of() -> None:
    for unknown in (None, hint()):
        assert is_early(unknown, batch(8), 1000.0, 0.0)
        assert not is_early(unknown, batch(8), 1000.0, 1.0)
        assert not is_early(unknown, batch(0), 1000.0, 0.0)


@pytest.mark.parametrize(
    ("known", "wanted", "start"),
    [
        (None, batch(0, fence=END), None),
        (hint(), batch(0, fence=END), END),
        (hint(), batch(0), None),
        (hint(), batch(0, fence=START), None),
        (hint(), batch(8, fence=END), None),
        (hint(placed=(("w", 8),)), batch(8), END),
        (hint(placed=(("w", 8),)), batch(0, fence=END), None),
        (hint(placed=(("w", 8),)), batch(8, anchor=Anchor(START, is_first=True)), None),
        (hint(placed=(("w", 8),)), batch(8, anchor=Anchor(START, is_first=False)), END),
        (hint(), batch(0, anchor=Anchor(END, is_first=True)), END),
        (hint(), batch(None, after=END), END),
        (hint(), batch(None, after=START), None),
    ],
)
def test_a_hint_gives_a_place_to_whom_it_knows_all_of(
    known: Hint | None, wanted: Batch, start: Junction | None
) -> None:
    assert find_start(known, wanted) == start
