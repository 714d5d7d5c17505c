"""The least that a setting may be, and what breaks below it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Floor:
    """`least` in the setting's own unit; `breaks` goes on "below that, …"."""

    least: float
    breaks: str


UNSAFE = "for tests"
"""What `…ALLOW_UNSAFE_TIMES` must be so that no floor holds: in tests that would else wait for hours."""

FLOORS = {
    # The store may be silent for 23 s in a request that it does in the end (connect 3, answer 20); a hint is believed
    # for half of it. Doctor takes clocks that are 5 s apart for good ones; they must agree within an eighth of it.
    "SETTLE_SECONDS": Floor(60, "a request that is late at the store may bring back what was folded, or be overtaken"),
    # A claim is renewed six times in it, and to reach Redis anew takes a second. Ten that run out bury a message.
    "VISIBILITY_TIMEOUT_SECONDS": Floor(
        3, "a short pause of Redis or of the machine has workers that are well counted as dead, and their saves buried"
    ),
    # `HistorySink.flush` waits for 30 s unless told otherwise.
    "RESULT_EXPIRES_SECONDS": Floor(60, "an answer is gone before who waits for it has looked"),
    # What `read` and `restore` ask for at a time.
    "RESOLVE_CAP_BYTES": Floor(2 * 1024 * 1024, "`read` and `restore`, which ask for so much at a time, always fail"),
}


def check_floor(name: str, value: object) -> None:
    """Raise ValueError, with a text that goes on "<variable> must be …", where `value` is below the floor of `name`."""
    floor = FLOORS.get(name)
    if floor is not None and isinstance(value, int | float) and value < floor.least:
        raise ValueError(f"{floor.least:.0f} or more: below that, {floor.breaks}")


def for_tests(text: str) -> bool:
    """What `…ALLOW_UNSAFE_TIMES` says. Raises ValueError likewise."""
    if text != UNSAFE:
        raise ValueError(f'"{UNSAFE}", or not set')
    return True


def find_low(values: Mapping[str, float]) -> tuple[str, ...]:
    """The names of those of `values` that are below their floors, as in tests."""
    return tuple(name for name, value in values.items() if value < FLOORS[name].least)
