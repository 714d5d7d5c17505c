"""What kombu does with a message of a channel when it is done with, by its claim."""

from typing import TYPE_CHECKING, Any

from kombu.transport import redis as stock
from kombu.transport import virtual

from history_sink_worker.redis_transport.lost_child import is_marked

if TYPE_CHECKING:
    from history_sink_worker.redis_transport.channel import Channel


class QoS(stock.QoS):
    """A channel's unacknowledged messages; their claims are kept by `Claims`."""

    channel: "Channel"

    def append(self, message: Any, delivery_tag: str) -> None:
        """The script has recorded it; count it against the prefetch limit, and renew it."""
        self.channel.claims.hold(delivery_tag)
        virtual.QoS.append(self, message, delivery_tag)

    def forget_done(self) -> None:
        """Let go of the messages that are done. kombu does when it has the next one: then both are in memory.

        For the thread that takes messages; an `ack` may come from any.
        """
        self._flush()  # type: ignore[attr-defined]  # left out of the stubs

    def ack(self, delivery_tag: str) -> None:
        """Also after the channel has closed: a task that ran across a reconnect acks here. (Stock
        kombu raises AttributeError in the event loop, and Celery 5.7 ends the worker.)"""
        self.channel.claims.release(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """To the end of the queue, or gone."""
        if requeue:
            delivered: dict[str, Any] = self._delivered or {}
            abandoned = is_marked(delivered.get(delivery_tag))
            self.channel.claims.give_back(delivery_tag, as_last=True, abandoned=abandoned)
        else:
            self.channel.claims.release(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any | None = None) -> None:
        """The channel closes. (Stock kombu would open a connection by parameters that are gone
        already, and the AttributeError ends a Celery 5.7 worker.)"""
        delivered: dict[str, Any] = self._delivered or {}
        self.channel.claims.disown(delivered)
        delivered.clear()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Called by kombu's timer, by its poller, and when a connection is new."""
        self.forget_done()
        self.channel.claims.sweep(self.channel.broker)
