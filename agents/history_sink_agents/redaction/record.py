"""With which rules each session began on this machine: a hint on disk, and no promise.

The log itself shows it: where the same messages become other lines, the sink opens a branch. This says why beforehand.
"""

import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from history_sink_agents.notes import NoteFile

log = logging.getLogger("history_sink.redaction")

_FILE = "redaction.jsonl"
_DIGEST_CHARACTERS = 4  # 16 bits say that a value is another one, and too little of what it is


class Record:
    """One note a session; the first counts."""

    def __init__(self, folder: Path) -> None:
        self._notes = NoteFile(folder / _FILE)
        self._known: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def find_rules(self, session: str) -> str:
        """The rules that a session began with on this machine; "" where that is not known."""
        with self._lock:
            known = self._find(session)
        return str(known["rules"]) if known else ""

    def check(self, session: str, rules: str, values: Iterable[str]) -> None:
        """Note a new session; of a known one, log what is other now. Never raises."""
        values = [*values]
        with self._lock:
            known = self._find(session)
            if known is None:
                self._write(session, rules, values)
                return
        if known["rules"] != rules:
            log.warning(
                "session %s was begun with the redaction rules %s; now they are %s. Where these make other lines of it,"
                " it goes on in a branch",
                session,
                known["rules"],
                rules,
            )
        here = {_digest(known["salt"], value) for value in values}
        if missing := len(set(known["values"]) - here):
            log.warning(
                "session %s was begun where %d more secret values were known, which this process does not have: lines"
                " with one of them keep it, unless another rule finds it, and the session goes on in a branch",
                session,
                missing,
            )

    def _find(self, session: str) -> dict[str, Any] | None:
        if session not in self._known:
            self._read()
        return self._known.get(session)

    def _read(self) -> None:
        """What others have written since."""
        for note in self._notes.read_new():
            with suppress(KeyError, TypeError):
                entry = {name: note[name] for name in ("rules", "salt", "values")}
                self._known.setdefault(note["session"], entry)

    def _write(self, session: str, rules: str, values: list[str]) -> None:
        salt = secrets.token_hex(8)
        entry = {"rules": rules, "salt": salt, "values": sorted(_digest(salt, value) for value in values)}
        self._known[session] = entry
        try:
            self._notes.append({"session": session, **entry})
        except OSError as error:
            log.debug("the rules of session %s were not noted: %s", session, error.strerror)


def _digest(salt: str, value: str) -> str:
    return hmac.new(salt.encode(), value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
        :_DIGEST_CHARACTERS
    ]
