"""How much waits in the queues, and for how long: asked of the broker, cheaply.

Redis has the oldest message at the end of a list, where one can look at it. AMQP gives a message to whoever takes it,
and to nobody else: there the age is not known.
"""

import re
from collections.abc import Iterable
from typing import Any

from kombu import Connection
from kombu.transport import redis as stock
from redis import Redis

from history_sink.protocol.contract import SENT_AT
from history_sink_worker.telemetry.vitals import Backlog

# Of the oldest message only the end, where the headers are: the body may be 40 MB.
# KEYS: the lists of one queue, one for each priority, the most urgent first: what is least urgent has waited longest.
LOOK = """#!lua flags=no-writes
local messages, oldest = 0, ''
for i = 1, #KEYS do
  messages = messages + redis.call('LLEN', KEYS[i])
  local message = redis.call('LINDEX', KEYS[i], -1)
  if message then oldest = string.sub(message, -8192) end
end
return {messages, oldest}"""

# Inside a string of the JSON its quotes would be escaped.
_SENT_AT = re.compile(rb'"%s": ?(\d{1,12}(?:\.\d{1,9})?)[,}]' % SENT_AT.encode())


def find_sent_at(end: bytes) -> float | None:
    """When a message was sent, by its last bytes in one of kombu's lists. None: it does not say."""
    found = _SENT_AT.search(end)
    return float(found[1]) if found else None


def look_at_redis(client: Redis, prefix: str, queues: Iterable[str]) -> tuple[dict[str, Backlog], int]:
    """What each queue holds, and how many messages are taken but not acknowledged. Raises `RedisError`.

    `prefix` stands before the names of all keys.
    """
    found = {}
    for queue in queues:
        lists = [
            f"{prefix}{queue}{stock.Channel.sep}{step}" if step else prefix + queue for step in stock.PRIORITY_STEPS
        ]
        answer: Any = client.eval(LOOK, len(lists), *lists)
        found[queue] = Backlog(answer[0], find_sent_at(answer[1]))
    unacked: Any = client.hlen(prefix + stock.Channel.unacked_key)
    return found, unacked


def look_at_other(connection: Connection, queues: Iterable[str]) -> dict[str, Backlog]:
    """What each queue holds that there is. Raises what kombu's transport raises."""
    found = {}
    connection.ensure_connection(max_retries=1, timeout=3)
    for queue in queues:
        channel: Any = connection.default_channel
        try:
            declared = channel.queue_declare(queue=queue, passive=True)
        except connection.channel_errors as error:
            if not _is_missing(error):  # it may hold anything: it refuses to say
                raise
            continue  # and now there is no channel
        found[queue] = Backlog(declared.message_count)
    return found


def _is_missing(error: BaseException) -> bool:
    """Whether there is no such queue, in AMQP's number for it, which kombu's other transports use as well."""
    return str(getattr(error, "reply_code", "")) == "404"
