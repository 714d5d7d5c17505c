"""The sessions that a sink knows, those saved last at the end."""

import threading
from collections import OrderedDict
from itertools import islice

from history_sink.client.account import Rules
from history_sink.client.session import Session
from history_sink.protocol.lines import EncodeFor, encode_line
from history_sink.transport.broker import Broker

KEPT_SESSIONS = 4096
"""Beyond this the one saved longest ago is forgotten; its next save asks the store again, as after a restart. Not one
that is not handed over whole, or was appended to and is not confirmed."""


class Sessions:
    """Safe for threads; never waits for a session that a thread is at work on."""

    def __init__(
        self, broker: Broker, encode_for: EncodeFor = lambda session: encode_line, rules: Rules | None = None
    ) -> None:
        self._encode_for = encode_for
        self._rules = rules
        self._broker = broker
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, name: str) -> Session | None:
        """The session, if it is known."""
        return self._sessions.get(name)

    def open(self, name: str) -> Session:
        """The session, which is about to be saved."""
        with self._lock:
            session = self._sessions.get(name)
            if session is None:
                session = self._sessions[name] = Session(name, self._broker, self._encode_for(name), self._rules)
            self._sessions.move_to_end(name)
            self._forget_oldest()
            return session

    def _forget_oldest(self) -> None:
        excess = len(self._sessions) - KEPT_SESSIONS
        for name in [*islice(self._sessions, min(max(excess, 0), 2))]:
            self._sessions.move_to_end(name)  # one that has to stay must not keep all the others
            if self._sessions[name].is_spare:
                del self._sessions[name]

    def forget(self, name: str) -> None:
        """Know it no more."""
        with self._lock:
            self._sessions.pop(name, None)

    def take_all(self) -> list[Session]:
        """All sessions, which are known no more."""
        with self._lock:
            sessions = [*self._sessions.values()]
            self._sessions.clear()
            return sessions

    def renew_after_fork(self) -> None:
        """In a child: without the sessions that a thread of the parent was at work on."""
        self._lock = threading.Lock()
        for name, session in [*self._sessions.items()]:
            if not session.renew_after_fork():
                del self._sessions[name]
