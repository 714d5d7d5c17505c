"""What the store has of a history, and so what a save of it would hand over."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """The log that a history belongs on, and how much of it is to be sent there.

    `branch` None is the main log. The log has the first `held_messages` of it (`held_bytes`); `messages` of `bytes`
    follow. `is_new`: there is no session yet. `is_foreign`: not even the first message is that of another log.
    """

    branch: str | None
    held_messages: int
    held_bytes: int
    messages: int
    bytes: int
    is_new: bool
    is_foreign: bool
