"""Under which master each session began on this machine: it stays with it. Lost, the session goes on in a branch."""

import logging
import threading
from contextlib import suppress
from pathlib import Path

from history_sink_agents.notes import NoteFile

log = logging.getLogger("history_sink.sealing")

_FILE = "sealing.jsonl"


class Begun:
    """One note a session; the first counts."""

    def __init__(self, folder: Path) -> None:
        self._notes = NoteFile(folder / _FILE)
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def find_or_note(self, session: str, master_id: str) -> str:
        """The master of a session, which is `master_id` for a new one. Never raises: it is a hint that may be lost."""
        with self._lock:
            if session not in self._known:
                self._read()
            if session not in self._known:
                self._known[session] = master_id
                try:
                    self._notes.append({"session": session, "master": master_id})
                except OSError as error:
                    log.debug("the master of session %s was not noted: %s", session, error.strerror)
            return self._known[session]

    def _read(self) -> None:
        for note in self._notes.read_new():
            with suppress(KeyError):
                self._known.setdefault(str(note["session"]), str(note["master"]))
