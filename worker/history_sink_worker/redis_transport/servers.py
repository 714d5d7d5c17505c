"""Which Redis servers can be a broker that loses nothing, and how a connection to one begins."""

import logging
from collections.abc import Mapping
from typing import Any

from kombu.utils.encoding import bytes_to_str
from redis.exceptions import NoPermissionError, ResponseError

try:
    from redis.maint_notifications import MaintNotificationsConfig
except ImportError:  # redis-py before 7.0 asks for no such notifications
    _NO_NOTIFICATIONS: dict[str, Any] = {}
else:
    _NO_NOTIFICATIONS = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}

logger = logging.getLogger(__name__)

INSTEAD = "Use one Redis (7.0 or newer, or Valkey) with appendonly yes, or RabbitMQ."


class UnsupportedBrokerError(Exception):
    """The broker can't keep what it has acknowledged, or is too old; says what to use instead."""


def check_server(hello: Mapping[bytes, Any]) -> None:
    """Judge a server by its answer to HELLO.

    Raises:
        UnsupportedBrokerError: it is older than Redis 7.0, or a part of a Cluster, or a Sentinel.
    """
    server, version = bytes_to_str(hello[b"server"]), bytes_to_str(hello[b"version"])
    mode = bytes_to_str(hello[b"mode"])
    if mode != "standalone":
        raise UnsupportedBrokerError(
            f"the broker is a Redis in {mode} mode: when it fails over, which it does"
            f" asynchronously, it loses messages that it has acknowledged. {INSTEAD}"
        )
    if server == "redis" and int(version.split(".")[0]) < 7:
        raise UnsupportedBrokerError(
            f"the broker is Redis {version}, which refuses scripts once it is full"
            f" (flags=allow-oom came with 7.0): it could not be drained. {INSTEAD}"
        )


def introduce(connection: Any) -> None:
    """What each new connection of a channel starts with."""
    try:
        connection.on_connect()
    except ResponseError as error:
        if "unknown command" in str(error).lower():  # HELLO came with Redis 6
            raise UnsupportedBrokerError(f"the broker is older than Redis 6. {INSTEAD}") from error
        raise
    check_server(connection.handshake_metadata)
    try:
        connection.send_command("CLIENT", "TRACKING", "ON", "NOLOOP", check_health=False)
        connection.read_response()
    except NoPermissionError as error:
        logger.warning("messages may wait for a second: %s", error)


WAITING: dict[str, Any] = {"protocol": 3, "redis_connect_func": introduce, **_NO_NOTIFICATIONS}
"""Options of the connection that waits. RESP3 is what lets Redis speak unasked."""
