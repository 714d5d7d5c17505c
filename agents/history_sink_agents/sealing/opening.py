"""Opening sealed lines where the key is: one by itself, or a whole log, whose order is checked, too."""

import logging
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from history_sink import Sealed
from history_sink_agents.sealing.envelope import PLACE_BYTES, Envelope, KeyMissing, NotOpened, bind
from history_sink_agents.sealing.keyring import Keyring

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

log = logging.getLogger("history_sink.sealing")

_ORIGIN = bytes(32)
_KEPT_CIPHERS = 256
_IN_THE_CLEAR = (
    "session %s: line %d, counted from 0, stands in the clear among sealed ones. A program without the filter has"
    " appended it, or somebody who may write to the store: the key does not vouch for it"
)


class Opener:
    """Opens the lines of any session. Any number of threads may use it."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._cipher = lru_cache(_KEPT_CIPHERS)(self._make_cipher)

    def open_line(self, session_id: str, line: bytes) -> bytes:
        """Open one line, with or without its newline; one that is not sealed is returned as it is.

        It is what somebody with the key sealed in this session. That it stands where it belongs, a whole log tells.

        Raises:
            NotOpened: The key is not here, or it is altered, or another session's.
        """
        envelope = Envelope.read(line)
        if envelope is None:
            return line
        return self.decrypt(session_id, envelope) + (b"\n" if line.endswith(b"\n") else b"")

    def open_log(self, session_id: str, lines: Iterable[bytes]) -> "OpenedLog":
        """Open a whole log's lines, from its first on, each with its newline; see `OpenedLog`."""
        return OpenedLog(self, session_id, lines)

    def open_lines(self, session_id: str, lines: Iterable[bytes], is_whole: bool) -> Iterator[bytes]:
        """As `history_sink.Opener`: lines whose key is not here come as a `Sealed`. Raises `NotOpened` for others."""
        if is_whole:
            yield from OpenedLog(self, session_id, lines, is_for_reading=True)
            return
        for line in lines:
            try:
                yield self.open_line(session_id, line)
            except KeyMissing:
                yield Sealed(line)

    def decrypt(self, session_id: str, envelope: Envelope) -> bytes:
        """The line in an envelope, without a newline. Raises `NotOpened`."""
        from cryptography.exceptions import InvalidTag

        cipher = self._cipher(session_id, envelope.key_id)
        try:
            return cipher.decrypt(envelope.sealed, bind(session_id, envelope.place))
        except InvalidTag:
            raise NotOpened(f"altered, or of another session than {session_id}") from None

    def _make_cipher(self, session_id: str, key_id: str) -> "AESSIV":
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        key = self._keyring.find(session_id, key_id)
        if key is None:
            raise KeyMissing(f"key {key_id} of session {session_id} is not here")
        return AESSIV(key.key)


class OpenedLog:
    """Iterates over the opened lines of a log.

    Each line names the place that it was sealed for. In a log of one writer that is where it stands. Behind other
    writers' lines it may also stand later (`elsewhere` counts those), yet never before what it follows, nor without it.
    Two writers that went on from one place may have written the same there: `repeated` counts that. `sealed` counts the
    lines that are sealed.

    A line in the clear is given as it is, and `clear` counts it; the first among sealed ones is logged. A line whose
    key is not here is refused; `is_for_reading`: it is given as a `Sealed`.
    """

    def __init__(
        self, opener: Opener, session_id: str, lines: Iterable[bytes], *, is_for_reading: bool = False
    ) -> None:
        self.lines = self.sealed = self.clear = self.elsewhere = self.repeated = 0
        self._is_for_reading, self._has_told = is_for_reading, False
        self._opener, self._session, self._given = opener, session_id, lines
        self._chain = _ORIGIN
        self._passed = {_ORIGIN[:PLACE_BYTES]: _ORIGIN}  # chains by their places: the log's, and those of each writer

    def __iter__(self) -> Iterator[bytes]:
        """Raises `NotOpened`, naming the line, counted from 0."""
        for line in self._given:
            try:
                yield self._open(line)
            except NotOpened as error:
                raise NotOpened(f"line {self.lines} of session {self._session}: {error}") from None
            self.lines += 1

    def _open(self, line: bytes) -> bytes:
        envelope = Envelope.read(line)
        if self.lines and (envelope is None) != (self.clear == self.lines) and not self._has_told:
            self._tell_both()
        opened = line if envelope is None else self._decrypt(envelope, line)
        if envelope is None:
            self.clear += 1
        elif not isinstance(opened, Sealed):
            self._check_place(envelope.place, line)
            self.sealed += 1
        self._chain = self._pass(self._chain, line)
        return opened

    def _tell_both(self) -> None:
        """At the first line in the clear behind a sealed one, or sealed one behind such."""
        self._has_told = True
        log.warning(_IN_THE_CLEAR, self._session, self.lines - (self.clear == self.lines))

    def _decrypt(self, envelope: Envelope, line: bytes) -> bytes:
        try:
            return self._opener.decrypt(self._session, envelope) + b"\n"
        except KeyMissing:
            if not self._is_for_reading:
                raise
            return Sealed(line)

    def _check_place(self, place: bytes, line: bytes) -> None:
        if place == self._chain[:PLACE_BYTES]:
            return
        before = self._passed.get(place)
        if before is None:
            raise NotOpened("not where it was sealed for: a line before it was dropped, moved or altered")
        self.repeated += sha256(before + line).digest()[:PLACE_BYTES] in self._passed
        self._pass(before, line)
        self.elsewhere += 1

    def _pass(self, before: bytes, line: bytes) -> bytes:
        digest = sha256(before)
        digest.update(line)
        chain = digest.digest()
        self._passed[chain[:PLACE_BYTES]] = chain
        return chain
