"""`export`: a session's turns into a folder, a file each; only what is new is read and written."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from history_sink import HistorySink, Mismatch
from history_sink_agents.browse import manifest as manifests
from history_sink_agents.browse.folder import hold, measure_files, write_file
from history_sink_agents.browse.log import Log, find_log, read_lines
from history_sink_agents.browse.manifest import Entry, ForeignFile, Manifest, hash_line, make_entry
from history_sink_agents.render import Turn, name_turn, render, speakers_of, write_markdown
from history_sink_agents.sealing.showing import open_for_show

_NEW = ".history-sink-manifest.new"
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Exported:
    """What is in the folder now: so many turns of a log's first `bytes` bytes, of which `written` were written now."""

    session: str
    branch: str | None
    key: str
    directory: Path
    turns: int
    written: int
    bytes: int
    files: tuple[str, ...]


def export(
    sink: HistorySink,
    session: str,
    directory: Path,
    *,
    branch: str | None = None,
    timeout_seconds: float = 10.0,
    advance: Callable[[int], None] = lambda size_bytes: None,
) -> Exported:
    """Write each turn of a session into a file of its own, as far as the store has the session now.

    The files are ``turn-0007-user.md``, and ``manifest.jsonl`` says which bytes of the log each of them is. Where the
    folder has the beginning of the log, only what is new is read and written, and what was deleted or changed. Other
    files stay as they are. An export that was ended in the middle goes on when it is called again.

    Args:
        sink: Where the session is asked for.
        session: The session.
        directory: The folder, for one log alone. It is made if need be, readable by its owner alone.
        branch: A branch as `status` names it; None: the main log; ``"latest"``: the log that was written last.
        timeout_seconds: How long to wait for each answer of a worker.
        advance: Is told how many bytes of the log more are done.

    Returns:
        What is in the folder.

    Raises:
        NotFound: The store has no such session or branch.
        ForeignFile: The folder has another log, or a file of somebody else's under a turn's name.
        Faulted: A worker answered with a fault.
        Mismatch: The store's log is not the one that the folder has the beginning of.
        Busy: Another export writes into the folder.
        Unavailable: No worker answers.
        OSError: The folder cannot be written.
    """
    log = find_log(sink.status(session, timeout_seconds), branch)
    with hold(directory, _PATIENCE_SECONDS):
        return _Export(sink, log, directory, timeout_seconds, advance).run()


class _Export:
    """One run, in a folder that is held."""

    def __init__(
        self, sink: HistorySink, log: Log, directory: Path, timeout_seconds: float, advance: Callable[[int], None]
    ) -> None:
        self._sink = sink
        self._log = log
        self._directory = directory
        self._timeout_seconds = timeout_seconds
        self._advance = advance
        self._sizes = measure_files(directory)
        self._manifest = manifests.read_manifest(directory, log)
        self._own = {each.file for each in self._manifest.entries}
        self._path = directory / manifests.NAME
        self._written = 0
        self._open = open_for_show(log.session)

    def run(self) -> Exported:
        if self._manifest.end > self._log.end:
            raise Mismatch(
                f"{self._directory} has {self._manifest.end} bytes of a log of which the store has {self._log.end}"
            )
        is_old = self._manifest.is_old
        if is_old:
            self._manifest, self._path = Manifest(self._manifest.log), self._directory / _NEW
        if is_old or self._manifest.is_cut or manifests.NAME not in self._sizes:
            manifests.start_manifest(self._path, self._manifest)
        self._repair()
        self._extend()
        files = tuple(each.file for each in self._manifest.entries)
        if is_old:
            os.replace(self._path, self._directory / manifests.NAME)
            for name in self._own.difference(files):
                (self._directory / name).unlink(missing_ok=True)
        log = self._log
        return Exported(log.session, log.branch, log.key, self._directory, len(files), self._written, log.end, files)

    def _repair(self) -> None:
        """Write again what is missing, or has not the size that it had."""
        entries = self._manifest.entries
        for is_whole, run in groupby(entries, lambda each: self._sizes.get(each.file) == each.size_bytes):
            if not is_whole:
                self._write_again([*run])

    def _write_again(self, run: list[Entry]) -> None:
        left = iter(run)
        speakers = self._manifest.speakers
        first, offset = run[0].turn, run[0].start
        for lines in self._read(offset, run[-1].end):
            for turn, line in zip(render(lines, first, offset, speakers, self._open), lines, strict=True):
                if next(left).sha256 != hash_line(line):
                    raise self._refuse()
                self._put(turn)
            first, offset = first + len(lines), offset + sum(map(len, lines))

    def _extend(self) -> None:
        """Add what is new. The last line that the folder has is read again, to see that the log is the same."""
        entries, end = self._manifest.entries, self._manifest.end
        speakers = self._manifest.speakers
        proof = entries[-1] if entries else None
        if end == self._log.end:
            return
        for lines in self._read(proof.start if proof else 0, self._log.end):
            if proof:
                if hash_line(lines[0]) != proof.sha256:
                    raise self._refuse()
                proof, lines = None, lines[1:]
            turns = render(lines, len(entries), self._manifest.end, speakers, self._open)
            speakers |= speakers_of(turns)
            new = [make_entry(turn, line, self._put(turn)) for turn, line in zip(turns, lines, strict=True)]
            manifests.add_entries(self._path, new)
            entries += new
            self._advance(sum(map(len, lines)))

    def _read(self, start: int, end: int) -> Iterator[list[bytes]]:
        return read_lines(self._sink, self._log, start, end, self._timeout_seconds)

    def _put(self, turn: Turn) -> int:
        """Write a turn's file, unless it is there. Returns its size."""
        name, body = name_turn(turn.number, turn.who), write_markdown(turn).encode()
        path, size_bytes = self._directory / name, self._sizes.get(name)
        if size_bytes is not None:
            is_same = size_bytes == len(body) and path.read_bytes() == body
            if is_same:
                return len(body)
            if name not in self._own:
                raise ForeignFile(f"{path} is there, and this export has not written it; take another folder")
        write_file(path, body)
        self._written += 1
        return len(body)

    def _refuse(self) -> Mismatch:
        return Mismatch(f"{self._directory} has lines that are not those of {self._log.key}; take another folder")
