"""The lines of transcripts."""

from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole lines of one file, each with its newline, and how many bytes follow the last newline.

    `is_array`: it begins as a JSON array does, and so is no JSONL.
    """

    lines: tuple[bytes, ...]
    unfinished_bytes: int = 0
    is_array: bool = False


def read_transcript(stream: BinaryIO) -> Transcript:
    """All lines of `stream` as they are, blank ones too. Only 0x0A ends a line.

    An agent is still writing what follows the last newline, perhaps in the middle of a character. If it were archived
    now, the rest of it would be an edit of the history later.
    """
    lines = [*stream]
    is_array = bool(lines) and lines[0].lstrip(b" \t\r").startswith(b"[")
    unfinished = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    return Transcript(tuple(lines), len(unfinished), is_array)


_MARKS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def describe_mark(lines: tuple[bytes, ...]) -> str | None:
    """What a byte order mark in front of them means; None without one. Windows' programs write it."""
    for mark, encoding in _MARKS:
        if lines and lines[0].startswith(mark):
            return (
                f"begins with the byte order mark (BOM) of {encoding}: it is part of line 1, so that is no JSON object"
            )
    return None
