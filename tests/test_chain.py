"""The chain names a history exactly, and lines are cut at 0x0A and nowhere else."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from history_sink.protocol.chain import ORIGIN, START, advance, shorten, split_lines, walk

lines = st.lists(st.binary(max_size=20).map(lambda body: body.replace(b"\n", b"") + b"\n"))


@given(lines)
def test_junctions_count_messages_and_bytes_and_carry_the_chain(history: list[bytes]) -> None:
    chain, offset = bytes(32), 0
    for number, (line, junction) in enumerate(zip(history, walk(START, history), strict=True), 1):
        chain = sha256(chain + line).digest()
        offset += len(line)
        assert (junction.messages, junction.offset, junction.chain) == (number, offset, chain)


@given(lines, lines)
def test_histories_share_a_chain_only_if_they_are_the_same(one: list[bytes], other: list[bytes]) -> None:
    ends = [[START, *walk(START, history)][-1] for history in (one, other)]
    assert (ends[0].chain == ends[1].chain) == (one == other)


@given(lines, st.binary(max_size=20).map(lambda body: body.replace(b"\n", b"")))
def test_lines_come_back_as_they_were_joined(history: list[bytes], rest: bytes) -> None:
    assert split_lines(b"".join(history) + rest) == history + ([rest] if rest else [])


def test_no_other_character_ends_a_line() -> None:
    line = '{"a":"\r\v\f\x1c\x85\u2028\u2029"}\n'.encode()
    assert split_lines(line * 2) == [line, line]


def test_the_first_chain_is_of_the_line_behind_zeros() -> None:
    assert bytes(32) == ORIGIN
    assert advance(ORIGIN, b"{}\n") == sha256(bytes(32) + b"{}\n").digest()
    assert shorten(b"\x01\x23\x45\x67\x89\xab\xcd\xef" + bytes(24)) == "0123456789abcdef"
