"""Where in a line a rule has replaced something: paths such as ``message.content[0].text``."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from history_sink_agents.redaction.placeholders import count
from history_sink_agents.redaction.randomness import is_random

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def find_places(before: bytes, after: bytes) -> list[tuple[str, Mapping[str, int]]]:
    """Each string that differs, and what was replaced in it, by rule. A line that is no JSON object is one place, "".

    A key is shown as ``*`` if it is no short identifier, as it may be content; and if it looks random or holds a secret
    itself.
    """
    try:
        pairs = [*_walk("", json.loads(before), json.loads(after))]
    except (ValueError, RecursionError):
        pairs = [("", before.decode("utf-8", "replace"), after.decode("utf-8", "replace"))]
    return [(path, found) for path, old, new in pairs if (found := count(new) - count(old))]


def _walk(path: str, old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(old, dict) and isinstance(new, dict) and len(old) == len(new):
        for (key, each), (renamed, other) in zip(old.items(), new.items(), strict=True):
            if key != renamed:
                yield f"{path}.*".removeprefix("."), key, renamed
            shown = key if key == renamed and _PLAIN.fullmatch(key) and not is_random(key) else "*"
            yield from _walk(f"{path}.{shown}".removeprefix("."), each, other)
    elif isinstance(old, list) and isinstance(new, list):
        for number, (each, other) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{path}[{number}]", each, other)
    elif isinstance(old, str) and isinstance(new, str) and old != new:
        yield path, old, new
