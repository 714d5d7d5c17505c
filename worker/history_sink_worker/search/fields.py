"""The fields of an index, and the tags by which its documents are told apart."""

import tantivy

SCHEMA_VERSION = 6
"""Of all this, of `spelling`, `word_parts` and `extraction`. An index of another one is built anew."""
_AT_SPACES = "whitespace"
"""tantivy's own tokenizer: texts come with their words spelt, and a space between each two. See `spelling`."""
_SPACES = {ord(" "): "\u2420", ord("\t"): "\u2409", ord("\n"): "\u240a", ord("\f"): "\u240c", ord("\r"): "\u240d"}


def make_schema() -> tantivy.Schema:
    """`text` has all of a message, `parts` those of its words; `tags` what it is of; `ref` what is read of a hit."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", tokenizer_name=_AT_SPACES, index_option="position")
    builder.add_text_field("said", tokenizer_name=_AT_SPACES, index_option="freq")
    builder.add_text_field("parts", tokenizer_name=_AT_SPACES, index_option="freq")
    builder.add_text_field("tags", tokenizer_name=_AT_SPACES, index_option="basic")
    builder.add_unsigned_field("at", fast=True)
    builder.add_bytes_field("ref", stored=True)
    return builder.build()


def tag(kind: str, value: str = "") -> str:
    """One word for what a document is of: a session, say, or a role."""
    return f"{kind}:{value.translate(_SPACES)}"


def log_tag(kind: str, session: str, branch: str | None) -> str:
    """How one log is named: ``log`` of its messages, ``cursor`` of its cursor."""
    return f"{kind}:{session}/{branch or ''}"
