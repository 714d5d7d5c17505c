"""Did the promises hold? Compares what producers were told with what the archive gives back. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from history_sink.protocol.chain import START, Junction, shorten, split_lines, walk
from torture.journal import Record, Told
from torture.script import Script


@dataclass(frozen=True)
class Content:
    """One readable history of a session: a log, or what a stray addresses. `body` is all of its bytes."""

    key: str
    branch: str | None
    is_stray: bool
    body: bytes


@dataclass(frozen=True)
class Archive:
    """What was read of one session. `faults` tells of what could not be read, with the reason.

    `loose` are the chains (16 digits) behind objects that no log and no stray holds: durable, and not readable.
    """

    contents: tuple[Content, ...] = ()
    loose: frozenset[str] = frozenset()
    faults: tuple[str, ...] = ()


@dataclass
class Verdict:
    """Each list names its findings, a line each; all empty is what was promised.

    A save is stranded if it is in the store, but cannot be read: what it continues has never come, or went elsewhere.
    """

    sessions: int = 0
    saves: int = 0
    lost: list[str] = field(default_factory=list)
    stranded: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    false_strays: list[str] = field(default_factory=list)
    false_branches: list[str] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """All of them, each with its kind."""
        kinds = ("lost", "stranded", "differing", "false_strays", "false_branches")
        return [f"{kind.replace('_', ' ')}: {finding}" for kind in kinds for finding in getattr(self, kind)]


Scripts = Mapping[tuple[str, str], Script]
"""By session and writer."""


def judge(scripts: Scripts, records: Iterable[Record], archives: Mapping[str, Archive]) -> Verdict:
    """`records` are all journals' in order; `archives` is all that is in the store, by session."""
    by_session: dict[str, list[Record]] = {}
    for record in records:
        by_session.setdefault(record.session, []).append(record)
    verdict = Verdict(len(by_session))
    for session in archives.keys() - by_session.keys():
        verdict.differing.append(f"session {session}: nobody has saved it")
    for session, known in by_session.items():
        _judge_session(verdict, session, scripts, known, archives.get(session, Archive()))
    return verdict


def _judge_session(
    verdict: Verdict, session: str, scripts: Scripts, records: Sequence[Record], archive: Archive
) -> None:
    last = {record.writer: record.step for record in sorted(records, key=lambda record: record.step)}
    written = {writer: scripts[session, writer] for writer in last}
    is_linear = all(script.is_linear for script in written.values())
    intended = {
        here.chain
        for writer, script in written.items()
        for version in _walk_versions(script, last[writer])
        for here in version
    }
    held = {content.key: [*walk(START, split_lines(content.body))] for content in archive.contents}
    chains = {shorten(here.chain) for line in held.values() for here in line}
    for told in records:
        if isinstance(told, Told) and told.offset:
            verdict.saves += told.messages > 0
            if told.chain not in chains:
                (verdict.stranded if told.chain in archive.loose else verdict.lost).append(
                    f"session {session} of {told.writer}, step {told.step}, {told.state} at {told.at:.2f}:"
                    f" bytes 0 to {told.offset}, chain {told.chain}, branch {told.branch}"
                )
    verdict.differing += [f"session {session}: {fault}" for fault in archive.faults]
    for content in archive.contents:
        line = held[content.key]
        if not line or not content.body.endswith(b"\n") or line[-1].chain not in intended:
            verdict.differing.append(f"session {session}: {content.key}: {len(content.body)} bytes that nobody saved")
        elif content.is_stray and is_linear:
            verdict.false_strays.append(f"session {session}: {content.key}")
        elif content.branch and is_linear:
            verdict.false_branches.append(f"session {session}: {content.key}")


def _walk_versions(script: Script, last: int) -> Iterable[list[Junction]]:
    """The junctions of each version, up to `last`."""
    lines: Sequence[bytes] = ()
    junctions: list[Junction] = []
    for version in script.versions[: last + 1]:
        pairs = enumerate(zip(lines, version, strict=False))
        common = next((at for at, (old, new) in pairs if old != new), min(len(lines), len(version)))
        start = junctions[common - 1] if common else START
        junctions = [*junctions[:common], *walk(start, version[common:])]
        lines = version
        yield junctions
