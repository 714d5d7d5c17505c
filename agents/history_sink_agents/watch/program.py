"""The watch put together: settings, lock, state, sink, threads, and the words at the end."""

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

from history_sink import HistorySink, ProducerSettings
from history_sink_agents.restored import find_state_folder
from history_sink_agents.watch.carry import Carrier
from history_sink_agents.watch.deliveries import check_can_ask
from history_sink_agents.watch.handover import Handover
from history_sink_agents.watch.homes import list_homes
from history_sink_agents.watch.lock import hold_lock
from history_sink_agents.watch.runner import Runner
from history_sink_agents.watch.state import State
from history_sink_agents.watch.teller import LineTeller
from history_sink_agents.watch.watch import Watch

PROGRESS_SECONDS = 5.0
_ONCE_ATTEMPTS = 4
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # mallopt(3)
_LARGE_BYTES = 64 * 1024
_LEAST_TOLD = 20
"""Progress is told of so many files or more."""


class Program:
    """One run of the command."""

    def __init__(
        self,
        settings: ProducerSettings,
        agents: Sequence[str],
        environ: Mapping[str, str],
        user_home: Path,
        state_folder: Path | None,
        say: Callable[[str], None],
        *,
        is_verbose: bool = False,
        make_sink: Callable[[ProducerSettings], HistorySink] = HistorySink,
    ) -> None:
        self._settings = settings
        self._homes = list_homes(agents, environ, user_home)
        self._folder = state_folder or find_state_folder(environ, user_home)
        self._say = say
        self._is_verbose = is_verbose
        self._make_sink = make_sink

    def run_once(self) -> int:
        """Archive what is new, and wait until the store has it.

        Returns:
            How many problems there were.

        Raises:
            Unavailable: The queue, the workers or the store are away.
            OSError: Another watch runs, or the state's folder cannot be made.
        """
        with self._open(_ONCE_ATTEMPTS) as (runner, watch):
            watch.look_at_all()
            while len(runner.backlog):
                self._pause_telling(runner, watch)
                if runner.outage is not None:
                    raise runner.outage
            counts = runner.counts
        self._say(
            f"{watch.listed:,} files: {counts.files:,} with news, {counts.bytes:,} bytes archived,"
            f" {counts.problems} problems"
        )
        return counts.problems

    def run(self, stop: Event | None = None) -> int:
        """Archive what is new, as it comes, until `stop` is set or the process is told to end. Raises as `run_once`."""
        stop = stop or Event()
        save_memory()
        with self._open(None) as (runner, watch):
            names = ", ".join(home.format.name for home in self._homes if os.path.isdir(home.path))
            self._say(f"watching the sessions of {names or 'no agent yet'}")
            Thread(target=self._tell_progress, args=(runner, watch, stop), daemon=True).start()
            try:
                watch.run(stop)
            finally:
                stop.set()
        return 0

    def _tell_progress(self, runner: Runner, watch: Watch, stop: Event) -> None:
        is_telling = False
        while not stop.wait(PROGRESS_SECONDS):
            left = len(runner.backlog)
            if left >= _LEAST_TOLD and runner.outage is None:
                is_telling = True
                self._tell_left(left, runner, watch)
            elif is_telling and not left:
                is_telling = False
                self._say(f"all {watch.listed:,} files are archived")

    def _pause_telling(self, runner: Runner, watch: Watch) -> None:
        deadline = time.monotonic() + PROGRESS_SECONDS
        while (left := len(runner.backlog)) and runner.outage is None:
            if time.monotonic() > deadline:
                self._tell_left(left, runner, watch)
                return
            time.sleep(0.02)

    def _tell_left(self, left: int, runner: Runner, watch: Watch) -> None:
        self._say(f"{left:,} of {watch.listed:,} files to look at; {runner.counts.bytes / 1e6:,.1f} MB archived so far")

    @contextmanager
    def _open(self, attempts: int | None) -> Iterator[tuple[Runner, Watch]]:
        with hold_lock(self._folder / "watch.lock"), self._make_sink(self._settings) as sink:
            check_can_ask(sink)
            state = State(self._folder, _name_archive(self._settings))
            if state.problem:
                self._say(f"{state.problem}; all files are compared with the store")

            def make_carrier(is_stopped: Callable[[], bool]) -> Carrier:
                return Carrier(Handover(sink, is_stopped=is_stopped), state)

            limits = {} if attempts is None else {"attempts": attempts}
            teller = LineTeller(self._say, is_verbose=self._is_verbose, tells_outages=attempts is None)
            runner = Runner(make_carrier, state, teller, **limits)
            runner.start()
            try:
                yield runner, Watch(runner, self._homes, self._folder)
            finally:
                runner.stop()
                state.close()


def save_memory() -> None:
    """Have glibc keep the memory of all threads in two heaps, and give back large blocks when they are freed.

    Else each thread keeps a heap of its own, and the buffers of each batch leave gaps there.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            library = ctypes.CDLL(None)
            library.mallopt(_M_ARENA_MAX, 2)
            library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _name_archive(settings: ProducerSettings) -> str:
    """What tells one archive from another, without a password."""
    url = urlsplit(settings.broker_url or "")
    return f"{url.hostname}:{url.port}{url.path} {settings.bucket or ''} {settings.prefix or ''}"
