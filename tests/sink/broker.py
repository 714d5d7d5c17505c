"""A sink's broker, looked at from beside it."""

from typing import Any

from history_sink import HistorySink


def client_of(sink: HistorySink) -> Any:
    import redis

    assert sink.settings.broker_url
    return redis.Redis.from_url(sink.settings.broker_url)
