"""The sidecar: what is known of a history's pages, as plain JSON that is kept beside the history.

It has summaries that somebody has given, so it is as secret as the history.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from history_sink import Malformed, PointerHandle
from history_sink_agents.pages.content import KEY_DIGITS
from history_sink_agents.pages.kinds import KINDS, LEVELS
from history_sink_agents.pages.page import Page

VERSION = 1

_KEY = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The pages of a history in its order, and `retired` ones, whose messages an undo or an edit has taken away.

    `refetches` counts the pages that were fetched back, `refetched_bytes` their bytes.
    """

    pages: tuple[Page, ...] = ()
    retired: tuple[Page, ...] = ()
    refetches: int = 0
    refetched_bytes: int = 0

    def encode(self) -> dict[str, Any]:
        """A plain dict for JSON."""
        return {
            "version": VERSION,
            "pages": [*map(_encode_page, self.pages)],
            "retired": [*map(_encode_page, self.retired)],
            "refetches": self.refetches,
            "refetched_bytes": self.refetched_bytes,
        }

    @classmethod
    def decode(cls, value: object) -> "Sidecar":
        """Read the plain dict, or its JSON. Fields that are unknown are ignored. Raises `Malformed`."""
        if isinstance(value, (str, bytes)):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise Malformed("a sidecar is a JSON object") from None
        if not isinstance(value, Mapping):
            raise Malformed(f"a sidecar is an object, not {type(value).__name__}")
        if value.get("version") != VERSION:
            raise Malformed(f"a sidecar has version {VERSION}, and not {str(value.get('version'))[:20]}")
        pages, retired = (tuple(_decode_pages(name, value.get(name, []))) for name in ("pages", "retired"))
        counts = [value.get(name, 0) for name in ("refetches", "refetched_bytes")]
        if any(type(count) is not int or count < 0 for count in counts):
            raise Malformed("a sidecar's refetches and refetched_bytes are numbers")
        return cls(pages, retired, *counts)


def _encode_page(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = {"key": page.key, "kind": page.kind, "level": page.level, "pinned": page.is_pinned}
    if page.text is not None:
        found["text"] = page.text
    if page.handle is not None:
        found["handle"] = page.handle.encode()
    if page.shown:
        found["shown"] = dict(page.shown)
    return found


def _decode_pages(name: str, value: object) -> Iterable[Page]:
    if not isinstance(value, list):
        raise Malformed(f"a sidecar's {name} is a list")
    for number, item in enumerate(value):
        try:
            yield _decode_page(item)
        except Malformed as error:
            raise Malformed(f"{name}, {number}: {error}") from None


def _decode_page(value: object) -> Page:
    if not isinstance(value, Mapping):
        raise Malformed("a page is an object")
    key, kind, level, pinned = (value.get(name) for name in ("key", "kind", "level", "pinned"))
    if not _is_key(key):
        raise Malformed(f"a page's key is {KEY_DIGITS} hex digits")
    if kind not in KINDS:
        raise Malformed(f"a page's kind is one of {', '.join(KINDS)}")
    if level not in LEVELS:
        raise Malformed(f"a page's level is one of {', '.join(LEVELS)}")
    text, shown = value.get("text"), value.get("shown", {})
    if type(pinned) is not bool or not (text is None or isinstance(text, str)):
        raise Malformed("a page's pinned is true or false, and its text a text")
    if not isinstance(shown, Mapping) or not all(_is_key(each) and shown[each] in LEVELS for each in shown):
        raise Malformed("a page's shown is an object of levels by keys")
    handle = None if value.get("handle") is None else PointerHandle.decode(value["handle"])
    if level == "pointer" and handle is None:
        raise Malformed("a page at pointer has a handle")
    return Page(str(key), kind, level, pinned, text, handle, dict(shown))


def _is_key(value: object) -> bool:
    return isinstance(value, str) and _KEY.fullmatch(value) is not None
