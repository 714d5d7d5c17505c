"""The lines that go to the broker as one upload, and what was done to messages until they were these lines."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from history_sink.protocol.chain import Junction
from history_sink.protocol.contract import SAVE_BYTES
from history_sink.protocol.lines import Line
from history_sink.protocol.upload import Upload


@dataclass(frozen=True, slots=True)
class CountedUpload:
    """One upload. `replaced` values in its lines were replaced, and `raw` of its lines are no JSON object.

    `filtered`: what filters have done to its lines, and how often.
    """

    upload: Upload
    replaced: int
    raw: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)


def gather(branch: str | None, start: Junction, lines: Iterable[Line], most: int | None) -> CountedUpload | None:
    """The first of these lines as an upload that begins at `start`: at most `most` of them, and at most `SAVE_BYTES`.

    A larger line is an upload by itself. None: there are no lines.
    """
    taken: list[bytes] = []
    size = replaced = raw = 0
    filtered: Counter[str] = Counter()
    for line in lines:
        if len(taken) == most or (taken and size + len(line.data) > SAVE_BYTES):
            break
        taken.append(line.data)
        size += len(line.data)
        replaced += line.replaced
        raw += line.raw
        if line.filtered:
            filtered.update(line.filtered)
    if not taken:
        return None
    return CountedUpload(Upload(branch, start, tuple(taken)), replaced, raw, filtered)
