"""`python -m stack.view_pictures`: the page of `history-sink view`, as the README and docs/browse.md show it.

Needs Debian's Chromium. What is to be seen is the demo's transcript, which is made up, in an archive in memory.
"""

import argparse
import json
import sys
from pathlib import Path

from history_sink.testing import MemorySink
from stack.demo.transcript import BUNDLED, read_lines
from stack.devtools import Tab, open_tab
from stack.page import serve_page
from stack.processes import NotReady

_SESSION = "tidevand"
_SHOWN, _UNDONE = 85, 212
"""The turn in the first picture, and the one that the user has undone. Their letters are in any machine's fonts."""
_WIDTH, _HEIGHT = 1280, 860


_OTHERWISE = (
    {"role": "user", "content": "Leave the fit alone for now. Which of our tests never fails, whatever one breaks?"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "text": "Break one thing at a time, and see which tests stay green."},
            {"type": "text", "text": "I break each function in turn, and run the tests."},
            {
                "type": "tool_call",
                "id": "b1",
                "name": "run",
                "arguments": '{"command": "python break_each.py --quiet"}',
            },
        ],
    },
    {
        "role": "tool",
        "content": [{"type": "tool_result", "tool_call_id": "b1", "content": "test_moon.py: 0 of 9 seen"}],
    },
    {
        "role": "assistant",
        "content": "test_moon.py: it compares a phase with itself. The other files see each breakage.",
    },
    {"role": "user", "content": "Good. Compare with the almanac of 2019 instead."},
)


def main() -> int:
    """1 if there is no Chromium, or no picture."""
    parser = argparse.ArgumentParser(prog="python -m stack.view_pictures", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=Path("docs"))
    directory: Path = parser.parse_args().directory
    try:
        with fill_archive() as sink, serve_page(sink) as (home, token), open_tab() as tab:
            tab.show(_WIDTH, _HEIGHT)
            tab.go(f"{home}/?token={token}")
            take(tab, home, directory)
    except NotReady as error:
        print(f"view_pictures: {error}", file=sys.stderr)
        return 1
    return 0


def fill_archive() -> MemorySink:
    """A session with a branch: its user has undone the last turns, and asked for something else."""
    lines = read_lines(BUNDLED)
    sink = MemorySink()
    sink.save(_SESSION, lines)
    sink.save(_SESSION, [*lines[:_UNDONE], *map(json.dumps, _OTHERWISE)])
    return sink


def take(tab: Tab, home: str, directory: Path) -> None:
    """The pictures, each with its size. Raises NotReady."""
    tab.go(f"{home}/s/{_SESSION}?turn={_SHOWN}")
    tab.ask("document.querySelector('details.tool_result').open = true")
    save(tab, directory / "view-session.png")
    tab.ask("document.querySelector('a[href*=beside]').click()")
    tab.arrive(f"/s/{_SESSION}/beside")
    save(tab, directory / "view-branches.png")


def save(tab: Tab, picture: Path) -> None:
    """One picture, of what is to be seen now."""
    tab.photograph(picture)
    print(f"{picture}: {picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
