"""What a session's history is at each step: cut from a real transcript, grown, undone and redone, all by the seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from stack.demo.transcript import BUNDLED, read_lines

_OTHERS = Path(__file__).parent.parent.parent / "shared" / "transcripts"
_GROWTH = (1, 1, 1, 1, 2, 2, 3, 5, 12)  # messages a step
_MOST_UNDONE = 6

History = tuple[bytes, ...]


@dataclass(frozen=True)
class Script:
    """All versions of one session's history, oldest first. `is_linear`: each extends the one before."""

    session: str
    versions: tuple[History, ...]
    is_linear: bool


@lru_cache
def transcripts() -> tuple[tuple[bytes, ...], ...]:
    """The lines of the bundled transcript, and of those beside the repository where there are any."""
    return tuple(tuple(read_lines(path)) for path in (BUNDLED, *sorted(_OTHERS.glob("*.jsonl"))))


@lru_cache(maxsize=4096)
def write_script(seed: int, session: str) -> Script:
    """The same for the same seed and session (and the same transcripts)."""
    draw = Random(f"{seed} {session}")
    source = draw.choice(transcripts())
    is_linear = draw.random() < 0.6
    versions: list[History] = [(_mark(source[0], session, 0),)]
    at = draw.randrange(len(source))
    for step in range(draw.randrange(15, 70)):
        history = versions[-1]
        turn = 1.0 if is_linear else draw.random()
        if turn < 0.08 and len(history) > 1:
            history = history[: -draw.randrange(1, min(_MOST_UNDONE, len(history) - 1) + 1)]
            # Half of the undos are saved before anything follows.
            if draw.random() < 0.5:
                history = (*history, _mark(source[at % len(source)], session, step + 1))
        elif turn < 0.11:
            history = draw.choice(versions)
        else:
            count = draw.choice(_GROWTH)
            history += _take(source, at, count)
            at += count
        versions.append(history)
    return Script(session, tuple(versions), is_linear)


def _take(source: Sequence[bytes], at: int, count: int) -> History:
    return tuple(source[number % len(source)] for number in range(at, at + count))


def _mark(line: bytes, session: str, step: int) -> bytes:
    """The line as an author would write it in this session and step alone: its chain is like no other."""
    return b'{"torture":' + json.dumps(f"{session} {step}").encode() + b"," + line.lstrip()[1:]
