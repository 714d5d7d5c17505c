"""What is asked of Redis when messages are to be taken: one call of the script `CLAIM`."""

from collections.abc import Sequence
from typing import NamedTuple

from history_sink_worker.redis_transport.packed import pack
from history_sink_worker.redis_transport.returns import Keys
from history_sink_worker.redis_transport.scripts import CLAIM

STEP_BYTES = 1024 * 1024
"""About so much is taken in one step; see `CLAIM`."""
_EVAL_CLAIM = (pack("EVAL"), pack(CLAIM))


class ClaimRequest(NamedTuple):
    """Messages that are asked for."""

    claim: str
    """The messages' claims are this and a number from 0 on."""
    at_most: int
    """How many messages."""
    queues: Sequence[str]
    """The queue of each list; the answer's number counts in them."""

    def claims(self) -> list[str]:
        """The claims that there may be at Redis, once it has run the script."""
        return [f"{self.claim}-{number}" for number in range(self.at_most)]

    def command(self, keys: Keys, lists: Sequence[bytes], records: Sequence[bytes]) -> list[bytes]:
        """Its arguments, packed, with lists and records that are packed already (`QueueArguments`)."""
        own = pack(keys.unacked), pack(keys.index)
        named = *_EVAL_CLAIM, pack(len(own) + len(lists)), *own, *lists
        return [*named, pack(self.claim), pack(self.at_most), *records]


def count_that_fits(room: int | None, largest_bytes: int) -> int:
    """How many messages to ask for: of `room` (without a limit: one), and of those as large as the last ones were.

    What does not fit into a step goes back, and the AOF has it once more: large ones are asked for singly.
    """
    return min(room or 1, max(1, STEP_BYTES // largest_bytes))
