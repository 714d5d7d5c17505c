"""The strings of a JSON line: what each says, and the key that it goes by."""

import json
import re
from collections.abc import Callable
from json import decoder

LEAST_CHARACTERS = 8
"""A shorter string is no secret that could be told from a word."""

_scanstring: Callable[[str, int, bool], tuple[str, int]] = decoder.scanstring  # type: ignore[attr-defined]  # public in json since 2.6, unknown to typeshed

SHORT_CHARACTERS = 64
"""Keys and shorter values come again and again."""

_NEXT = re.compile(r'["{}\[\]]')
_COLON = re.compile(r"[ \t\r\n]*:")
_NAMES = frozenset({"name", "Name", "key", "Key", "variable", "header"})
_VALUES = frozenset({"value", "Value"})

Change = Callable[[str, str, bool], str]
"""Takes a key, a text, and whether the text is a key itself; returns what is to stand in the text's place."""


def rewrite(line: str, change: Change, short: Change | None = None) -> str:
    """A valid JSON text with each string that `change` makes another of; all between the strings keeps its bytes.

    Elements of a list go by the list's key. In an object such as ``{"name": "DB_PASSWORD", "value": "…"}`` the value
    goes by the name beside it, or else by the object's key. `short`, where there is one, is asked in place of `change`
    for short texts.
    """
    short_characters = SHORT_CHARACTERS if short else 0
    short = short or change
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
        if len(text) >= LEAST_CHARACTERS:
            after = (short if len(text) <= short_characters else change)(named, text, is_key)
            if after is not text and after != text:
                parts += (line[done:start], write_string(after))
                done = at
    return "".join((*parts, line[done:])) if parts else line


def write_string(text: str) -> str:
    """As the library writes strings: nothing escaped that need not be. Half a surrogate pair stays an escape."""
    written = json.dumps(text, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return written
