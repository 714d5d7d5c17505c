"""What a session's history is at each step: cut from a real transcript, grown, undone, edited, by the seed alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from random import Random

from stack.demo.transcript import BUNDLED, read_lines

SHARED = "shared"
"""Sessions with this name are saved by all producers at once: half have one history for all, half part ways."""

_OTHERS = Path(__file__).parent.parent.parent / "shared" / "transcripts"
_GROWTH = (1, 1, 1, 1, 2, 2, 3, 5, 12)  # messages a step
_MOST_UNDONE = 6
_EDITED_AMONG = 32  # the library sees an edit in place among so many last messages with the next save

History = tuple[bytes, ...]


@dataclass(frozen=True)
class Script:
    """All versions of one writer's history of a session, oldest first.

    `is_linear`: each extends the one before, and no other writer goes another way.
    """

    session: str
    versions: tuple[History, ...]
    is_linear: bool


@lru_cache
def transcripts() -> tuple[tuple[bytes, ...], ...]:
    """The lines of the bundled transcript, and of those beside the repository where there are any."""
    return tuple(tuple(read_lines(path)) for path in (BUNDLED, *sorted(_OTHERS.glob("*.jsonl"))))


@lru_cache(maxsize=4096)
def write_script(seed: int, session: str, writer: str) -> Script:
    """The same for the same seed, session and writer (and the same transcripts)."""
    draw = Random(f"{seed} {session}")
    source = draw.choice(transcripts())
    start, steps = draw.randrange(len(source)), draw.randrange(15, 70)
    is_linear = draw.random() < (0.5 if session.startswith(SHARED) else 0.6)
    mark = partial(_mark, source[0], session)
    grow = partial(_grow, source, start)
    versions: list[History] = [(mark(0),)]
    if is_linear:
        common = steps
    elif session.startswith(SHARED):
        common = draw.randrange(steps)
    else:
        common = 0
    for _ in range(common):
        versions.append(grow(versions[-1], draw))
    if not is_linear:
        _part(versions, Random(f"{seed} {session} {writer}"), steps - common, grow, partial(mark, writer=writer))
    return Script(session, tuple(versions), is_linear)


def _part(
    versions: list[History], draw: Random, steps: int, grow: Callable[..., History], mark: Callable[..., bytes]
) -> None:
    """Go on as nobody else does: with undos, redos and edits."""
    versions.append((*versions[-1], mark(len(versions))))
    for _ in range(steps):
        history, step = versions[-1], len(versions)
        turn = draw.random()
        if turn < 0.08 and len(history) > 1:
            history = history[: -draw.randrange(1, min(_MOST_UNDONE, len(history) - 1) + 1)]
            # Half of the undos are saved before anything follows.
            if draw.random() < 0.5:
                history = (*history, mark(step))
        elif turn < 0.11:
            history = draw.choice(versions)
        elif turn < 0.16:
            at = len(history) - 1 - draw.randrange(min(_EDITED_AMONG, len(history)))
            history = (*history[:at], mark(step), *history[at + 1 :])
        else:
            history = grow(history, draw)
        versions.append(history)


def _grow(source: Sequence[bytes], start: int, history: History, draw: Random) -> History:
    at = start + len(history)
    return history + tuple(source[number % len(source)] for number in range(at, at + draw.choice(_GROWTH)))


def _mark(line: bytes, session: str, step: int, writer: str = "") -> bytes:
    """The line as an author would write it in this session and step alone: its chain is like no other."""
    return b'{"torture":' + json.dumps(f"{session} {step} {writer}").encode() + b"," + line.lstrip()[1:]
