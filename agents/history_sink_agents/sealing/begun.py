"""Under which master each session began on this machine: it stays with it. Lost, the session goes on in a branch."""

import json
import logging
import os
import threading
from pathlib import Path

log = logging.getLogger("history_sink.sealing")

_FILE = "sealing.jsonl"


class Begun:
    """One JSON line a session; the first counts. Any number of processes may write."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._known: dict[str, str] = {}
        self._read_bytes = 0
        self._lock = threading.Lock()

    def find_or_note(self, session: str, master_id: str) -> str:
        """The master of a session, which is `master_id` for a new one. Never raises: it is a hint that may be lost."""
        with self._lock:
            if session not in self._known:
                self._read()
            if session not in self._known:
                self._known[session] = master_id
                try:
                    self._write(session, master_id)
                except OSError as error:
                    log.debug("the master of session %s was not noted: %s", session, error.strerror)
            return self._known[session]

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            try:
                value = json.loads(line)
                self._known.setdefault(str(value["session"]), str(value["master"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue

    def _write(self, session: str, master_id: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(number, json.dumps({"session": session, "master": master_id}).encode() + b"\n")
        finally:
            os.close(number)
