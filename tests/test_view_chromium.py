"""The page in Debian's Chromium: a long session, keys, branches, and transcripts that would like to be programs."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from history_sink.testing import MemorySink
from stack.devtools import Tab, open_tab
from stack.page import serve_page
from test_view import HOSTILE, MESSAGES, NOTHING, PNG, Recalling, find, hide, image, say

pytestmark = pytest.mark.system

LONG = 5_000
_TURN = "document.activeElement.id"


def make_session(count: int) -> list[Any]:
    """As an agent's: a question, a call, its result."""
    made: list[Any] = []
    for number in range(0, count, 3):
        call = {
            "type": "tool_call",
            "id": f"c{number}",
            "name": "run",
            "arguments": json.dumps({"command": f"ls {number}"}),
        }
        made.append(say("user", f"Question {number}: " + "what is in it? " * 10))
        made.append({"role": "assistant", "content": [{"type": "text", "text": f"Answer {number}"}, call]})
        result = {"type": "tool_result", "tool_call_id": f"c{number}", "content": f"line {number}\n" * 40}
        made.append({"role": "tool", "content": [result]})
    return made[:count]


@pytest.fixture(scope="module")
def sink() -> Iterator[MemorySink]:
    sink = Recalling(replace(NOTHING, hits=(find("One file", ((4, 8),)),)))
    sink.save("long", make_session(LONG))
    sink.save("short", MESSAGES)
    sink.save("hostile", [*(each for text in HOSTILE for each in hide(text)), say("user", "x" * 5_000_000)])
    sink.save("rtl", [say("user", "a\u202egnp.exe"), say("user", "שלום עולם (left)")])
    sink.save("picture", [image(f"data:image/png;base64,{PNG}"), image("https://evil.example/x.png")])
    sink.save("branched", make_session(300))
    sink.save("branched", [*make_session(200), say("user", "Another way")])
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def page(sink: MemorySink) -> Iterator[tuple[str, str]]:
    with serve_page(sink) as served:
        yield served


@pytest.fixture
def tab() -> Iterator[Tab]:
    with open_tab() as tab:
        yield tab


@pytest.fixture
def look(tab: Tab, page: tuple[str, str]) -> Iterator[Callable[[str], Tab]]:
    """Opens a path; behind the test nothing has complained, and no request has left the page's server."""
    home, token = page
    tab.go(f"{home}/?token={token}")

    def go(path: str) -> Tab:
        tab.go(home + path)
        return tab

    yield go
    assert tab.complaints() == []
    assert all(url.startswith((f"{home}/", "about:")) for url in tab.requests())
    assert len(tab.requests()) > 2


def test_a_session_of_5000_messages_opens_at_once_and_scrolls_to_its_end(
    look: Callable[[str], Tab], record_property: Callable[[str, object], None]
) -> None:
    tab = look("/s/long")
    timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    opened_seconds = tab.ask(timing) / 1000
    record_property("seconds to open a session of 5,000 messages", round(opened_seconds, 2))
    assert opened_seconds < 10  # on a busy machine; a quiet one needs a tenth of a second
    assert tab.ask("document.querySelectorAll('article').length") >= 100
    tab.press("G")
    tab.wait(f"document.getElementById('t{LONG - 1}') !== null")
    tab = look("/s/long")
    scroll = "window.scrollTo(0, document.body.scrollHeight), document.querySelector('.end') !== null"
    tab.wait(scroll, timeout_seconds=100)
    assert tab.ask("document.querySelectorAll('article').length") == LONG
    assert tab.ask(f"document.getElementById('t{LONG - 1}').innerText").startswith(f"{LONG - 1}")


def test_it_works_from_the_keyboard(look: Callable[[str], Tab]) -> None:
    tab = look("/s/long")
    for key, turn in (("j", "t0"), ("j", "t1"), ("j", "t2"), ("k", "t1"), ("n", "t3"), ("n", "t6"), ("p", "t3")):
        tab.press(key)
        tab.wait(f"{_TURN} === '{turn}'", 10)
    tab.press("j")
    tab.wait(f"{_TURN} === 't4'", 10)
    assert not tab.ask("document.querySelector('#t4 details').open")
    tab.press("o")
    tab.wait("document.querySelector('#t4 details').open", 10)
    assert "ls 3" in tab.ask("document.querySelector('#t4 dd').innerText")
    tab.press("o")
    tab.wait("!document.querySelector('#t4 details').open", 10)
    for _ in range(100):  # across the end of a piece
        tab.press("j")
    tab.wait(f"{_TURN} === 't104'", 30)
    tab.press("?")
    tab.wait("document.getElementById('keys').open", 10)
    tab.press("Escape")
    tab.wait("!document.getElementById('keys').open", 10)
    tab.press("/")
    tab.wait(f"{_TURN} === 'search'", 10)
    for letter in "file":
        tab.press(letter)
    tab.press("Enter")
    tab.arrive("/search")
    assert tab.ask("document.querySelector('mark').innerText") == "file"
    tab.press("j")
    tab.wait("document.activeElement.closest('.row') !== null", 10)
    tab.press("o")
    tab.wait("location.pathname === '/s/short' && document.activeElement.id === 't3'", 20)


def test_hostile_transcripts_are_text(look: Callable[[str], Tab]) -> None:
    tab = look("/s/hostile")
    tab.press("e")
    tab.wait("[...document.querySelectorAll('details')].every((each) => each.open)", 20)
    text = tab.ask("document.getElementById('timeline').innerText")
    for each in HOSTILE:
        assert each in text
    assert tab.ask("document.querySelectorAll('#timeline script, #timeline svg, #timeline iframe').length") == 0
    assert tab.ask("[...document.links].every((each) => each.protocol === 'http:' && each.host === location.host)")
    assert tab.ask("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_mark_that_turns_the_direction_is_seen_and_turns_nothing(look: Callable[[str], Tab]) -> None:
    tab = look("/s/rtl")
    assert tab.ask("document.querySelector('#t0 pre').innerText.trim()") == "aU+202Egnp.exe"
    left = "document.querySelector('#t0 .unseen').getBoundingClientRect().left"
    assert tab.ask(f"{left} > document.querySelector('#t0 pre').getBoundingClientRect().left")
    assert tab.ask("document.querySelector('#t1 header .who').innerText") == "user"


def test_what_stops_scripts_is_the_policy_too(look: Callable[[str], Tab]) -> None:
    tab = look("/s/short")
    inject = """(() => { const each = document.createElement('div');
        each.innerHTML = '<img src=x onerror="window.hacked = 1">'; document.body.append(each);
        const script = document.createElement('script'); script.textContent = 'window.hacked = 2';
        document.body.append(script); return new Promise((done) => setTimeout(() => done(window.hacked), 500)); })()"""
    assert tab.ask(inject) is None
    told = [each for each in tab.complaints() if "Content Security Policy" in each]
    assert len(told) >= 2
    tab.events.clear()
    look("/")
    look("/s/short")


def test_pictures_are_those_of_the_transcript(look: Callable[[str], Tab]) -> None:
    tab = look("/s/picture")
    assert tab.ask("[...document.images].map((each) => new URL(each.src).pathname)") == ["/s/picture/image"]
    assert "https://evil.example/x.png" in tab.ask("document.getElementById('t1').textContent")


def test_a_branch_is_beside_its_main_line(look: Callable[[str], Tab]) -> None:
    tab = look("/s/branched")
    tab.ask("document.querySelector('a[href*=beside]').click()")
    tab.arrive("/s/branched/beside")
    tops = tab.ask("['l200', 'r200'].map((id) => document.getElementById(id).getBoundingClientRect().top)")
    lefts = tab.ask("['l200', 'r200'].map((id) => document.getElementById(id).getBoundingClientRect().left)")
    assert tops[0] == tops[1]
    assert lefts[0] < lefts[1]
    assert "Another way" in tab.ask("document.getElementById('r200').innerText")
    assert tab.ask("document.getElementById('t199')") is None


@pytest.mark.parametrize("path", ["/", "/s/branched", "/s/branched/beside", "/s/hostile", "/search?q=file"])
def test_a_narrow_window_cuts_nothing_off(look: Callable[[str], Tab], sink: MemorySink, path: str) -> None:
    branch = sink.status("branched").logs[-1].branch
    tab = look(f"{path}?other_branch={branch}" if path.endswith("beside") else path)
    tab.show(360, 740)
    tab.press("e")
    tab.wait("document.documentElement.clientWidth === 360", 10)
    assert tab.ask("document.documentElement.scrollWidth") == 360


def test_a_pointers_link_leads_to_its_message(look: Callable[[str], Tab]) -> None:
    tab = look("/s/short")
    tab.ask("document.querySelector('#t3 a.pointer').click()")
    tab.arrive("/pointer")
    handle = json.loads(tab.ask("document.getElementById('handle').innerText"))
    assert handle["key"] == "history/short/history.jsonl"
    tab.ask("document.querySelector('.note a').click()")
    tab.wait("location.pathname === '/s/short' && document.querySelector(':target') !== null", 20)
    assert "One file" in tab.ask("document.querySelector(':target').innerText")


def test_it_works_without_scripts(tab: Tab, page: tuple[str, str]) -> None:
    home, token = page
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    tab.send("Page.navigate", url=f"{home}/s/long?token={token}")
    tab.wait("document.querySelectorAll('article').length >= 100", 20)
    url = tab.ask("document.querySelector('.more a').href")
    tab.send("Page.navigate", url=url)
    tab.wait("document.getElementById('t150') !== null", 20)


def test_a_session_of_this_browser_lasts_no_longer_than_the_page(look: Callable[[str], Tab]) -> None:
    tab = look("/")
    assert tab.ask("document.cookie") == ""  # no script can read it
    assert tab.ask("localStorage.length + sessionStorage.length") == 0
