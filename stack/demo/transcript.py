"""Which transcript the demo shows, and its lines."""

import re
from pathlib import Path

from stack.demo import DemoFailed

BUNDLED = Path(__file__).with_name("transcript.jsonl")


def read_lines(path: Path) -> list[bytes]:
    """The lines of a JSONL file, each with its newline. Raises DemoFailed for a file that has none."""
    try:
        with path.open("rb") as stream:
            lines = stream.readlines()
    except OSError as error:
        raise DemoFailed(f"{path}: {error.strerror}") from None
    if not lines:
        raise DemoFailed(f"{path} holds no message")
    return [line if line.endswith(b"\n") else line + b"\n" for line in lines]


def name_session(stem: str) -> str:
    """A session id from a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip(".")[:200] or "demo"
