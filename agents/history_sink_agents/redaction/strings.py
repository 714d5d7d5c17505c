"""The strings of a JSON line: what each says, and the key that it goes by."""

import json
import re
from collections.abc import Callable, Mapping
from itertools import repeat
from json import decoder
from typing import Any, TypeAlias

LEAST_CHARACTERS = 8
"""A shorter string is no secret that could be told from a word."""

_scanstring: Callable[[str, int, bool], tuple[str, int]] = decoder.scanstring  # type: ignore[attr-defined]  # public in json since 2.6, unknown to typeshed

SHORT_CHARACTERS = 128
"""Keys and shorter values come again and again."""

_NEXT = re.compile(r'["{}\[\]]')
_COLON = re.compile(r"[ \t\r\n]*:")
_NAMES = frozenset({"name", "Name", "key", "Key", "variable", "header"})
_VALUES = frozenset({"value", "Value"})

Place: TypeAlias = tuple[str, str, bool]
"""A key, a text that goes by it, and whether the text is a key itself."""

Change = Callable[[str, str, bool], str]
"""Takes a key, a text, and whether the text is a key itself; returns what is to stand in the text's place."""


def redact_json(line: str, change: Change, short: Change | None = None) -> str | None:
    """A JSON text with each string that `change` makes another of; all between the strings keeps its bytes.

    Elements of a list go by the list's key. In an object such as ``{"name": "DB_PASSWORD", "value": "…"}`` the value
    goes by the name beside it, or else by the object's key. `short`, where there is one, is asked in place of `change`
    for short texts. None: it is no JSON.
    """
    try:
        value = json.loads(line, parse_int=float, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    changes = _find_changes(value, change, short or change, SHORT_CHARACTERS if short else 0)
    return _rewrite(line, changes) if changes else line


def is_json(text: str) -> bool:
    """Whether it can be read as JSON."""
    try:
        json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return False
    return True


def _find_changes(value: Any, change: Change, short: Change, short_characters: int) -> dict[Place, str]:
    """What becomes of the strings of a value whose objects are tuples of pairs; of those only that change."""
    changes: dict[Place, str] = {}
    rest: list[tuple[str, Any]] = [("", [value])]  # lists and objects, each by the key that it goes by
    while rest:
        around, value = rest.pop()
        label = ""  # what a "name" said in this object
        for key, each in value if type(value) is tuple else zip(repeat(None), value):
            if key is not None and len(key) >= LEAST_CHARACTERS:
                after = (short if len(key) <= short_characters else change)(around, key, True)
                if after is not key and after != key:
                    changes[around, key, True] = after
            if type(each) is str:
                label = each if key in _NAMES else label
                if len(each) >= LEAST_CHARACTERS:
                    named = around if key is None else (label or around) if key in _VALUES else key
                    after = (short if len(each) <= short_characters else change)(named, each, False)
                    if after is not each and after != each:
                        changes[named, each, False] = after
            elif type(each) in (list, tuple):
                rest.append((around if key is None else key, each))
                label = ""
    return changes


def _rewrite(line: str, changes: Mapping[Place, str]) -> str:
    parts: list[str] = []
    done = 0
    around, lists = [""], [True]  # the keys of the objects and lists around, and which are lists
    key = label = ""  # of the last pair; what a "name" said in this object
    at = 0
    while token := _NEXT.search(line, at):
        start, at = token.start(), token.end()
        if (sign := line[start]) != '"':
            if sign in "{[":
                around.append(around[-1] if lists[-1] else key)
                lists.append(sign == "[")
            else:
                around.pop()
                lists.pop()
            key, label = around[-1], ""
            continue
        text, at = _scanstring(line, at, False)
        is_key = line[at : at + 1] == ":" or (not lists[-1] and _COLON.match(line, at) is not None)
        named = around[-1] if is_key else key  # in a list `key` is the list's own
        if is_key:
            key = text
        elif not lists[-1]:
            label = text if key in _NAMES else label
            named = (label or around[-1]) if key in _VALUES else key
        if (after := changes.get((named, text, is_key))) is not None:
            parts += (line[done:start], write_string(after))
            done = at
    return "".join((*parts, line[done:]))


def write_string(text: str) -> str:
    """As the library writes strings: nothing escaped that need not be. Half a surrogate pair stays an escape."""
    written = json.dumps(text, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return written
