"""With which rules each session began on this machine: a hint on disk, and no promise.

The log itself shows it: where the same messages become other lines, the sink opens a branch. This says why beforehand.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

log = logging.getLogger("history_sink.redaction")

_FILE = "redaction.jsonl"
_DIGEST_CHARACTERS = 4  # 16 bits say that a value is another one, and too little of what it is


class Record:
    """One JSON line a session, the first counts. Any number of processes may write."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._known: dict[str, dict[str, Any]] = {}
        self._read_bytes = 0
        self._lock = threading.Lock()

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
                entry = {name: value[name] for name in ("rules", "salt", "values")}
                self._known.setdefault(value["session"], entry)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # torn by a crash

    def _write(self, session: str, rules: str, values: list[str]) -> None:
        salt = secrets.token_hex(8)
        entry = {"rules": rules, "salt": salt, "values": sorted(_digest(salt, value) for value in values)}
        self._known[session] = entry
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(number, json.dumps({"session": session, **entry}).encode() + b"\n")
            finally:
                os.close(number)
        except OSError as error:
            log.debug("the rules of session %s were not noted: %s", session, error.strerror)


def _digest(salt: str, value: str) -> str:
    return hmac.new(salt.encode(), value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
        :_DIGEST_CHARACTERS
    ]
