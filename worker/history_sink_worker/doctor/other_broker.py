"""Asks a broker that is no Redis whether it is there, and what waits in it."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from kombu import Connection
from kombu.exceptions import OperationalError

from history_sink_worker.doctor.facts import OtherBrokerFacts
from history_sink_worker.redis_transport.servers import INSTEAD
from history_sink_worker.telemetry.backlog import look_at_other

_SECONDS = 3


def ask_other_broker(url: str, queues: Iterable[str]) -> OtherBrokerFacts:
    """Whatever can be found out. Never raises, and quotes no password."""
    scheme = urlsplit(url).scheme
    if scheme == "sentinel":
        return OtherBrokerFacts(scheme, refusal=f"Sentinel's failover loses messages that were acknowledged. {INSTEAD}")
    try:
        with Connection(url, connect_timeout=_SECONDS) as connection:
            backlogs = look_at_other(connection, sorted(queues))
            properties: dict[str, Any] = getattr(connection.connection, "server_properties", None) or {}
            words = [_text(properties.get(name, "")) for name in ("product", "version")]
            return OtherBrokerFacts(scheme, product=" ".join(filter(None, words)), backlogs=backlogs)
    except Exception as error:  # noqa: BLE001  # each transport raises errors of its own
        shown = " ".join(str(error).split())[:200] if isinstance(error, (OSError, OperationalError)) else ""
        return OtherBrokerFacts(scheme, error=f"{type(error).__name__}{f': {shown}' if shown else ''}")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
