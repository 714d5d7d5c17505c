"""Commands to Redis that name every list of every queue, of which tenants may have hundreds.

redis-py writes each argument anew: of 1,200 lists that took a third of a worker's processor time. What a queue adds to
such a command is always the same bytes, and is kept here.
"""

import json
from collections.abc import Callable, Collection, Sequence

_Argument = str | bytes | int


def pack(argument: _Argument) -> bytes:
    """One argument of a command, as Redis' protocol has it."""
    data = argument if isinstance(argument, bytes) else str(argument).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def join(arguments: Sequence[bytes]) -> list[bytes]:
    """A command of packed arguments, for `Connection.send_packed_command`."""
    return [b"*%d\r\n%b" % (len(arguments), b"".join(arguments))]


class QueueArguments:
    """What queues add to a command, packed. `list_of` names the list of a queue and one of `priorities`."""

    def __init__(self, list_of: Callable[[str, int], str], priorities: Sequence[int]) -> None:
        self._list_of, self._priorities = list_of, priorities
        self._lists: dict[str, list[bytes]] = {}
        self._records: dict[str, bytes] = {}

    def lists(self, queues: Sequence[str]) -> list[bytes]:
        """Their lists: those of the first priority, then those of the next."""
        packed = [self._pack_lists(queue) for queue in queues]
        return [lists[number] for number in range(len(self._priorities)) for lists in packed]

    def records(self, queues: Sequence[str], no_ack: Collection[str]) -> list[bytes]:
        """Beside each of these lists, what its claims are to say of the queue: nothing where there is no claim."""
        once = [_NOTHING if queue in no_ack else self._pack_record(queue) for queue in queues]
        return once * len(self._priorities)

    def _pack_lists(self, queue: str) -> list[bytes]:
        if queue not in self._lists:
            self._lists[queue] = [pack(self._list_of(queue, priority)) for priority in self._priorities]
        return self._lists[queue]

    def _pack_record(self, queue: str) -> bytes:
        if queue not in self._records:
            self._records[queue] = pack(json.dumps(queue))
        return self._records[queue]


_NOTHING = pack("")
