"""What the objects of a log mean, worked out from the whole content: slow, simple, and independent of the code."""

from collections.abc import Iterable
from functools import lru_cache

from history_sink.protocol.chain import ORIGIN, advance, shorten, split_lines
from history_sink_worker.archive.names import Log, TailName, parse_tail
from history_sink_worker.store import Blob

LOG = Log("history/", "s")

Objects = dict[str, Blob]
Place = tuple[int, str]


class Violation(AssertionError):
    """A promise that did not hold."""


def chain_of(lines: Iterable[bytes], chain: bytes = ORIGIN) -> bytes:
    for line in lines:
        chain = advance(chain, line)
    return chain


def junctions(lines: Iterable[bytes], chain: bytes = ORIGIN, offset: int = 0) -> list[tuple[int, bytes]]:
    """All junctions of a history, its start included."""
    found = [(offset, chain)]
    for line in lines:
        offset, chain = offset + len(line), advance(chain, line)
        found.append((offset, chain))
    return found


def places(lines: Iterable[bytes]) -> set[Place]:
    return {(offset, shorten(chain)) for offset, chain in junctions(lines)}


def tails(objects: Objects, log: Log = LOG) -> list[tuple[TailName, bytes]]:
    found = ((_parse(key, log.root), objects[key].body) for key in sorted(objects))
    return [(name, body) for name, body in found if name]


@lru_cache(10_000)  # the same few names, after every write
def _parse(key: str, root: str) -> TailName | None:
    return parse_tail(key.removeprefix(root))


def main_line(objects: Objects, log: Log = LOG) -> bytes:
    """The base, then again and again the extent at (end, chain)."""
    if log.base not in objects:
        return b""
    body = objects[log.base].body
    chain = chain_of(split_lines(body))
    extents = {(name.start, name.before): held for name, held in tails(objects, log) if name.kind == "extent"}
    while held := extents.get((len(body), shorten(chain))):
        chain = chain_of(split_lines(held), chain)
        body += held
    return body


def readable(objects: Objects, log: Log = LOG) -> set[Place]:
    """All junctions that can be reached from the start by the main line and strays: what readers can be given."""
    pieces = [(name.start, name.before, held) for name, held in tails(objects, log) if name.kind == "stray"]
    pieces.append((0, shorten(ORIGIN), main_line(objects, log)))
    found = {(0, shorten(ORIGIN)): ORIGIN}
    while True:
        ready = [piece for piece in pieces if (piece[0], piece[1]) in found]
        if not ready:
            return set(found)
        pieces = [piece for piece in pieces if piece not in ready]
        for start, before, held in ready:
            along = junctions(split_lines(held), found[start, before], start)
            found.update({(offset, shorten(chain)): chain for offset, chain in along})
