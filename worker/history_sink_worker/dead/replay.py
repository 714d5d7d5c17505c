"""Sends a dead letter again: exactly what it was, to the queue that it was on."""

from typing import Any

from kombu import Connection
from kombu.exceptions import KombuError

from history_sink.errors import HistorySinkError
from history_sink.protocol.tls import tls_of
from history_sink_worker.dead import letter_format
from history_sink_worker.dead.letter_format import Letter

_AMQP_OPTIONS = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5}
_REDIS_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 0}


class NotSent(HistorySinkError):
    """The broker did not take it, or cannot carry it. The letter stays."""


class Sender:
    """Sends letters to one broker."""

    def __init__(self, broker_url: str) -> None:
        self._is_redis = broker_url.startswith(("redis://", "rediss://"))
        options = _REDIS_OPTIONS if self._is_redis else _AMQP_OPTIONS
        tls = tls_of(broker_url) or False
        self._connection = Connection(broker_url, transport_options=options, connect_timeout=5, ssl=tls)
        foreign: Any = (*self._connection.connection_errors, *self._connection.channel_errors)
        self._errors: tuple[type[Exception], ...] = (KombuError, OSError, *foreign)

    def close(self) -> None:
        """Close the connection."""
        self._connection.release()

    def send(self, letter: Letter, name: str) -> None:
        """Send `letter`, which the store knows as `name`. Returns once the broker has it. Raises `NotSent`.

        What deliveries have left on it goes (`redelivered`, how often it was abandoned), and so does what would
        end it at once: `expires`, and an older `revoke`. A header says which letter it was.
        """
        try:
            channel: Any = self._connection.default_channel
            if letter.form == "raw":
                self._push(channel, letter)
            else:
                self._publish(channel, letter, name)
        except self._errors as error:
            raise NotSent(f"the broker did not take it: {type(error).__name__}") from None

    def _publish(self, channel: Any, letter: Letter, name: str) -> None:
        if not self._is_redis:  # it would drop, in silence, what is for a queue that is not there
            channel.queue_declare(letter.queue, passive=True)
        # Kept on disk, whatever it was before: RabbitMQ forgets other messages when it is restarted.
        properties = {**letter_format.properties_to_replay(letter), "delivery_mode": 2}
        message = channel.prepare_message(
            letter.body,
            properties.pop("priority", None),
            letter.content_type,
            letter.content_encoding,
            letter_format.headers_to_replay(letter, name),
            properties,
        )
        # Through the default exchange, which every broker has: its routing keys are the names of queues.
        channel.basic_publish(message, exchange="", routing_key=letter.queue)

    def _push(self, channel: Any, letter: Letter) -> None:
        if not self._is_redis:
            raise NotSent("it is a record of Redis, and this broker is another one")
        channel.client.lpush(letter.queue, letter.body)
