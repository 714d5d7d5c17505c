"""JSON objects as the lines of a log, and back."""

import json
import logging
from typing import Any

log = logging.getLogger(__name__)


def write_object(value: object, what: str) -> bytes:
    """A JSON object as one line. Half a surrogate pair, as of a text that was cut, stays what it is, as an escape.

    Raises:
        ValueError: It is no JSON object; the text has `what` and nothing of the value.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{what} is a JSON object, not {type(value).__name__}")
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"{what} is not what JSON can carry") from None


def read_objects(name: str, data: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a log's lines. What is none was written by somebody else; it is left out, and logged."""
    found, others = [], 0
    for line in data.split(b"\n"):
        if not line:
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            found.append(value)
        else:
            others += 1
    if others:
        log.warning("history-sink: %s: %d lines are no JSON objects, and are left out", name, others)
    return found
