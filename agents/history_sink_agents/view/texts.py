"""Texts as a page may show them: escaped, what cannot be seen made visible, cut where they are long."""

import json
import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

_UNSEEN = re.compile(
    "([\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f])\\1*"
)
"""Controls: those that turn the direction of what follows, end lines, hide text, or have no picture. And halves of a
surrogate pair, as a call's arguments have them where an agent has cut a text: no page can be sent with one."""

_SUMMARY_CHARACTERS = 140


def show(text: str) -> Markup:
    """A text for a page: escaped, and unseen characters by their numbers, such as U+202E, or U+0000 x 4096."""
    return Markup(_UNSEEN.sub(_name_unseen, str(escape(text))))  # what is put in has no sign of HTML but its own


def _name_unseen(found: re.Match[str]) -> str:
    times = f" x {len(found[0])}" if len(found[0]) > 1 else ""
    return f'<span class="unseen">U+{ord(found[1]):04X}{times}</span>'


def summarize(text: str) -> str:
    """A text's first line that has something, cut."""
    line = next((line.strip() for line in text[:4000].splitlines() if line.strip()), "")
    return line if len(line) <= _SUMMARY_CHARACTERS else line[: _SUMMARY_CHARACTERS - 1] + "…"


def read_fields(arguments: str) -> list[tuple[str, str]]:
    """A call's arguments by their names; none where they are no JSON object."""
    try:
        value = json.loads(arguments)
        items = value.items() if isinstance(value, dict) else ()
        return [(name, each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)) for name, each in items]
    except (ValueError, RecursionError):
        return []


def indent_json(text: str) -> str:
    """A JSON text on many lines; another text as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text


def show_time(seconds: float | None) -> str:
    """A Unix time as people write it, in UTC; empty where there is none."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""
