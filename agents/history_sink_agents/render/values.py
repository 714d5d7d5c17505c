"""Values of a record that may be of any type: texts, times, JSON."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_LATEST_SECONDS = 253_402_300_800  # the year 10000: no calendar goes further
_MILLISECONDS_FROM = 100_000_000_000  # as seconds that is the year 5138


def clean(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no file and no page could hold."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def pick_text(record: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is a text that is not empty, else an empty one."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value:
            return clean(value)
    return ""


def pick_dict(record: Mapping[str, Any], *names: str) -> dict[str, Any] | None:
    """The first of these fields that is an object."""
    return next((value for name in names if isinstance(value := record.get(name), dict)), None)


def write_value(value: Any) -> str:
    """A text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return clean(value)
    return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def find_time(*records: Any) -> float | None:
    """When something was said, in Unix seconds, by the first of these records that tells."""
    for record in records:
        if isinstance(record, Mapping):
            times = record.get("time")
            inner = times if isinstance(times, Mapping) else {}
            names = ("timestamp", "created_at", "createdAt", "time", "startTime")
            for value in (*map(record.get, names), inner.get("created"), inner.get("start")):
                if (seconds := _read_time(value)) is not None:
                    return seconds
    return None


def _read_time(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return seconds if 0 < seconds < _LATEST_SECONDS else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not 0 < value < _LATEST_SECONDS * 1000:  # NaN and the infinities, too
        return None
    return value / 1000 if value >= _MILLISECONDS_FROM else float(value)
