"""Whether people find what they look for: known items, parts of words, phrases, scripts without spaces."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.known_items import make_corpus
from history_sink_worker.search.excerpt import EXCERPT_CHARACTERS, make_excerpt
from history_sink_worker.search.extraction import extract
from history_sink_worker.search.index import Index
from history_sink_worker.search.places import Place, Scope


def make_index(folder: Path, sessions: dict[str, Sequence[bytes]]) -> Index:
    index = Index(folder, is_writer=True)
    for session, lines in sessions.items():
        for number, line in enumerate(lines):
            index.add(Place(session, None, number, number + 1, number), extract(line), "")
    index.commit()
    return index


def test_known_items_are_found_first(tmp_path: Path) -> None:
    corpus = make_corpus(seed=11, sessions=40, messages=60, items=300)
    index = make_index(tmp_path / "index", {**corpus.lines})
    first = in_five = 0
    for item in corpus.items:
        found = index.search(index.read(item.query), Scope(), 5)
        places = [(each.place.session, each.place.number) for each in found]
        first += places[:1] == [(item.session, item.number)]
        in_five += (item.session, item.number) in places
    assert first / len(corpus.items) >= 0.94
    assert in_five / len(corpus.items) >= 0.98


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    texts = [
        "see foo_bar.baz in src/parser/main_test.go:42",
        "HTTPServer2 listens, and getUserName asks SHA256 of it",
        "Straße und Café am Fluß, naïve Ångström",
        "全文検索の方法について、世界中で 你好世界 が使われる",
        "비밀번호를 변경하는 방법",
        "panic: runtime error: index out of range [5] with length 3",
        "commit 3d7be91f2a4c5e6b7d8091a2b3c4d5e6f708192a is good",
        "commit ffffffffffffffffffffffffffffffffffffffff is bad",
        "the quick brown fox",
        "the brown and quick fox",
        "the word " + "x" * 2000 + " is long",
        "\uff26\uff35\uff2c\uff2c\u3000\uff37\uff29\uff24\uff34\uff28 letters",
    ]
    return make_index(
        tmp_path_factory.mktemp("words") / "index", {f"s{n}": [text.encode()] for n, text in enumerate(texts)}
    )


@pytest.mark.parametrize(
    ("query", "sessions"),
    [
        ("foo_bar.baz", [0]), ("baz", [0]), ("bar", [0]), ("main_test.go", [0]), ("src/parser/main_test.go", [0]),
        ('"parser/main_test.go:42"', [0]), ("parser/main_test", [0]),
        ("server", [1]), ("HTTPServer2", [1]), ("httpserver2", [1]), ("username", []), ("user", [1]), ("sha", [1]),
        ("strasse", [2]), ("cafe", [2]), ("FLUSS", [2]), ("naive", [2]), ("angstrom", [2]),
        ("検索", [3]), ("世界", [3]), ("你好", [3]), ("全文検索", [3]), ("비밀번호", [4]), ("변경", [4]),
        ('"index out of range"', [5]), ('"out of index"', []), ("panic: runtime error: index out of range [7]", [5]),
        ("3d7be91f2a4c5e6b7d8091a2b3c4d5e6f708192a", [6]),
        ('"commit 3d7be91f2a4c5e6b7d8091a2b3c4d5e6f708192a"', [6]),
        ('"quick brown"', [8]), ("full width", [11]), ("y" * 2000, []), ("...", []), ('"', []), ('"" -+(]', []),
    ],
)  # fmt: skip
def test_words_are_found_whole_and_by_their_parts(index: Index, query: str, sessions: list[int]) -> None:
    found = index.search(index.read(query), Scope(), 1 if sessions else 10)
    assert [each.place.session for each in found] == [f"s{n}" for n in sessions]


def test_a_text_that_comes_twice_is_shown_once_and_sessions_by_their_best_first(tmp_path: Path) -> None:
    index = make_index(
        tmp_path / "index",
        {
            "a": [b"zebra zebra stripes", b"zebra zebra stripes", b"zebra hooves"],
            "b": [b"zebra crossing"],
        },
    )
    found = index.search(index.read("zebra"), Scope(), 10)
    assert len(found) == 3
    assert {each.place.session for each in found[:2]} == {"a", "b"}


def test_a_project_whose_name_has_spaces_is_one(tmp_path: Path) -> None:
    index = Index(tmp_path / "index", is_writer=True)
    for number, project in enumerate(["/home/me/my tools", "/home/me/my", "/home/me/tools", ""]):
        index.add(Place(f"s{number}", None, 0, 1, 0), extract(b"a stoat"), project)
    index.commit()
    for project, sessions in {"my tools": ["s0"], "/home/me/my tools": ["s0"], "tools": ["s2"], "my": ["s1"]}.items():
        found = index.search(index.read("stoat"), Scope(project=project), 10)
        assert [each.place.session for each in found] == sessions


def test_what_somebody_said_goes_before_what_a_tool_put_out(tmp_path: Path) -> None:
    said = b'{"role":"user","content":"why does the gannet dive so deep into the cold sea"}'
    output = b'{"role":"tool","content":"gannet dive deep gannet dive deep"}'
    index = make_index(tmp_path / "index", {"tool": [output], "person": [said], "more": [b"filler"] * 20})
    assert [each.place.session for each in index.search(index.read("gannet dive deep"), Scope(), 2)] == [
        "person",
        "tool",
    ]


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("a heron and a HERON", "heron", ["heron", "HERON"]),
        ("the HTTPServer2 here", "server", ["Server"]),
        ("im Café", "cafe", ["Café"]),
        ("全文検索の方法", "検索", ["検索"]),
        ("x " * 5000 + "needle" + " y" * 5000, "needle", ["needle"]),
        ("nothing", "else", []),
        ("", "word", []),
    ],
)
def test_an_excerpt_shows_where_it_matched(index: Index, text: str, query: str, marked: list[str]) -> None:
    excerpt, marks = make_excerpt(text, index.read(query))
    assert [excerpt[start:end] for start, end in marks] == marked
    assert len(excerpt) <= EXCERPT_CHARACTERS
    assert excerpt in text


def test_a_thousand_lines_of_anything_are_read_without_an_error() -> None:
    assert extract(b'{"a":' * 5000).done.startswith('{"a":')
    assert extract(b"[" * 100_000).done
    assert extract(b'{"role":["x"],"content":{"type":{"a":1},"text":7},"timestamp":"no","cwd":9}').role == ""
    assert extract(b'{"role":"user","content":"\\ud800 half"}').said
