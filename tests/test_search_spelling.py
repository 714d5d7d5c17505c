"""How words are spelt: as tantivy's own filters have it, for texts and questions alike."""

import pytest
import tantivy
from hypothesis import given
from hypothesis import strategies as st

from history_sink_worker.search.said_words import count, number_of, pack
from history_sink_worker.search.spelling import LONGEST_WORD_BYTES, tokenize, words_of
from history_sink_worker.search.word_parts import normalise


@pytest.fixture(scope="module")
def reference() -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    return builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold()).build()


def spelt_by(reference: tantivy.TextAnalyzer, text: str) -> list[str]:
    # It leaves capitals where it folds small ones that look like them, such as U+0262.
    return [word.lower() for word in reference.analyze(normalise(text))]


def test_each_character_is_spelt_as_tantivy_spells_it(reference: tantivy.TextAnalyzer) -> None:
    for code in (*range(0xD800), *range(0xE000, 0x110000, 7)):
        text = f"Ab{chr(code)}Cd x{chr(code)}"
        assert tokenize(text) == spelt_by(reference, text), hex(code)


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200), st.text("aB ─→é全한ßİ_.", max_size=200)
)
def test_any_text_is(reference: tantivy.TextAnalyzer, many: str, few: str) -> None:
    for text in (many, few, many + few):
        assert tokenize(text) == spelt_by(reference, text)


@pytest.mark.parametrize("before", ["", "a ", "a " * 1000])
@pytest.mark.parametrize("after", ["", " z", " z" * 1000])
def test_a_word_that_is_too_long_is_left_out_and_no_other(before: str, after: str) -> None:
    longest = "x" * LONGEST_WORD_BYTES
    others = [*before.split(), *after.split()]
    assert tokenize(f"{before}{longest}{after}") == [*before.split(), longest, *after.split()]
    assert tokenize(f"{before}{longest}y{after}") == others
    assert tokenize(f"{before}{longest}y {longest}y{after}") == others


def test_words_of_a_question_are_counted_among_those_that_were_said() -> None:
    packed = pack(words_of("The Café, the café and the HTTPServer2").split())
    assert count(packed, frozenset(map(number_of, tokenize("cafe httpserver2 absent")))) == 2
