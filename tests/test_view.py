"""The page in the browser, over HTTP: what it shows, who may look, and that hostile transcripts stay text."""

import base64
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from command import Command
from forked_command import ForkedCommand
from history_sink import Fault, HistorySink, Hit, PointerHandle, Recalled, SessionId
from history_sink.testing import MemorySink
from history_sink_agents.browse.log import RANGE_BYTES, Log, find_log
from history_sink_agents.render import render, write_markdown
from history_sink_agents.view import images
from history_sink_agents.view.app import make_app
from history_sink_agents.view.command import is_loopback, name_hosts
from history_sink_agents.view.images import read_image
from history_sink_agents.view.index import PIECE_BYTES
from history_sink_agents.view.pages import find_log_of
from history_sink_agents.view.parting import Parting, count_same, find_parting
from history_sink_agents.view.search import mark_excerpt
from history_sink_agents.view.shown import group_quiet, show_turn
from history_sink_agents.view.site import make_templates
from history_sink_agents.view.texts import show
from odd_values import replace_each
from test_search_extraction import SHAPES

TOKEN = "a-token"
HOST = "127.0.0.1:8000"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"pixels").decode()


class Page(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and its text."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        return [str(each.get("href")) for each in self.all("a")]

    @property
    def turns(self) -> list[int]:
        return [int(str(each["id"])[1:]) for each in self.all("article")]

    def link(self, part: str) -> str:
        return next(each for each in self.links if part in each)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


def open_client(sink: HistorySink) -> TestClient:
    client = TestClient(make_app(sink, TOKEN, [HOST]), base_url=f"http://{HOST}", raise_server_exceptions=True)
    client.cookies.set("history-sink-8000", TOKEN)
    return client


@pytest.fixture
def client(sink: MemorySink) -> TestClient:
    return open_client(sink)


def get(client: TestClient, url: str, status: int = 200) -> Page:
    answer = client.get(url)
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def say(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


MESSAGES = [
    say("user", "List"),
    {"role": "assistant", "content": [{"type": "tool_call", "id": "c", "name": "ls", "arguments": '{"path":"/srv"}'}]},
    {"role": "tool", "content": [{"type": "tool_result", "tool_call_id": "c", "content": "notes.txt\nmore"}]},
    {"role": "assistant", "content": [{"type": "thinking", "text": "Hm, one"}, {"type": "text", "text": "One file"}]},
]


def test_without_the_token_nobody_is_let_in(sink: MemorySink) -> None:
    sink.save("s", MESSAGES)
    client = TestClient(make_app(sink, TOKEN, [HOST]), base_url=f"http://{HOST}", follow_redirects=False)
    for url in ("/", "/s/s", "/s/s/raw", "/static/view.js", "/nothing", "/?token=wrong", "/?token="):
        answer = client.get(url)
        assert (answer.status_code, "List" in answer.text) == (403, False)
    answer = client.get(f"/s/s?turn=2&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/s/s?turn=2")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/s/s").status_code == 200
    assert client.get(f"http://{HOST}//evil.example/?token={TOKEN}").headers["location"] == "/evil.example/"


def test_another_name_for_the_page_is_refused(client: TestClient) -> None:
    assert client.get("/", headers={"host": "rebound.example:8000"}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(method: str, client: TestClient) -> None:
    assert client.request(method, "/").status_code == 405


@pytest.mark.parametrize(
    "url", ["/", "/s/s", "/s/s/turns?turn=0", "/search?q=x", "/nothing", "/static/view.js", "/s/s/raw?end=9"]
)
def test_each_answer_forbids_the_browser_what_it_need_not_do(url: str, sink: MemorySink, client: TestClient) -> None:
    sink.save("s", MESSAGES)
    headers = client.get(url).headers
    policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; ") if " " in each)
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert set(" ".join(policy.values()).split()) <= {"'none'", "'self'"}
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-store"


def test_sessions_are_listed_newest_first_and_filtered(sink: MemorySink, client: TestClient) -> None:
    for name in ("beta-1", "alpha", "beta-2"):
        sink.save(name, MESSAGES)
    sink.append("alpha", say("user", "again"))
    assert next(each for each in get(client, "/").links if each.startswith("/s/")) == "/s/alpha"
    found = [each for each in get(client, "/?name=BETA").links if each.startswith("/s/")]
    assert sorted(found) == ["/s/beta-1", "/s/beta-2"]
    assert "No session has that" in get(client, "/?name=<b>").text


def test_there_may_be_no_session_yet(client: TestClient) -> None:
    assert "There is no session yet" in get(client, "/").text


def test_a_session_shows_its_turns_with_calls_results_and_thinking_folded(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", MESSAGES)
    page = get(client, "/s/s")
    assert page.turns == [0, 1, 2, 3]
    for words in ("List", "ls", "/srv", "notes.txt\nmore", "result of ls", "Hm, one", "One file", "main log"):
        assert words in page.text
    assert all("open" not in each for each in page.all("details"))
    assert "/s/s?turn=2#t2" in page.links
    assert "/s/s?turn=1#t1" in page.links


def test_an_agents_bookkeeping_is_folded_and_there(sink: MemorySink, client: TestClient) -> None:
    own = {"sessionId": "s", "parentUuid": None, "type": "progress", "data": {"type": "hook_progress"}}
    sink.save("s", [say("user", "Hello"), own, {**own, "data": {"type": "other"}}, say("user", "Bye")])
    page = get(client, "/s/s")
    assert "2 lines of bookkeeping" in page.text
    assert "progress hook_progress, progress other" in page.text
    assert page.turns == [0, 1, 2, 3]


def test_each_turn_has_a_link_that_is_its_pointer(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", MESSAGES)
    page = get(client, "/s/s")
    lines = sink.archive.lines("s")
    links = [each for each in page.links if each.startswith("/pointer")]
    assert len(links) == len(lines)
    shown = get(client, links[3])
    handle = next(json.loads(each) for each in re.findall(r"\{.*\}", shown.text))
    assert sink.resolve(PointerHandle.decode(handle)) == lines[3]
    assert "One file" in shown.text
    home = client.get(shown.link("/at?"), follow_redirects=False).headers["location"]
    assert home == "/s/s?turn=3#t3"
    assert "One file" in get(client, f"/pointer?{urlencode({'handle': json.dumps(handle)})}").text


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ({"bucket": "history", "key": "history/none/history.jsonl"}, 404, "no match"),
        ({"bucket": "other", "key": "history/s/history.jsonl"}, 403, "denied"),
        ({"key": "k"}, 400, "a bucket and a key"),
        ({"handle": "[" * 10_000}, 400, "JSON object"),
        ({"handle": "{}"}, 400, "bucket"),
        ({"bucket": "history", "key": "k", "start": "-1", "end": "x"}, 400, "is a number"),
    ],
)
def test_a_pointer_that_leads_nowhere_says_why(
    query: dict[str, str], status: int, told: str, client: TestClient
) -> None:
    assert told in get(client, f"/pointer?{urlencode(query)}", status).text


def test_raw_bytes_are_the_bytes_and_no_page(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [b"<script>alert(1)</script>", b"\xff\x00"])
    answer = client.get("/s/s/raw?start=0&end=26")
    assert answer.content == b"<script>alert(1)</script>\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "sandbox" in answer.headers["content-security-policy"]
    whole = client.get("/s/s/raw")
    assert whole.content == b"".join(sink.archive.lines("s"))
    assert whole.headers["content-disposition"] == 'attachment; filename="s.jsonl"'
    for wrong in ("start=1&end=999", "start=9&end=2", "end=x", "start=99999999999999999999"):
        assert client.get(f"/s/s/raw?{wrong}").status_code == 400


HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></article><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1)) javascript:alert(1) https://evil.example/?q=1",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "<svg/onload=alert(1)>",
    "<!-- -->]]><![CDATA[",
    "&lt;b&gt; &#x3c;script&#x3e;",
]
TAGS = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "form", "input", "button", "main"),
    *("dialog", "table", "thead", "tbody", "th", "tr", "td", "kbd", "p", "h1", "h2", "nav", "div", "section"),
    *("article", "span", "time", "details", "summary", "b", "em", "pre", "dl", "dt", "dd", "code", "img", "ol", "li"),
    *("blockquote", "mark"),
}


def hide(text: str) -> list[Any]:
    """A text in each place of a message where an agent may put it."""
    parts = [
        {"type": "text", "text": text},
        {"type": "thinking", "text": text},
        {"type": "tool_call", "id": text, "name": text, "arguments": json.dumps({text: text})},
        {"type": "tool_call", "id": "x", "name": text, "arguments": text},
        {"type": "tool_result", "tool_call_id": text, "content": text},
        {"type": "image", "url": text, "mime_type": text},
        {"type": "image", "url": f"data:image/png;base64,{text}", "mime_type": text},
        {"type": "file", "path": text, "mime_type": text},
        {"type": text, text: text},
    ]
    return [
        {"role": "assistant", "content": parts},
        {"role": text, "content": text},
        {"type": text, "sessionId": text, "data": {"type": text}},
        {"type": "summary", "leafUuid": "x", "summary": text},
        {"enc": text, "ct": text},
        text,
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_transcript_holds_it_is_text(text: str, sink: MemorySink, client: TestClient) -> None:
    sink.save("s", hide(text))
    page = get(client, "/s/s")
    assert page.text.count(text) >= 10
    pointers = [get(client, each) for each in page.links if each.startswith("/pointer")]
    for each in (page, get(client, "/s/s/turns?turn=0"), get(client, f"/?{urlencode({'name': text})}"), *pointers):
        assert {tag for tag, _ in each.elements} <= TAGS
        for tag, attributes in each.elements:
            assert not any(name.startswith("on") or name in ("style", "autofocus") for name in attributes)
            for name in ("href", "src", "action", "data-more"):
                assert str(attributes.get(name) or "/").startswith(("/", "#")), (tag, attributes)
        assert [script["src"] for script in each.all("script")] in ([], ["/static/view.js"])


@pytest.mark.parametrize("record", [pytest.param(each[1], id=each[0]) for each in SHAPES])
def test_a_value_of_any_kind_anywhere_can_be_shown_and_written(record: Any) -> None:
    turns = render(json.dumps(each).encode() for each in replace_each(record))
    template = make_templates().from_string('{% from "macros.html" import runs %}{{ runs(shown, none) }}')
    page = template.render(shown=group_quiet(map(show_turn, turns))).encode()
    assert page.count(b"<article") == len(turns)
    assert b"<script" not in page
    for turn in turns:
        write_markdown(turn).encode()


@pytest.mark.parametrize("content", [None, [], ""])
def test_a_message_without_a_word_says_so(content: object, sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [{"role": "assistant", "content": content}])
    assert "(empty)" in get(client, "/s/s").text


def test_of_many_results_of_one_message_some_are_linked() -> None:
    calls = [{"type": "tool_call", "id": f"c{number}", "name": "run", "arguments": "{}"} for number in range(50)]
    results = [{"type": "tool_result", "tool_call_id": each["id"], "content": "done"} for each in calls]
    lines = [{"role": "assistant", "content": calls}, *({"role": "tool", "content": [each]} for each in results)]
    turn = render(json.dumps(each).encode() for each in lines)[0]
    assert (len(turn.links), len(show_turn(turn).links)) == (50, 20)


def test_a_picture_that_is_too_large_is_not_read() -> None:
    body = base64.b64decode(PNG) + bytes(images.MOST_BYTES)
    assert read_image(f"data:image/png;base64,{base64.b64encode(body[:-1000]).decode()}") is not None
    assert read_image(f"data:image/png;base64,{base64.b64encode(body).decode()}") is None


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert str(show("a\u202eb<")) == 'a<span class="unseen">U+202E</span>b&lt;'
    for unseen in ("\x00", "\r", "\x1b", "\u200b", "\u2066", "\u200f", "\ufeff", "\U000e0041", "\u2028", "\ud83d"):
        assert f"U+{ord(unseen):04X}" in show(unseen)
        assert unseen not in show(unseen)
    assert "U+0000 x 4096</span>" in show("\x00" * 4096)
    assert str(show("a\tb\nc é 世界 👩\u200d👧")) == "a\tb\nc é 世界 👩\u200d👧"


def test_a_huge_line_is_cut_and_a_link_away(sink: MemorySink, client: TestClient) -> None:
    size_bytes = 3 * RANGE_BYTES
    sink.save("s", [say("user", "before"), say("user", "x" * size_bytes), b"y" * size_bytes, say("user", "behind")])
    page = get(client, "/s/s")
    more = page
    while page.turns[-1] < 3:
        url = next(str(each["data-more"]) for _, each in more.elements if "data-more" in each)
        more = get(client, url)
        page.turns.extend(more.turns)
        page.elements += more.elements
        assert len(more.text) < 200_000
    assert page.turns == [0, 1, 2, 3]
    whole = client.get(next(each for each in page.links if "/raw?start=35" in each))
    assert len(whole.content) > size_bytes
    assert "attachment" in whole.headers["content-disposition"]


def test_a_line_of_many_parts_is_cut_too(sink: MemorySink, client: TestClient) -> None:
    texts = [{"type": "text", "text": f"part {number}"} for number in range(5_000)]
    sink.save("s", [{"role": "user", "content": texts}])
    page = get(client, "/s/s")
    assert "4,800 parts more" in page.text
    large = [{"type": "tool_result", "tool_call_id": "c", "content": "x" * 40_000} for _ in range(20)]
    sink.save("t", [{"role": "tool", "content": large}])
    assert "14 parts more" in get(client, "/s/t").text


def test_what_is_nested_deeply_is_shown_all_the_same(sink: MemorySink, client: TestClient) -> None:
    for depth in (50, 300, 900, 990, 5_000):
        deep = "[" * depth + "]" * depth
        call = f'{{"type":"tool_call","id":"c","name":"run","arguments":{json.dumps(json.dumps({"x": 1}))}}}'
        call = call.replace(json.dumps(json.dumps({"x": 1})), json.dumps(f'{{"x":{deep}}}'))
        sink.save(f"s{depth}", [f'{{"role":"user","content":[{call},{deep}]}}', f'{{"x":{deep}}}', deep])
        assert get(client, f"/s/s{depth}").turns == [0, 1, 2]


def pieces(client: TestClient, url: str) -> Iterator[Page]:
    page = get(client, url)
    while True:
        yield page
        more = [str(each["data-more"]) for _, each in page.elements if "data-more" in each]
        if not more:
            return
        page = get(client, more[0])


def test_a_long_session_comes_in_pieces_that_are_all_of_it(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [say("user", f"message {number}") for number in range(1234)])
    all_pieces = [*pieces(client, "/s/s")]
    assert [turn for page in all_pieces for turn in page.turns] == [*range(1234)]
    assert max(len(page.turns) for page in all_pieces) == 100
    assert "message 1233" in all_pieces[-1].text
    assert "The end" in all_pieces[-1].text
    assert get(client, "/s/s?turn=700").turns[0] == 698
    assert get(client, "/s/s?turn=last").turns[-1] == 1233
    assert get(client, get(client, "/s/s?turn=700").link("turn=600")).turns[0] == 598
    assert get(client, "/s/s?turn=9999").turns == []
    assert get(client, "/s/s?turn=last").text.count("message ") == 100
    for wrong in ("x", "-1", "1e9", "٣", "9" * 30):
        get(client, f"/s/s?{urlencode({'turn': wrong})}", 400)


class Counting(MemorySink):
    """It knows how many bytes were asked for."""

    asked_bytes = 0

    def resolve(self, handle: PointerHandle, timeout_seconds: float = 10.0, *, stored: bool = False) -> bytes | Fault:
        answer = super().resolve(handle, timeout_seconds, stored=stored)
        self.asked_bytes += len(answer) if isinstance(answer, bytes) else 0
        return answer


def test_a_long_log_is_not_read_to_show_its_beginning_its_end_or_a_hit() -> None:
    sink = Counting()
    sink.save("s", [say("user", f"message {number} " + "x" * 5_000) for number in range(2_000)])
    start = sum(map(len, sink.archive.lines("s")[:1500]))
    client = open_client(sink)
    for url, first, last in (("", 0, 99), ("?turn=last", 1949, 1999), (f"?turn=1500&offset={start}", 1500, 1599)):
        sink.asked_bytes = 0
        page = get(client, f"/s/s{url}")
        assert (page.turns[0], page.turns[-1]) == (first, last)
        assert f"message {last} x" in page.text
        assert sink.asked_bytes < 2_000_000


@pytest.mark.parametrize("size_bytes", [300_000, 3_000_000])
def test_an_end_that_is_one_long_line_is_shown(size_bytes: int, sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [say("user", "before"), say("user", "x" * size_bytes)])
    assert get(client, "/s/s?turn=last").turns in ([1], [0, 1])
    sink.save("t", [say("user", "x" * size_bytes)])
    assert get(client, "/s/t?turn=last").turns == [0]


def test_who_speaks_in_an_opencode_session_is_known_in_later_pieces(sink: MemorySink, client: TestClient) -> None:
    info = {"type": "message.updated.1", "data": {"info": {"id": "m", "role": "user"}}}
    part = {"type": "message.part.updated.1", "data": {"part": {"type": "text", "messageID": "m", "text": "Hello"}}}
    sink.save("s", [info, *({**part, "seq": number} for number in range(150))])
    first, second = pieces(client, "/s/s")
    assert {each["class"] for page in (first, second) for each in page.all("article")} == {"turn user"}


def test_a_piece_ends_at_its_bytes(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [say("user", "x" * (PIECE_BYTES // 3)) for _ in range(10)])
    all_pieces = [*pieces(client, "/s/s")]
    assert [turn for page in all_pieces for turn in page.turns] == [*range(10)]
    assert max(len(page.turns) for page in all_pieces) == 2


def test_a_log_that_grows_while_one_looks_goes_on(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", MESSAGES)
    assert get(client, "/s/s").turns == [0, 1, 2, 3]
    end = sum(map(len, sink.archive.lines("s")))
    assert get(client, f"/s/s/turns?turn=4&offset={end}").turns == []
    sink.append("s", say("user", "later"))
    assert "later" in get(client, f"/s/s/turns?turn=4&offset={end}").text


def test_branches_are_shown_side_by_side_from_where_they_part(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", MESSAGES)
    branch = sink.save("s", [*MESSAGES[:2], say("user", "Otherwise"), say("assistant", "Well")]).branch
    page = get(client, "/s/s")
    assert "dead end" in page.text
    assert "written last" in page.text
    assert page.turns == [0, 1, 2, 3]
    beside = get(client, page.link("/beside?"))
    assert "The first 2 messages are the same" in beside.text
    assert [str(each["id"]) for each in beside.all("article")] == ["l2", "l3", "r2", "r3"]
    assert "notes.txt" in beside.text
    assert "Otherwise" in beside.text
    assert f"/s/s?branch={branch}" in beside.links
    assert "Otherwise" in get(client, f"/s/s?branch={branch}").text
    pointers = [each for each in get(client, f"/s/s?branch={branch}").links if each.startswith("/pointer")]
    assert "Otherwise" in get(client, pointers[2]).text
    get(client, "/s/s?branch=000000000009-00000000000000aa", 404)


def test_a_stray_is_shown(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", MESSAGES[:1])
    other = MemorySink(sink.archive)
    other.save("s", MESSAGES[:1])
    sink.save("s", [*MESSAGES[:1], say("user", "one way")])
    other.save("s", [*MESSAGES[:1], say("user", "another way")])
    assert sink.status("s").strays
    page = get(client, "/s/s")
    assert "stray: another writer" in page.text
    stray = get(client, page.link("?stray="))
    assert stray.turns == [0, 1]
    assert "another way" in stray.text
    assert "The first message is the same" in get(client, page.link("/beside?")).text


class Both(MemorySink):
    """A sink that reads from two archives, which are called left and right."""

    def __init__(self, left: list[Any], right: list[Any]) -> None:
        super().__init__()
        self.sides = {"left": MemorySink(), "right": MemorySink()}
        self.sides["left"].save("s", left)
        self.sides["right"].save("s", right)

    def find_logs(self) -> Iterator[Log]:
        for name, side in self.sides.items():
            yield replace(find_log(side.status("s")), bucket=name)

    def resolve(self, handle: PointerHandle, timeout_seconds: float = 10.0, *, stored: bool = False) -> bytes | Fault:
        return self.sides[handle.bucket].resolve(replace(handle, bucket="history"), timeout_seconds, stored=stored)


LONG = b"z" * RANGE_BYTES


@pytest.mark.parametrize(
    ("left", "right", "line", "offset"),
    [
        ([b"a", b"b"], [b"a", b"c"], 1, 2),
        ([b"a"], [b"b"], 0, 0),
        ([b"a"], [b"a", b"b"], 1, 2),
        ([b"abc", b"x"], [b"abd", b"x"], 0, 0),
        ([b"a", LONG, b"b", b"c"], [b"a", LONG, b"b", b"d"], 3, len(LONG) + 5),
        ([b"a", LONG + b"1"], [b"a", LONG + b"2"], 1, 2),
    ],
)
def test_where_two_logs_part(left: list[Any], right: list[Any], line: int, offset: int) -> None:
    both = Both(left, right)
    ours, theirs = both.find_logs()
    assert find_parting(both, ours, theirs) == Parting(line, offset)


@pytest.mark.parametrize("same", range(9))
def test_the_first_byte_that_differs_is_found(same: int) -> None:
    assert count_same(b"x" * same + b"y" * (9 - same), b"x" * same + b"z" * (9 - same)) == same


def image(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image", "url": url, "mime_type": "image/png"}]}


def test_a_picture_is_shown_where_it_is_one(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [image(f"data:image/png;base64,{PNG}")])
    (shown,) = get(client, "/s/s").all("img")
    answer = client.get(str(shown["src"]))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == base64.b64decode(PNG)
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/pixel.png",
        "http://127.0.0.1:1/x.png",
        "file:///etc/passwd",
        "javascript:alert(1)",
        f"data:image/svg+xml;base64,{base64.b64encode(b'<svg onload=alert(1)>').decode()}",
        f"data:text/html;base64,{PNG}",
        "data:image/png,<script>",
        f" data:image/png;base64,{PNG}",
    ],
)
def test_another_picture_is_not_loaded(url: str, sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [image(url)])
    page = get(client, "/s/s")
    assert page.all("img") == []
    assert url[:20].strip() in page.text
    assert client.get(f"/s/s/image?start=0&end={len(sink.archive.lines('s')[0])}&part=0").status_code == 415


@pytest.mark.parametrize(
    "body", [b"<html><script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"", b"GIF"]
)
def test_what_says_it_is_a_picture_and_is_none_is_not_sent(body: bytes, sink: MemorySink, client: TestClient) -> None:
    sink.save("s", [image(f"data:image/png;base64,{base64.b64encode(body).decode()}")])
    assert get(client, "/s/s").all("img") == []
    assert client.get(f"/s/s/image?start=0&end={len(sink.archive.lines('s')[0])}&part=0").status_code == 415


def test_a_pictures_type_is_what_its_bytes_say() -> None:
    for magic, kind in ((b"\xff\xd8\xff\xe0", "jpeg"), (b"GIF89a", "gif"), (b"RIFF1234WEBP", "webp")):
        url = f"data:image/png;base64,{base64.b64encode(magic).decode()}"
        assert read_image(url) == (f"image/{kind}", magic)
    assert read_image("data:image/png;base64,%%%%") is None


def test_trouble_is_told(sink: MemorySink, client: TestClient) -> None:
    sink.save("s", MESSAGES)
    with sink.archive.workers_away():
        for url in ("/", "/s/s"):
            assert "Nobody answers" in get(client, url, 503).text
        assert "backend error" in get(client, "/pointer?bucket=history&key=history/s/history.jsonl", 502).text
    with sink.archive.answering(Fault("denied", "no rights")):
        assert "The store forbids it" in get(client, "/s/s", 403).text
    sink.archive.delete("t")
    for url in ("/s/t", "/s/none", "/s/none/raw", "/s/none/at?offset=0", "/s/s/at?offset=99999"):
        assert "There is nothing here" in get(client, url, 404).text
    for url in ("/s/.hidden", "/s/a%20b"):
        get(client, url, 400)
    get(client, "/nothing/here", 404)
    get(client, "/static/../app.py", 404)
    get(client, "/static/%2e%2e/app.py", 404)


class Recalling(MemorySink):
    """A sink whose search always answers the same."""

    def __init__(self, answer: Recalled | Fault) -> None:
        super().__init__()
        self._answer = answer
        self.asked: tuple[object, ...] = ()

    def recall(self, query: str, session: SessionId | None = None, *_: Any, **__: Any) -> Recalled | Fault:
        self.asked = (query, session)
        return self._answer


def find(excerpt: str, marks: tuple[tuple[int, int], ...], message: int = 3) -> Hit:
    handle = PointerHandle("history", "history/short/history.jsonl", (0, 1))
    return Hit(handle, "short", None, message, "assistant", None, 1.0, excerpt, marks)


NOTHING = Recalled((), 0.0, 0, False, 1.0, 7)


def test_hits_are_shown_with_what_matched_and_lead_to_their_turns() -> None:
    hit = find("a <b>file</b> here", ((5, 9),))
    sink = Recalling(replace(NOTHING, hits=(hit,), behind=2))
    page = get(open_client(sink), "/search?q=file&session=short")
    assert page.all("mark") == [{}]
    assert "a <b>file</b> here" in page.text
    assert "/s/short?turn=3&offset=0#t3" in page.links
    assert "lacks something of 2 logs" in page.text
    assert sink.asked == ("file", "short")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (NOTHING, "Nothing was found"),
        (replace(NOTHING, is_rebuilding=True), "not complete (it is being built): there may be more"),
        (replace(NOTHING, compared_at=None, sealed=9), "9 sealed lines are not searched"),
        (Fault("backend_error", "no index"), "no index"),
    ],
)
def test_nothing_found_and_not_to_be_searched_are_two_answers(answer: Recalled | Fault, told: str) -> None:
    page = get(open_client(Recalling(answer)), "/search?q=x")
    assert told in page.text
    assert ("Nothing was found" in page.text) == isinstance(answer, Recalled)
    assert ("not complete" in page.text) == (isinstance(answer, Recalled) and not answer.is_complete)


def test_where_no_search_worker_answers_the_page_says_so(sink: MemorySink, client: TestClient) -> None:
    with sink.archive.workers_away():
        page = get(client, "/search?q=x")
    assert "Nothing was found" not in page.text
    assert page.all("p")[0] == {"class": "bad"}


@pytest.mark.parametrize(
    ("marks", "pieces"),
    [
        ((), [("abcdef", False)]),
        (((0, 2), (4, 6)), [("ab", True), ("cd", False), ("ef", True)]),
        (((4, 6), (1, 2)), [("a", False), ("b", True), ("cd", False), ("ef", True)]),
        (((0, 3), (2, 5), (9, 99), (-1, 2), (4, 4)), [("abc", True), ("def", False)]),
    ],
)
def test_marks_that_cannot_be_are_passed_over(marks: Any, pieces: list[tuple[str, bool]]) -> None:
    assert [*mark_excerpt("abcdef", marks)] == pieces


def test_sizes_are_for_people() -> None:
    show = make_templates().filters["bytes"]
    assert [*map(show, (0, 999, 1_400, 2_500_000))] == ["0 bytes", "999 bytes", "1.4 kB", "2.5 MB"]


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    ended = ForkedCommand()("view")
    assert (ended.status, ended.out) == (2, b"")
    assert "CODETETHER_HISTORY_BROKER_URL is not set" in ended.err
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['starlette'] = None\n")
    ended = Command({"PYTHONPATH": str(tmp_path)})("view")
    assert (ended.status, ended.out) == (1, b"")
    assert ended.err == "Error: view needs the extra: pip install 'history-sink[web]'\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = {"CODETETHER_HISTORY_BROKER_URL": "redis://127.0.0.1:1/0"}
        ended = ForkedCommand(nobody)("view", "--port", str(taken.getsockname()[1]))
    assert ended.status == 1
    assert ended.err.startswith("Error: 127.0.0.1:")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)
    assert f"{host}:80".replace("::1:80", "[::1]:80") in name_hosts(host, 80)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "archive.example"])
def test_what_others_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
    assert name_hosts(host, 80) == ()


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("history/s/history.jsonl", ("s", {})),
        ("a/b/s/branches/000000000009-aa/history.jsonl", ("s", {"branch": "000000000009-aa"})),
        ("branches/history.jsonl", ("branches", {})),
        ("history/s/tail/000-aa~bb.jsonl", None),
        ("history.jsonl", None),
        ("", None),
    ],
)
def test_a_key_tells_its_session(key: str, place: object) -> None:
    assert find_log_of(key) == place
