"""Which message goes before which: the query that is made of a question, and the order of what it finds.

Words are joined by OR, never by AND: one word that was remembered wrongly would lose everything. BM25 over one field of
all that a message has, and small additions; a sum over several fields would rank by the shortest of them.
docs/recall.md has what was measured.
"""

from collections import Counter
from collections.abc import Iterable

import tantivy

from history_sink_worker.search.fields import log_tag, tag
from history_sink_worker.search.places import Found, Scope
from history_sink_worker.search.question import Terms

SAID_WEIGHT, PARTS_WEIGHT = 0.5, 0.3
"""Added to a word's score in all of a message: where somebody said it, where it is a part of a word."""
EACH_SAID_WORD = 3.5
"""Added for each word of the question that somebody said, however common: a message that has all of them goes before
one that has a rare one often. It is added to the best that tantivy finds without it: with it, tantivy could pass over
nothing, and that would cost twice as much."""
SESSION_WEIGHT = 0.85


def fold(found: Iterable[Found], limit: int, is_spread: bool) -> list[Found]:
    """Without repeats of a text. Of equally good ones the newer first.

    `is_spread`: over sessions. A session's second hit counts for less, its third for less again: so sessions are
    shown by their best messages first, and yet the one that somebody looks for is not hidden by a longer one beside
    it.
    """
    best = sorted(found, key=lambda each: (-round(each.score, 3), -(each.at or 0.0)))
    texts: set[bytes] = set()
    sessions: Counter[str] = Counter()
    ranked = []
    for each in best:
        if each.digest in texts:
            continue
        texts.add(each.digest)
        weight = SESSION_WEIGHT ** sessions[each.place.session] if is_spread else 1.0
        sessions[each.place.session] += 1
        ranked.append((each.score * weight, each))
    ranked.sort(key=lambda pair: -pair[0])
    return [each for _, each in ranked[:limit]]


def make_query(schema: tantivy.Schema, terms: Terms, scope: Scope) -> tantivy.Query:
    query, should, must = tantivy.Query, tantivy.Occur.Should, tantivy.Occur.Must

    def term(field: str, word: str, weight: float = 1.0) -> tuple[tantivy.Occur, tantivy.Query]:
        return should, query.boost_query(query.term_query(schema, field, word, "freq"), weight)

    wanted = [term("text", word) for word in terms.words]
    wanted += [term("said", word, SAID_WEIGHT) for word in terms.words]
    wanted += [term("parts", word, PARTS_WEIGHT) for word in (*terms.words, *terms.pieces)]
    wanted += [term("parts", pair) for pair in terms.pairs]
    needed = [_make_phrase(schema, words) for words in terms.phrases] + _make_filters(schema, scope)
    if not needed:
        return query.boolean_query(wanted)
    any_of = [(must, query.boolean_query(wanted))] if wanted else []
    return query.boolean_query([*any_of, *((must, query.const_score_query(each, 0.0)) for each in needed)])


def _make_phrase(schema: tantivy.Schema, words: tuple[str, ...]) -> tantivy.Query:
    if len(words) == 1:
        return tantivy.Query.term_query(schema, "text", words[0], "freq")
    return tantivy.Query.phrase_query(schema, "text", list(words))


def _make_filters(schema: tantivy.Schema, scope: Scope) -> list[tantivy.Query]:
    tags = [tag(kind, value) for kind, value in (("role", scope.role), ("project", scope.project)) if value is not None]
    if scope.branch is not None and scope.session is not None:
        tags.append(log_tag("log", scope.session, scope.branch))
    elif scope.session is not None:
        tags.append(tag("session", scope.session))
    filters = [tantivy.Query.term_query(schema, "tags", each, "basic") for each in tags]
    if scope.since is not None:
        kind, start = tantivy.FieldType.Unsigned, max(0, int(scope.since))
        filters.append(tantivy.Query.range_query(schema, "at", kind, start, None))
    return filters
