"""A channel that takes messages by claims: pop and record in one step (`claims`, `scripts`).

A script can't wait, so an idle worker looks (EXISTS) under ``CLIENT TRACKING``: Redis itself says
once when a key that was looked at changes. One connection waits so for all queues and priorities,
and nothing is popped, or written, by waiting.
"""

import contextlib
import logging
from collections.abc import Callable
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import redis as stock
from kombu.transport import virtual
from redis import Redis
from redis.exceptions import ResponseError

from history_sink_worker.redis_transport.claim_request import ClaimRequest, count_that_fits
from history_sink_worker.redis_transport.claims import Claims, new_claim
from history_sink_worker.redis_transport.envelope import Base64, read_envelope
from history_sink_worker.redis_transport.packed import QueueArguments, join, pack
from history_sink_worker.redis_transport.qos import QoS
from history_sink_worker.redis_transport.registry import claims_of
from history_sink_worker.redis_transport.returns import BrokerAccess, Keys
from history_sink_worker.redis_transport.servers import WAITING

logger = logging.getLogger(__name__)

# kombu counts KeyError among the connection errors. Of a message that lacks a key it would be told
# that the connection is lost, and Celery would reconnect and take it again, for ever.
_CONNECTION_ERRORS = tuple(
    error
    for error in stock.Transport.connection_errors + stock.Transport.channel_errors
    if not issubclass(error, KeyError)
)


class Channel(stock.Channel):
    """kombu's Redis channel, with another way to take messages from lists."""

    QoS = QoS
    # Options, in seconds. A claim that is not renewed for `visibility_timeout` is given back; it
    # is renewed for `visibility_max` at most; at its `max_abandoned`th time the message is parked.
    visibility_timeout = 60
    visibility_max = 3600
    max_abandoned = 10
    # Without them a Redis that hangs hangs the worker's event loop, for ever.
    socket_timeout = 5
    socket_connect_timeout = 5
    # Not `ack_emulation`: without it there are no claims.
    from_transport_options = (
        *(name for name in stock.Channel.from_transport_options if name != "ack_emulation"),
        "visibility_max",
        "max_abandoned",
    )

    # kombu's, left out of its stubs.
    connection: Any
    connection_errors: tuple[type[Exception], ...]
    client: Any
    _close_clients: Callable[[], None]
    _disconnect_pools: Callable[[], None]
    _flush_brpop_reauth: Callable[[], None]
    _get_pool: Callable[[], Any]
    _q_for_pri: Callable[[str, int], str]
    _in_poll: Any  # the connection, while we expect something from it
    _brpop_sent_at: float | None
    _queue_cycle: Any

    _no_ack_queues: set[str]
    _request: ClaimRequest | None = None  # not answered yet
    _largest_bytes = 1  # of the messages in the last answer
    _is_idle = False  # the last claim left nothing, as far as it tells: look, and wait, before the next one
    _is_woken = False  # a message has come after a wait, most often alone
    _waiting_since: float | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._no_ack_queues = set()
        self.codecs = {"base64": Base64()}
        super().__init__(*args, **kwargs)
        self.broker = self._make_broker()
        self._arguments = QueueArguments(self._name_list, self.priority_steps)
        name = f"{self.connection.client.as_uri()} {self.global_keyprefix} {self.unacked_key}"
        self.claims: Claims = claims_of(name, self.broker)

    def _make_broker(self) -> BrokerAccess:
        prefix = self.global_keyprefix
        return BrokerAccess(
            # Of a pool that nobody closes: it outlives this channel.
            client=Redis(connection_pool=self._get_pool()),
            keys=Keys(
                prefix,
                prefix + self.unacked_key,
                prefix + self.unacked_index_key,
                f"{prefix}{self.unacked_key}_swept",
            ),
            queues_of=self._lookup,
            list_of=self._list_of,
            visibility_timeout_seconds=self.visibility_timeout,
            visibility_max_seconds=self.visibility_max,
            max_abandoned=self.max_abandoned,
        )

    def _list_of(self, queue: str, message: dict[str, Any]) -> str:
        return self._name_list(queue, self._get_message_priority(message))

    def _name_list(self, queue: str, priority: int) -> str:
        return self.global_keyprefix + self._q_for_pri(queue, priority)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc] # left out of the stubs
        if asynchronous:
            parameters |= WAITING
        return parameters

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **kwargs: Any) -> Any:
        """As kombu's; what is consumed without acks is popped without a claim."""
        (self._no_ack_queues.add if no_ack else self._no_ack_queues.discard)(queue)
        self._stop_waiting()  # we have not looked at this queue
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Not offered: kombu's would pop without a claim."""
        raise NotImplementedError("basic_get can lose a message: consume from the queue instead")

    def defer(self, delivery_tag: str, seconds: float) -> None:
        """A message's time has not come: it waits in Redis, and is taken again then, or up to some seconds later."""
        self.claims.defer(delivery_tag, seconds)
        virtual.QoS.ack(self.qos, delivery_tag)

    def close(self) -> None:
        """Give back what is not running. Never raises: Celery closes channels of connections that
        are lost, and an exception there ends the worker."""
        asked = self._asked_for()
        if asked:
            with contextlib.suppress(Exception):
                # Redis may not have run it yet; then it would do so after we have given it back.
                while self._request is not None:
                    self._read(self.client.connection)
            self._give_back(asked)
        self._request = self._in_poll = None
        try:
            super().close()
        except Exception as error:  # noqa: BLE001 - see above
            logger.warning("a channel to the broker was not closed in order: %s", error)
            self._disconnect_pools()
            self._close_clients()
            virtual.Channel.close(self)

    def _asked_for(self) -> list[str]:
        """The claims that there may be at Redis, and that we have no answer about."""
        return [] if self._request is None else self._request.claims()

    def _give_back(self, claims: list[str]) -> None:
        for claim in reversed(claims):  # what comes back last is taken next
            self.claims.give_back(claim)

    def look_again(self) -> None:
        """Redis announces every message, but not to a user who may not run CLIENT TRACKING, and not
        through a connection that died in silence. So look once a second all the same."""
        since = self._waiting_since
        if since is not None and monotonic() - since >= self.brpop_timeout:
            self._stop_waiting()

    def _wait(self) -> None:
        # No `_brpop_sent_at`: kombu drops a connection whose answer is overdue, and none is due.
        self._waiting_since, self._brpop_sent_at = monotonic(), None
        self._in_poll = self.client.connection

    def _stop_waiting(self) -> None:
        if self._waiting_since is not None:
            self._waiting_since = self._in_poll = None

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Called by the poller if a message may be taken and nothing is under way (`_in_poll`)."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._give_back(self._asked_for())  # their connection was lost
        lists = self._arguments.lists(queues)
        command = [pack("EXISTS"), *lists]
        self._request, self._waiting_since = None, None
        if not self._is_idle:
            count = count_that_fits(self.qos.can_consume_max_estimate(), self._largest_bytes)
            self._request = ClaimRequest(new_claim(), count, queues * len(self.priority_steps))
            records = self._arguments.records(queues, self._no_ack_queues)
            command = self._request.command(self.broker.keys, lists, records)
        self._in_poll, self._brpop_sent_at = self.client.connection, monotonic()
        # No health check: it may reconnect behind the poller's back, which would then send another
        # command and take the answer to this one for its own.
        self._in_poll.send_packed_command(join(command), check_health=False)

    def _brpop_read(self, **options: Any) -> bool:
        """Called by the poller if Redis has sent something."""
        self.qos.forget_done()  # type: ignore[attr-defined]  # it is of our class
        connection = self.client.connection
        try:
            found = self._read(connection)
        except ResponseError as error:  # its disk is full, it is a replica now, …: it may pass
            logger.error("the broker refuses to hand out messages: %s", error)
            self._request, self._is_idle = None, True
            self._wait()
            raise Empty from None
        except self.connection_errors:
            connection.disconnect()
            raise
        if self._request is None:
            self._flush_brpop_reauth()
        if found is None:
            raise Empty
        self._deliver(*found)
        return True

    def _read(self, connection: Any) -> tuple[str, list[str], list[bytes]] | None:
        """Take in answers and announcements; a queue with claims and their messages, if that is one."""
        while True:
            frame, request = connection.read_response(push_request=True), self._request
            if isinstance(frame, list) and request and frame[0] == request.claim.encode():
                messages = frame[2:]
                # A step that finds nothing costs more than a look; but while much comes, a look delays the next step.
                self._is_idle = not messages or (self._is_woken and len(messages) < request.at_most)
                self._request, self._in_poll, self._is_woken = None, None, False
                if not messages:
                    return None
                self._largest_bytes = max(1, *map(len, messages))  # a message may be of no bytes at all
                return request.queues[frame[1]], request.claims()[: len(messages)], messages
            if isinstance(frame, int):  # to EXISTS
                self._is_idle, self._in_poll = frame == 0, None
                if self._is_idle:
                    self._wait()
            elif self._waiting_since is not None:  # a list that we looked at has changed
                self._is_idle, self._is_woken = False, True
                self._stop_waiting()
            # What has been read from the socket beyond this would not make it readable again.
            if not connection.can_read(timeout=0):
                return None

    def _deliver(self, queue: str, claims: list[str], bodies: list[bytes]) -> None:
        self._queue_cycle.rotate(queue)
        for number, (claim, body) in enumerate(zip(claims, bodies, strict=True)):
            try:
                message = read_envelope(body)
                message["properties"]["delivery_tag"] = claim
                self.connection._deliver(message, queue)
            except _CONNECTION_ERRORS:
                self._give_back(claims[number:])
                raise
            except Exception as error:  # noqa: BLE001 - it would end each worker that takes it
                self.claims.park(claim, queue, body, type(error).__name__)
                virtual.QoS.ack(self.qos, claim)
