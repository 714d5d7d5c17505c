"""The lines of transcripts."""

from dataclasses import dataclass
from typing import BinaryIO

_BLANK = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Transcript:
    """The lines of one file, each with its newline, and the numbers (from 1) of its blank lines, which are left out."""

    lines: tuple[bytes, ...]
    blanks: tuple[int, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.lines))

    def line_number(self, index: int) -> int:
        """Where in the file ``lines[index]`` stands, from 1."""
        number = index + 1
        for blank in self.blanks:
            if blank > number:
                break
            number += 1
        return number


def read_transcript(stream: BinaryIO) -> Transcript:
    """All lines of `stream`. The last one counts with or without its newline.

    A blank line is no message, and no damage either: editors and some vendors leave one at the end. Only 0x0A ends a
    line, so a carriage return stays a part of it.
    """
    lines: list[bytes] = []
    blanks: list[int] = []
    for number, line in enumerate(stream, 1):
        if line.strip(_BLANK):
            lines.append(line if line.endswith(b"\n") else line + b"\n")
        else:
            blanks.append(number)
    return Transcript(tuple(lines), tuple(blanks))


_MARKS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def describe_mark(lines: tuple[bytes, ...]) -> str | None:
    """What a byte order mark in front of them means; None without one. Windows' programs write it."""
    for mark, encoding in _MARKS:
        if lines and lines[0].startswith(mark):
            return (
                f"begins with the byte order mark (BOM) of {encoding}: it is part of line 1, so that is no JSON object"
            )
    return None
