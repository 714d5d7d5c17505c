"""What changes below agents' homes, as the system tells it: the one home of watchfiles."""

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event

log = logging.getLogger("history_sink_agents.watch")

TICK_MILLISECONDS = 500
"""So often the caller is asked for, where nothing changes."""

AGAIN_SECONDS = 60.0
"""Where the system could not tell of changes, it is asked again after so long."""

_GROUP_MILLISECONDS, _STEP_MILLISECONDS = 100, 50


def follow(homes: Sequence[Path], stop: Event) -> Iterator[set[str]]:
    """Yield the paths that have changed, and an empty set now and then. Ends when `stop` is set, or a home is deleted:
    the system tells nothing of one that is made anew in its place.

    They begin as the homes do, also where a home is a link: macOS tells the real path. Where the system cannot tell
    (too many folders, or a name that is no text), all that is yielded is empty sets, until it is asked again.
    """
    from watchfiles import Change, watch

    real, said = {os.path.realpath(home): str(home) for home in homes}, ""
    while homes and not stop.is_set():
        try:
            for changes in watch(
                *map(os.path.realpath, homes),
                watch_filter=None,
                debounce=_GROUP_MILLISECONDS,
                step=_STEP_MILLISECONDS,
                rust_timeout=TICK_MILLISECONDS,
                yield_on_timeout=True,
                stop_event=stop,
                ignore_permission_denied=True,
                force_polling=False,  # as it would under WSL: that misses the second of two writes in one second
            ):
                yield {_find_name(path, real) for _, path in changes}
                if any(kind is Change.deleted and path in real for kind, path in changes):
                    return
        except (OSError, RuntimeError) as error:
            if all(map(os.path.isdir, homes)):
                if str(error) != said:
                    log.warning("the system does not tell of changes: the files are looked at now and then: %s", error)
                said = str(error)
                yield from _tick(stop, AGAIN_SECONDS)
            homes = [home for home in homes if os.path.isdir(home)]
    yield from _tick(stop, math.inf)


def _tick(stop: Event, seconds: float) -> Iterator[set[str]]:
    """Yield empty sets for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop.wait(TICK_MILLISECONDS / 1000):
        yield set()


def _find_name(path: str, real: Mapping[str, str]) -> str:
    """The path below the home as the caller has called it."""
    for folder, home in real.items():
        if path == folder or path.startswith(folder + os.sep):
            return home + path[len(folder) :]
    return path


def is_installed() -> bool:
    """Whether the extra is."""
    from importlib.util import find_spec

    return find_spec("watchfiles") is not None
