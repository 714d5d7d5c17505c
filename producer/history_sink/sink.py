"""The sink: what an agent's author calls. How it begins and ends is told here; its calls are in `sink_…` beside it."""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from history_sink.client.account import Rules
from history_sink.client.call_queue import CallQueue, run_beside
from history_sink.client.extension import Extension
from history_sink.client.guard import Guard
from history_sink.client.lifecycle import watch
from history_sink.client.reading import Reading
from history_sink.client.sessions import Sessions
from history_sink.errors import ConfigurationError
from history_sink.filters import Filter, check_filters, filter_sessions, load_filters, make_adopt, read_rules
from history_sink.openers import Opening
from history_sink.protocol.kinds import Default
from history_sink.protocol.lines import encode_line
from history_sink.settings import BROKER_URL, ProducerSettings
from history_sink.sink_coroutines import SinkCoroutines
from history_sink.sink_measures import SinkMeasures
from history_sink.transport.broker import Broker

log = logging.getLogger("history_sink")

_NOT_GIVEN = f"disabled: no broker_url was given; HistorySink.from_env() takes it from {BROKER_URL}"
_NOT_SET = f"disabled: {BROKER_URL} is not set"


class HistorySink(SinkCoroutines, SinkMeasures):
    """Streams sessions' transcripts into the archive, and reads them back.

    `save`, `append`, `flush`, `forget` and `close` never raise: their result, or the log, says what is wrong.
    Construction raises `ConfigurationError`. The calls that read raise what their docstrings say. Any number of threads
    may use one sink, and so may a forked child. A sink without a broker's URL is disabled: the calls that write do
    nothing and say so, and the calls that read raise `Unavailable`.
    """

    def __init__(
        self,
        settings: ProducerSettings | None = None,
        *,
        broker_url: str | None = None,
        result_url: str | None = None,
        default: Default | None = None,
        filters: Iterable[Filter] = (),
    ) -> None:
        """Give either `settings`, or the broker's URL. If the broker is no Redis, give a Redis for results, too.

        Args:
            settings: All settings at once, and no URLs beside them.
            broker_url: The queue, such as ``redis://host:6379/0``. None: the sink is disabled.
            result_url: The Redis that keeps answers. None: the broker, if that is a Redis.
            default: A function as for `json.dumps`: it takes an object in a message that the library does not know, and
                returns something simpler. It must return the same for the same object in each process. Otherwise the
                next process takes the history for an edited one.
            filters: Functions from line to line, applied in this order before anything else is done with a line; see
                `Filter`. Where one fails, the message is refused, and nothing of it leaves the process. Behind them
                come those that the settings name.

        Raises:
            ConfigurationError: A URL, `default` or a filter is not what it must be. The text holds no password.
        """
        if default is not None and not callable(default):
            raise ConfigurationError(f"default is a function of one value, not {type(default).__name__}")
        if settings is not None and not isinstance(settings, ProducerSettings):
            raise ConfigurationError(f"settings is no {type(settings).__name__}; give a URL as broker_url=…")
        if settings is not None and (broker_url or result_url):
            raise ConfigurationError("settings or URLs, not both")
        self.settings: ProducerSettings = settings or ProducerSettings(broker_url, result_url)
        why_disabled = _NOT_GIVEN if settings is None else _NOT_SET
        self._guard = Guard(None if self.settings.is_enabled else why_disabled)
        self._broker = self._make_broker()
        self._reading = self._make_reading()
        own = check_filters(filters)
        self.filters: tuple[Filter, ...] = (
            (*own, *load_filters(self.settings.filters)) if self.settings.is_enabled else own
        )
        self._opening = Opening(self.filters, self._guard.say_sealed)
        encode = partial(encode_line, default=default)
        encode_for = filter_sessions(encode, self.filters)
        rules = Rules(read_rules, make_adopt(encode, self.filters)) if self.filters else None
        self._sessions = Sessions(self._broker, encode_for, rules)
        self._extension = Extension(self._broker, encode_for, rules)
        self._calls = CallQueue()
        if not self.settings.is_enabled:
            log.warning("history-sink is %s; nothing is archived", why_disabled)
        watch(self)

    def _make_broker(self) -> Broker:
        return Broker(self.settings)

    def _make_reading(self) -> Reading:
        return Reading(self.settings, self._broker)

    @classmethod
    def from_env(
        cls, env: Mapping[str, str] | None = None, *, default: Default | None = None, filters: Iterable[Filter] = ()
    ) -> Self:
        """Make a sink by the variables ``CODETETHER_HISTORY_…``.

        Args:
            env: The variables. None: the process's environment.
            default: As for the constructor.
            filters: As for the constructor.

        Returns:
            The sink. It is disabled where no broker's URL is set.

        Raises:
            ConfigurationError: A variable is malformed, or nobody reads it. The text names it, never its value.
        """
        return cls(ProducerSettings.from_env(env), default=default, filters=filters)

    def close(self) -> None:
        """Hand over what is missing, log what could not be handed over, and close the connections. Never raises."""
        self._calls.close()
        self._guard.is_closed = True
        for session in self._sessions.take_all():
            receipt = self._guard.shield(session.name, session.hand_over_last)
            if receipt.state in ("unreachable", "refused"):
                log.error("history-sink: session %s is not handed over whole: %s", session.name, receipt.reason)
        self._broker.close()

    async def aclose(self) -> None:
        """Do what `close` does, after the saves that were begun before. Never raises."""
        await run_beside(self.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        for session in self._sessions.take_all() if hasattr(self, "_sessions") else ():  # construction may raise
            if not session.is_handed_over:
                log.error("history-sink: session %s is not handed over whole: the sink was not closed", session.name)

    def hold_for_fork(self) -> None:
        """Not public: `lifecycle` calls it before a fork."""
        self._broker.fork_gate.shut()

    def release_after_fork(self) -> None:
        """Not public: `lifecycle` calls it behind a fork, in the parent."""
        self._broker.fork_gate.open()

    def renew_after_fork(self) -> None:
        """Not public: `lifecycle` calls it behind a fork, in the child."""
        self._broker.renew_after_fork()
        self._sessions.renew_after_fork()
        self._calls.renew_after_fork()
