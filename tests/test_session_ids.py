"""Session ids of any text: legal, one for each text, and read again."""

from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import history_sink
from history_sink import Malformed, session_id, session_text
from history_sink.protocol.contract import check_session
from history_sink.protocol.session_ids import show_session, take_session

SOME_ID = UUID("0191a7a4-0000-7000-8000-00000000002a")
LEGAL = "ABXYZabxyz0129._-"

texts = st.text() | st.text("_.2f5e/a半-", max_size=12) | st.text(max_size=400)
legal_texts = st.text(LEGAL, min_size=1, max_size=200).filter(lambda text: not text.startswith("."))


class Name(StrEnum):
    MONDAY = "monday"


class Number(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("monday", "monday"),
        ("org/repo#12", "org_.2f_repo_.23_12"),
        ("/home/me/.agent", "_.2f_home_.2f_me_.2f2e_agent"),
        (".hidden", "_.2e_hidden"),
        ("半", "_.e58d8a_"),
        ("", "_._"),
        ("a\n", "a_.0a_"),
        ("_.x", "_.x"),
        ("_.2f_", "_.5f2e_2f_"),
        ("\ud800", "_.eda080_"),
        (SOME_ID, str(SOME_ID)),
        (Name.MONDAY, "monday"),
        (Number.ONE, "1"),
        (-7, "-7"),
    ],
)
def test_an_id_is_spelt_alike_for_ever(text: Any, made: str) -> None:
    assert session_id(text) == made
    assert session_text(made) == (text if isinstance(text, str) else str(int(text)) if isinstance(text, int) else made)


@given(texts)
@example("")
@example("_." + "0" * 40)
@example("/." + "0" * 40)
@example("_._.2f_")
@example("a" * 200)
def test_any_text_has_a_legal_id_that_is_read_again_unless_it_is_too_long(text: str) -> None:
    made = session_id(text)
    assert check_session(made) == made
    again = session_text(made)
    assert again == text or (again is None and len(text.encode("utf-8", "surrogatepass")) * 2 > 100)


@given(texts, texts)
@example("_._", "")
@example("a/b", "a_.2f_b")
@example("a/b", session_id("a_.2f_b"))
@example("x" * 201, session_id("x" * 201))
def test_two_texts_have_two_ids(one: str, other: str) -> None:
    assert (session_id(one) == session_id(other)) is (one == other)


@given(legal_texts)
def test_a_legal_text_is_its_own_id_unless_it_looks_like_one_that_was_made(text: str) -> None:
    if "_." not in text:
        assert session_id(text) == text
    assert session_text(session_id(text)) in (text, None)


@given(legal_texts)
def test_an_id_that_somebody_else_made_is_read_as_itself_or_not_at_all(text: str) -> None:
    read = session_text(text)
    assert read is None or session_id(read) == text


def test_what_is_too_long_keeps_its_beginning() -> None:
    one, other = session_id("org/" + "x" * 300), session_id("org/" + "x" * 301)
    assert one[:150] == other[:150] == "org_.2f_" + "x" * 142
    assert len(one) == 200
    assert session_text(one) is None


@pytest.mark.parametrize(
    "given", [None, True, 1.5, b"a", [], object(), 10**5000], ids=lambda given: type(given).__name__
)
def test_what_is_no_text_has_no_id(given: Any) -> None:
    for function in (session_id, take_session):
        with pytest.raises(Malformed, match="session id"):
            function(given)
    assert show_session(given) == type(given).__name__


def test_a_refusal_names_the_alphabet_and_the_remedy() -> None:
    with pytest.raises(Malformed, match=r"1 to 200 of A-Z a-z 0-9 \. _ -.*history_sink\.session_id\(text\)"):
        take_session("org/repo#12")
    assert take_session(history_sink.session_id("org/repo#12"))
