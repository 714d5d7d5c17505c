"""Headers that workers put on a message: where it has been. The transport, the tasks and the dead letters read them."""

FIRST_TRIED = "x-first-tried"
"""Header: when the first attempt was, in Unix seconds. Set where a message goes back to its queue."""
ABANDONED = "x-abandoned"
"""Header: how many workers the message has taken down with it."""
REPLAYED = "x-replayed"
"""Header: the name of the dead letter that this message was, before somebody sent it again."""
