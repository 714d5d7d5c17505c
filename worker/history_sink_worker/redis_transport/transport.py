"""A Redis transport for the workers that can't lose a message; kombu's own, but for the taking.

Stock kombu pops with BRPOP and records the message afterwards: what dies in between is gone. Here
one step does both. Keys and formats are kombu's, so stock producers, stock workers and Flower see
nothing new; only workers call `install`.
"""

from collections.abc import Iterable
from typing import Any

import kombu.transport
from kombu.transport import redis as stock

from history_sink_worker.redis_transport.channel import Channel
from history_sink_worker.redis_transport.claims import sweep_seconds
from history_sink_worker.redis_transport.servers import INSTEAD, UnsupportedBrokerError

__all__ = ["SentinelTransport", "Transport", "UnsupportedBrokerError", "install"]


_resolved: dict[str, Any] = vars(kombu.transport)["_transport_cache"]


def install() -> None:
    """Make ``redis://`` and ``rediss://`` mean this transport, in this process."""
    for scheme, name in (
        ("redis", "Transport"),
        ("rediss", "Transport"),
        ("sentinel", "SentinelTransport"),
    ):
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:{name}"
        _resolved.pop(scheme, None)


class Poller(stock.MultiChannelPoller):
    """kombu's poller; it also knows channels that wait without having asked for anything."""

    # kombu's, left out of its stubs.
    _channels: set[Channel]
    has_loop = False
    _fd_to_chan: dict[int, tuple[Channel, str]]
    _loop: Any = None
    _ticks: frozenset[Any] = frozenset()

    def join(self, loop: Any, ticks: Iterable[Any]) -> None:
        """`ticks` are what `loop` runs at each turn for this poller."""
        self.has_loop, self._loop, self._ticks = True, loop, frozenset(ticks)

    def close(self) -> None:
        """As kombu's, and takes its timers off the event loop. kombu leaves them there, more at each reconnect."""
        super().close()
        if self._loop is None:
            return
        self._loop.on_tick.difference_update(self._ticks)
        for name in [name for name in vars(self) if name.endswith("_tref")]:
            vars(self)[name].cancel()

    def _register_BRPOP(self, channel: Channel) -> None:  # noqa: N802 - kombu's name
        channel.look_again()
        super()._register_BRPOP(channel)  # type: ignore[misc] # left out of the stubs

    def on_readable(self, fileno: int) -> None:
        """As kombu's, which takes an announcement that nobody waits for for a lost connection."""
        channel, kind = self._fd_to_chan.get(fileno, (None, ""))
        if channel and kind == "BRPOP" and not channel._in_poll:
            channel._brpop_read()
        else:
            super().on_readable(fileno)

    def on_poll_start(self) -> None:
        """As kombu's. Called at each turn of the event loop, when it has run the acks that had come in."""
        for channel in self._channels if self.has_loop else ():
            channel.claims.turn()
        super().on_poll_start()

    def maybe_restore_messages(self) -> None:
        """See to the claims. (kombu does only while it consumes; tasks also run while that is paused.)"""
        for channel in self._channels:
            channel.claims.sweep(channel.broker)

    def get(self, callback: Any, timeout: float | None = None) -> None:
        """As kombu's, for workers without an event loop: it returns at least once a second, for the claims."""
        self.maybe_restore_messages()
        super().get(callback, 1 if timeout is None else min(timeout, 1))


class Transport(stock.Transport):
    """What ``redis://`` and ``rediss://`` mean in a worker."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """As kombu's, but claims are seen to as often as the visibility timeout asks for."""
        before = set(loop.on_tick)
        super().register_with_event_loop(connection, loop)
        cycle: Any = self.cycle
        cycle.join(loop, loop.on_tick - before)
        cycle._restore_messages_tref.cancel()
        options: Any = connection.client.transport_options
        timeout = options.get("visibility_timeout", Channel.visibility_timeout)
        cycle._restore_messages_tref = loop.call_repeatedly(sweep_seconds(timeout), cycle.maybe_restore_messages)


class SentinelTransport(stock.SentinelTransport):
    """What ``sentinel://`` means in a worker: nothing good."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedBrokerError(
            "a broker behind Sentinel loses messages that it has acknowledged when it fails over,"
            f" which it does asynchronously. {INSTEAD}"
        )
