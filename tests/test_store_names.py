"""Names of the stores' logs: what is spelt is read again, whatever it is, and parts never run into each other."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from history_sink import session_id
from history_sink_agents.stores.names import SHORTENED_CHARACTERS, join, read_part, shorten, spell

texts = st.text(min_size=1, max_size=40)


@given(texts)
def test_what_is_spelt_is_read_again(text: str) -> None:
    spelt = spell(text)
    assert re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]*", spelt)
    assert read_part(spelt) == text


@given(texts, texts)
def test_different_texts_have_different_names(one: str, two: str) -> None:
    assume(one != two)
    assert spell(one) != spell(two)
    assert shorten(one) != shorten(two)
    assert not spell(one).startswith(spell(two) + ".")


@given(st.text(min_size=1, max_size=2000), st.sampled_from(["a", "b/c", "-d"]))
def test_a_name_of_parts_is_a_session_id(project: str, session: str) -> None:
    assert len(shorten(project)) <= SHORTENED_CHARACTERS
    name = join(["claude-sdk", shorten(project), spell(session)])
    assert session_id(name) in (name, session_id(name))
    assert name[0] not in ".-"
    assert all(part[0] != "-" for part in name.split("."))  # a listing behind "project." begins at "0"


@given(st.text(max_size=30))
def test_what_nobody_has_spelt_is_read_as_nothing_or_as_itself(text: str) -> None:
    read = read_part(text)
    assert read is None or spell(read) == text


def test_a_project_as_the_sdk_names_it_can_be_read_by_people() -> None:
    assert shorten("-home-me-app") == "_2dhome-me-app"
    long = shorten("-home-somebody-with-a-long-name-projects-history-sink")
    assert re.fullmatch(r"[a-z-]+-history-sink__[0-9a-f]{12}", long)


def test_what_cannot_be_a_part_is_named() -> None:
    with pytest.raises(ValueError, match="a text that is not empty, not int"):
        spell(3)  # type: ignore[arg-type]  # as a caller without a type checker would
    with pytest.raises(ValueError, match="a text that is not empty, not str"):
        spell("")
    with pytest.raises(ValueError, match="a name of 202 characters; a log's name has 200 at most"):
        join(["a" * 100, "b" * 101])
