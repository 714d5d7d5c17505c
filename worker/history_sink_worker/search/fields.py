"""The fields of an index, and how texts become the words in them."""

import tantivy

from history_sink_worker.search.question import LONGEST_WORD_BYTES

SCHEMA_VERSION = 2
"""Of all this, of `word_parts` and of `extraction`. An index of another one is built anew."""
WORDS = "words"


def make_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", tokenizer_name=WORDS, index_option="position")
    builder.add_text_field("said", tokenizer_name=WORDS, index_option="freq")
    builder.add_text_field("parts", tokenizer_name=WORDS, index_option="freq")
    for name in ("session", "log", "role", "project", "cursor", "cursors", "cursor_session"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("at", fast=True)
    builder.add_bytes_field("ref", stored=True)
    return builder.build()


def make_analyzer() -> tantivy.TextAnalyzer:
    # Not tantivy's default one: that drops words of 40 bytes and more, such as whole commit ids.
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(LONGEST_WORD_BYTES))
    return builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold()).build()


def log_term(session: str, branch: str | None) -> str:
    """How one log is named in the fields `log` and `cursor`."""
    return f"{session} {branch or ''}"
