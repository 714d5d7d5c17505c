"""What a sink is put together from. Each group of its calls is a class of its own, which uses these parts."""

from history_sink.client.call_queue import CallQueue
from history_sink.client.extension import Extension
from history_sink.client.guard import Guard
from history_sink.client.reading import Reading
from history_sink.client.sessions import Sessions
from history_sink.openers import Opening
from history_sink.settings import ProducerSettings
from history_sink.transport.broker import Broker


class SinkParts:
    """The constructor of `HistorySink` makes them."""

    settings: ProducerSettings
    _guard: Guard
    _broker: Broker
    _reading: Reading
    _sessions: Sessions
    _extension: Extension
    _calls: CallQueue
    _opening: Opening
