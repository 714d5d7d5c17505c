"""tantivy's one home: an index of messages in a folder, which one process writes and any number read.

A commit is atomic, and it holds the cursors too: how far each log is indexed stands beside what is indexed of it. So
whatever a kill cuts off, the index is that of its last commit, and nothing is in it twice.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import tantivy

from history_sink_worker.search.excerpt import EXCERPT_CHARACTERS
from history_sink_worker.search.extraction import Extract
from history_sink_worker.search.fields import log_tag, make_schema, tag
from history_sink_worker.search.places import Cursor, Found, Place, Scope
from history_sink_worker.search.question import Terms, take_apart
from history_sink_worker.search.ranking import EACH_SAID_WORD, fold, make_query
from history_sink_worker.search.said_words import count, number_of, pack
from history_sink_worker.search.spelling import words_of
from history_sink_worker.search.word_parts import find_parts, normalise

HEAP_BYTES = 50_000_000
"""What the writer takes for words that are not committed yet."""
TOGETHER_CHARACTERS = 500_000
"""Messages of so much text are handed to the writer's thread together: it costs much to wake it for each."""
ALL_CURSORS = tag("all-cursors")
LEAST_FOUND, MOST_FOUND = 60, 1000
"""So many hits are looked through, and at most so many, where they do not differ."""


class Index:
    """One index. Its readers see what was committed when they last called `refresh`."""

    def __init__(self, folder: Path, is_writer: bool = False) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._schema = make_schema()
        self._index = tantivy.Index(self._schema, path=str(folder))
        self._index.config_reader("manual")
        self._writer = self._index.writer(HEAP_BYTES, 1) if is_writer else None
        self._waiting: list[tantivy.Document] = []
        self._waiting_characters = 0
        self._packer = msgpack.Packer()  # one for all: it begins with a megabyte
        self._version: tuple[int, int] | None = None
        self.refresh()

    # What a writer does

    def add(self, place: Place, extract: Extract, project: str, is_secret: bool = False) -> bool:
        """Index one message; whether there was anything to index. To be committed.

        Beside its words a text is kept that an excerpt shows whole, but where it `is_secret`.
        """
        whole = extract.text
        if not whole or whole.isspace():
            return False
        plain = normalise(whole)
        words = words_of(plain)
        doc, said = tantivy.Document(), b""
        doc.add_text("text", words.decode())
        if extract.said:
            said = words_of(normalise(extract.said)) if extract.done else words
            doc.add_text("said", said.decode())
        if parts := find_parts(plain):
            doc.add_text("parts", words_of(parts).decode())
        doc.add_text("tags", _tags(place.session, place.branch, extract.role, project))
        if extract.at is not None:
            doc.add_unsigned("at", int(extract.at))
        ref = place.session, place.branch, place.start, place.end, place.number, extract.role, extract.at
        kept = whole if len(whole) <= EXCERPT_CHARACTERS and not is_secret else None
        doc.add_bytes("ref", self._packer.pack((*ref, digest_of(whole), pack(said.split()), kept)))
        self._waiting.append(doc)
        self._waiting_characters += len(words)
        if self._waiting_characters > TOGETHER_CHARACTERS:
            self._hand_over()
        return True

    def put_cursor(self, cursor: Cursor) -> None:
        """Say how far a log is indexed. To be committed with what was added of it."""
        own = log_tag("cursor", cursor.session, cursor.branch)
        self._hand_over().delete_documents_by_term("tags", own)
        doc = tantivy.Document()
        doc.add_text("tags", f"{own} {tag('cursors', cursor.session)} {ALL_CURSORS}")
        doc.add_bytes("ref", msgpack.packb(asdict(cursor)))
        self._hand_over().add_document(doc)

    def drop_log(self, session: str, branch: str | None) -> None:
        """Remove one log and its cursor. To be committed."""
        writer = self._hand_over()
        for kind in ("log", "cursor"):
            writer.delete_documents_by_term("tags", log_tag(kind, session, branch))

    def drop_session(self, session: str) -> None:
        """Remove all logs of a session and their cursors. To be committed."""
        writer = self._hand_over()
        for kind in ("session", "cursors"):
            writer.delete_documents_by_term("tags", tag(kind, session))

    def commit(self) -> None:
        """Make all of that durable and visible, or nothing of it."""
        self._hand_over().commit()
        self.refresh()

    def close(self) -> None:
        """Let go of the folder; what was not committed is lost."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(ValueError):  # tantivy's word for a writer that has died of a full disk, say
                writer.rollback()
                writer.wait_merging_threads()

    def _hand_over(self) -> tantivy.IndexWriter:
        assert self._writer is not None, "a reader"
        for doc in self._waiting:
            self._writer.add_document(doc)
        self._waiting.clear()
        self._waiting_characters = 0
        return self._writer

    # What a reader does

    def refresh(self) -> None:
        """See the last commit from now on. Costs nothing where there is no newer one."""
        status = (self.folder / "meta.json").stat()
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._version:
            self._index.reload()
            self._version = version
        self._searcher = self._index.searcher()

    def cursor(self, session: str, branch: str | None) -> Cursor | None:
        """How far a log was indexed at the last commit."""
        query = self._tagged(log_tag("cursor", session, branch))
        searcher = self._searcher  # another thread may refresh it, and addresses are those of one searcher
        hits = searcher.search(query, 1, count=False).hits
        return _read_cursor(searcher.doc(hits[0][1])) if hits else None

    def cursors(self, session: str | None = None) -> Iterator[Cursor]:
        """The cursors of all logs, or of one session's."""
        query = self._tagged(ALL_CURSORS if session is None else tag("cursors", session))
        searcher, at = self._searcher, 0
        while hits := searcher.search(query, 10_000, count=False, offset=at).hits:
            at += len(hits)
            for _, address in hits:
                yield _read_cursor(searcher.doc(address))

    def read(self, query: str) -> Terms:
        """Take a question apart, by the same rules by which texts were."""
        return take_apart(query)

    def search(self, terms: Terms, scope: Scope, limit: int) -> list[Found]:
        """The messages that fit best, the best first; of the same text one. See `fold`."""
        if terms.is_empty:
            return []
        query, found, asked = make_query(self._schema, terms, scope), list[Found](), 0
        searcher, is_last = self._searcher, False
        numbers = frozenset(map(number_of, terms.words))
        while len(found) < limit and not is_last and asked < MOST_FOUND:
            asked = min(MOST_FOUND, max(6 * limit, 4 * asked, LEAST_FOUND))
            hits = searcher.search(query, asked, count=False).hits
            is_last = len(hits) < asked
            each = (_read_found(score, searcher.doc(address), numbers) for score, address in hits)
            found = fold(each, limit, scope.session is None)
        return found

    def count_messages(self) -> int:
        """All that are indexed, without the cursors."""
        searcher = self._searcher
        logs: int = searcher.search(self._tagged(ALL_CURSORS), 1).count  # type: ignore[attr-defined]  # its stub lacks it
        return searcher.num_docs - logs

    def count_in_files(self, word: str) -> int:
        """In how many messages the files have `word`, those included that are deleted and still to be purged."""
        return self._searcher.doc_freq("text", word)

    def _tagged(self, value: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, "tags", value, "basic")


def digest_of(text: str) -> bytes:
    """The same for the same text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]


@lru_cache(1000)
def _tags(session: str, branch: str | None, role: str, project: str) -> str:
    tags = [tag("session", session), log_tag("log", session, branch)]
    if role:
        tags.append(tag("role", role))
    tags += [tag("project", name) for name in {project, project.rstrip("/").rpartition("/")[2]} - {""}]
    return " ".join(tags)


def _read_cursor(doc: tantivy.Document) -> Cursor:
    return Cursor(**_ref(doc))


def _read_found(score: float, doc: tantivy.Document, numbers: frozenset[int]) -> Found:
    session, branch, start, end, number, role, at, digest, said, kept = _ref(doc)
    score += EACH_SAID_WORD * count(said, numbers)
    return Found(score, Place(session, branch, start, end, number), role, at, digest, kept)


def _ref(doc: tantivy.Document) -> Any:
    return msgpack.unpackb(bytes(doc.get_first("ref")))  # type: ignore[arg-type]  # bytes, or a list of their numbers
