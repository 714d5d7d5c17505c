"""Session ids for files: of the alphabet that the archive takes, and a different one for each file.

A session's id has two parts or three, with a dot between them: ``<agent>.<session>`` and
``<agent>.<session>.<part>``. None of them has a dot in it. The manifest says which file an id stands for.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256

from history_sink_agents.formats.format import Found

MANIFEST = "manifest"
"""The part under which a session's manifest is archived. No file has this part."""

_LONGEST, _KEPT = 80, 60
_PLAIN = re.compile(rf"[A-Za-z0-9_-]{{1,{_LONGEST}}}")
_HASHED = re.compile(r".*(_[0-9a-f]{16}|at-[0-9a-f]{8})")


def name_part(text: str) -> str:
    """`text` where it may stand in an id as it is; else what is legal of it, and a hash of all of it."""
    if _PLAIN.fullmatch(text) and not _HASHED.fullmatch(text) and text != MANIFEST:
        return text
    digits = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', text)[:_KEPT]}_{digits}"


def name_session(agent: str, session: str, part: str = "") -> str:
    """The id in the archive of a session's main file, or of a part of it."""
    return ".".join([agent, name_part(session), *([name_part(part)] if part else [])])


def name_manifest(session: str) -> str:
    """The id of the log that holds the manifest of the session which `session` is, or is a part of."""
    return f"{name_whole(session)}.{MANIFEST}"


def name_whole(session: str) -> str:
    """The id without its part: what all files of one session have in common."""
    return ".".join(session.split(".")[:2])


def distinguish(files: Iterable[Found]) -> Iterator[Found]:
    """`files`, of which those that would have one id have different ones.

    The same session may lie in two places: a copied project, an archive folder. They are streams of their own. The
    first by path keeps the plain id.
    """
    same: dict[str, list[Found]] = defaultdict(list)
    for file in files:
        same[file.session].append(file)
    for group in same.values():
        group.sort(key=lambda file: file.relative)
        yield group[0]
        for file in group[1:]:
            digits = sha256(file.relative.encode("utf-8", "surrogateescape")).hexdigest()[:8]
            joint = "-" if file.session.count(".") > 1 else "."
            yield replace(file, session=f"{file.session}{joint}at-{digits}")
