"""What one process appends to one log: its batches bring each line to its place, whatever is lost or comes twice."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from history_sink.ledger import stream as stream_module
from history_sink.ledger.stream import Stream
from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import START, Junction, walk
from history_sink.protocol.contract import SAVE_BYTES
from plain_store import lines_of, messages


def place_of(*texts: str) -> Junction:
    return [START, *walk(START, lines_of(messages(*texts)))][-1]


def take(stream: Stream) -> list[Batch]:
    """What a broker that takes everything gets."""
    batches = []
    while batch := stream.next_batch():
        stream.accept(batch)
        batches.append(batch)
    return batches


def test_batches_are_cut_between_lines() -> None:
    stream = Stream(None)
    lines = [b"x" * (SAVE_BYTES // 3) + b"\n" for _ in range(4)] + [b"y" * SAVE_BYTES * 2 + b"\n"]
    stream.give(lines)
    batches = take(stream)
    assert [len(batch.lines) for batch in batches] == [2, 2, 1]
    assert [line for batch in batches for line in batch.lines] == lines
    sizes = [batch.size_bytes for batch in batches]
    assert [batch.position for batch in batches] == [0, sizes[0], sizes[0] + sizes[1]]
    assert {batch.writer for batch in batches} == {stream.writer}
    assert stream.is_sent
    assert not stream.is_settled


def test_the_fence_is_told_at_the_beginning_alone() -> None:
    stream = Stream("000000000001-0123456789abcdef", place_of("a"))
    for _ in range(2):
        stream.give([b"1\n"])
        (batch, *rest) = take(stream)
        assert not rest
        assert batch.fence == (place_of("a") if batch.position == 0 else None)
        assert batch.branch == stream.branch


def test_what_follows_saves_begins_a_batch_with_their_end_for_an_anchor() -> None:
    stream = Stream(None)
    stream.give([b"1\n"])
    stream.follow(place_of("a"))
    stream.give([b"2\n"])
    stream.follow(place_of("a"))
    stream.give([b"3\n"])
    stream.follow(place_of("a", "b"))
    stream.give([b"4\n"])
    told = [(batch.lines, batch.anchor) for batch in take(stream)]
    assert told == [
        ((b"1\n",), None),
        ((b"2\n", b"3\n"), Anchor(place_of("a"), True)),
        ((b"4\n",), Anchor(place_of("a", "b"), True)),
    ]
    stream.release(1, 2)
    stream.rewind()
    assert [(batch.lines, batch.anchor) for batch in take(stream)] == [
        ((b"1\n", b"2\n", b"3\n"), None),
        ((b"4\n",), Anchor(place_of("a", "b"), True)),
    ]


def test_what_comes_behind_the_first_batch_tells_its_place_in_the_own_history() -> None:
    stream = Stream(None)
    stream.follow(place_of("a"))
    anchors = []
    for line in (b"1\n", b"2\n", b"3\n"):
        stream.give([line])
        anchors += [batch.anchor for batch in take(stream)]
    one, two = walk(place_of("a"), [b"1\n", b"2\n"])
    assert anchors == [Anchor(place_of("a"), True), Anchor(one, False), Anchor(two, False)]
    stream.confirm(2)  # so the saves are there
    stream.rewind()
    assert [(batch.lines, batch.anchor) for batch in take(stream)] == [((b"2\n", b"3\n"), None)]
    stream.give([b"4\n"])
    assert [batch.anchor for batch in take(stream)] == [None]


def test_what_followed_lost_saves_is_given_up_with_its_places() -> None:
    stream = Stream(None)
    stream.give([b"1\n"])
    stream.cut()
    assert not stream.is_closed
    stream.follow(place_of("a"))
    stream.give([b"22\n", b"333\n"])
    take(stream)
    stream.cut()
    assert stream.is_closed
    assert (stream.given, stream.sent, stream.is_settled) == (2, 2, False)
    stream.rewind()
    assert [batch.lines for batch in take(stream)] == [(b"1\n",)]
    stream.confirm(2)
    assert stream.is_settled


def test_a_place_inside_a_line_confirms_the_lines_before_it() -> None:
    stream = Stream(None)
    stream.give([b"1\n", b"22\n"])
    stream.confirm(4)
    assert stream.confirmed == 2
    stream.confirm(10**9)
    assert stream.confirmed == stream.given == 5


class Deliveries(RuleBasedStateMachine):
    """A broker that loses, repeats and mixes up what it has taken, and a log that goes by positions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream(None)
        self.given = b""
        self.number = 0
        self.sent: list[Batch] = []
        self.log: list[bytes] = []

    @property
    def placed(self) -> int:
        return sum(map(len, self.log))

    @rule(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5))
    def give(self, sizes: list[int]) -> None:
        lines = []
        for size in sizes:
            self.number += 1
            lines.append(str(self.number).encode().ljust(size) + b"\n")
        self.given += b"".join(lines)
        self.stream.give(lines)

    @rule()
    def follow(self) -> None:
        self.stream.follow(place_of(str(self.number)))

    @rule(is_taken=st.sampled_from(["taken", "lost", "perhaps"]), most=st.sampled_from([1, 20, 10**6]))
    def send(self, is_taken: str, most: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stream_module, "SAVE_BYTES", most)
            batch = self.stream.next_batch()
        if batch is None:
            return
        assert batch.size_bytes <= most or len(batch.lines) == 1
        if is_taken != "lost":
            self.sent.append(batch)
        if is_taken != "perhaps":
            self.stream.accept(batch)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), repeats=st.booleans())
    def arrive(self, data: st.DataObject, repeats: bool) -> None:
        at = data.draw(st.integers(0, len(self.sent) - 1))
        batch = self.sent[at] if repeats else self.sent.pop(at)
        position = batch.position
        assert position is not None
        if position > self.placed:
            self.sent.append(batch)  # it waits
            return
        for line in batch.lines:
            if position >= self.placed:
                self.log.append(line)
            position += len(line)

    @rule(behind=st.integers(0, 40))
    def confirm(self, behind: int) -> None:
        self.stream.confirm(max(0, self.placed - behind))  # answers may be old

    @rule()
    def rewind(self) -> None:
        self.stream.rewind()

    @invariant()
    def each_line_is_there_once_in_order(self) -> None:
        assert self.given.startswith(b"".join(self.log))

    @invariant()
    def what_is_confirmed_is_there(self) -> None:
        assert self.stream.confirmed <= self.placed
        assert self.stream.confirmed <= self.stream.sent <= self.stream.given == len(self.given)

    def teardown(self) -> None:
        self.stream.confirm(self.placed)
        self.stream.rewind()
        for batch in take(self.stream):
            self.sent.append(batch)
            position = batch.position
            assert position == self.placed
            self.log += batch.lines
        self.stream.confirm(self.placed)
        assert self.stream.is_settled
        assert b"".join(self.log) == self.given


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
