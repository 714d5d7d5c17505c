"""How much of a history the store has, and so how much a save of it would hand over."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """The log that a history belongs on, and how much of the history that log lacks.

    `branch` names the log; None is the main log. The log has the first `held_messages` messages of the history, which
    are `held_bytes` bytes. It lacks the other `messages` messages, which are `bytes` bytes. `is_new` is True if the
    store has no such session. `is_foreign` is True if the store has the session, and none of its logs begins with the
    history's first message. `refusal` says which message cannot become a line, and why; nothing behind it is counted.
    """

    branch: str | None
    held_messages: int
    held_bytes: int
    messages: int
    bytes: int
    is_new: bool
    is_foreign: bool
    refusal: str | None = None
