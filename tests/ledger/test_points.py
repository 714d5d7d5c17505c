"""The junctions of a history: how many are asked about, and how much two histories share."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from history_sink.ledger.junctions import Points
from history_sink.ledger.ledger import Ledger
from history_sink.protocol.chain import shorten
from plain_store import ends_of


def test_junctions_are_dense_at_the_end_and_few_before() -> None:
    ledger = Ledger()
    ledger.give([b"{}"] * 100_000)
    question = ledger.question()
    junctions = question.junctions()
    assert junctions == sorted(set(junctions))
    assert junctions[-1] == (question.end.offset, shorten(question.end.chain))
    assert len(junctions) < 1100
    assert len(replace(question, confirmed=99_990).junctions()) < 40


lines = st.lists(st.sampled_from([b"{}\n", b'{"a":1}\n', b'{"b":22}\n']), max_size=12)


@given(lines, lines)
def test_points_know_how_much_two_histories_share(one: list[bytes], other: list[bytes]) -> None:
    ours, theirs = Points(), Points()
    ours.extend(one)
    theirs.extend(other)
    common = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert ours.count_common(theirs) == common
    assert ours.prefix(common).end == theirs[common]
    assert [ours[i] for i in range(len(ours) + 1)] == ends_of(one)
    assert all(ours.find(end.offset, shorten(end.chain)) == i for i, end in enumerate(ends_of(one)))
    assert ours.find(ours.end.offset + 1) is None
