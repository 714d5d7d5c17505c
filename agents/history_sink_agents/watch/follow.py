"""What changes below agents' homes, as the system tells it: the one home of watchfiles."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

log = logging.getLogger("history_sink_agents.watch")

TICK_MILLISECONDS = 500
"""So often the caller is asked for, where nothing changes."""

_GROUP_MILLISECONDS, _STEP_MILLISECONDS = 100, 50


def follow(homes: Sequence[Path], stop: Event) -> Iterator[set[str]]:
    """Yield the paths that have changed, and an empty set now and then. Ends when `stop` is set.

    Where the system cannot tell (too many folders, say), all that is yielded is empty sets.
    """
    from watchfiles import watch

    while homes and not stop.is_set():
        try:
            for changes in watch(
                *homes,
                watch_filter=None,
                debounce=_GROUP_MILLISECONDS,
                step=_STEP_MILLISECONDS,
                rust_timeout=TICK_MILLISECONDS,
                yield_on_timeout=True,
                stop_event=stop,
                ignore_permission_denied=True,
            ):
                yield {path for _, path in changes}
        except (OSError, RuntimeError) as error:
            if all(map(os.path.isdir, homes)):
                log.warning("the system does not tell of changes, so the files are looked at now and then: %s", error)
                break
            homes = [home for home in homes if os.path.isdir(home)]
    while not stop.wait(TICK_MILLISECONDS / 1000):
        yield set()


def is_installed() -> bool:
    """Whether the extra is."""
    from importlib.util import find_spec

    return find_spec("watchfiles") is not None
